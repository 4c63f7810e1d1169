"""What the commands share: how help looks, how JSON is written, how errors are shown."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from edgedl.errors import UsageError
from edgedl.options import suggest


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are ``UsageError`` with a suggestion.

    Attributes:
        topics: First words that are commands of their own: ``edgedl bench kernels``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.topics: dict[str, Parser] = {}

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse unknown options here, where the command they were given to is known."""
        if args and args[0] in self.topics:
            return self.topics[args[0]].parse_known_args(args[1:], namespace)
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            text = f"unrecognized arguments: {' '.join(unknown)}"
            late = [
                action.metavar for action in self._get_positional_actions() if action.nargs == "?"
            ]
            if late and not unknown[0].startswith("-"):  # argparse takes it for left out by then
                text += f"; {late[0]} stands before the options"
            self.error(text)
        return known, unknown

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing, so that all errors look the same."""
        for prefix in ("unrecognized arguments: ", "invalid choice: "):
            if prefix in message:
                wrong = message.split(prefix)[1].split()[0].strip("'")
                message += suggest(wrong, self._known_words())
        msg = f"{message}; see: {self.prog} --help"
        raise UsageError("E100", msg)

    plain_help = argparse.RawDescriptionHelpFormatter

    def _known_words(self) -> list[str]:
        words = [option for action in self._actions for option in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                words += list(action.choices)
        return words


def new_parser(subparsers: Any, name: str, summary: str, example: str) -> Parser:
    """Add the parser of one command, its help ending with an example."""
    parser: Parser = subparsers.add_parser(
        name,
        help=summary.replace("%", "%%"),  # a format to argparse, other than the description
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return parser


def new_topic(parser: Parser, name: str, summary: str, example: str) -> Parser:
    """Add a command whose first word is another command's, its help ending with an example."""
    made = Parser(
        prog=f"{parser.prog} {name}",
        description=summary,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.topics[name] = made
    return made


def add_backend_options(
    parser: argparse.ArgumentParser, default: str = "auto, which is onnxruntime"
) -> None:
    """Add what says which runtime runs a bundle, and whether engines that came with it may."""
    parser.add_argument(
        "--backend",
        default="auto",
        metavar="NAME",
        help=f"onnxruntime, tensorrt, tensorrt_rtx (default: {default})",
    )
    parser.add_argument(
        "--allow-prebuilt-engine",
        action="store_true",
        help="load an engine that came inside the bundle: it is code, trust who made it",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json [PATH]``: standard output without a path."""
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        type=_json_path,
        metavar="PATH",
        help="write the result as JSON, to standard output without a path",
    )


def print_json(value: Any, path: str) -> None:
    """Write ``value`` to ``path``, or to standard output for ``-``."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as err:
        msg = f"cannot write {path}: {err.strerror}; choose another place"
        raise UsageError("E131", msg) from err


def print_next(*words: object) -> None:
    """Say what to type next; on standard error, so that JSON on standard output stays JSON."""
    print(f"next: {shlex.join(map(str, words))}", file=sys.stderr)


def _json_path(text: str) -> str:
    """Check where JSON shall go before the work is done whose result it is."""
    path = Path(text)
    if text != "-" and (path.is_dir() or not path.absolute().parent.is_dir()):
        what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        msg = f"{text!r} {what}; name a file"
        raise argparse.ArgumentTypeError(msg)
    return text
