"""The command line: parse, call one public function, print."""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence

import edgedl
from edgedl.cli import bench, build, demo, eval, export, inspect, pack, run, serve, train, verify
from edgedl.cli.parser import Parser
from edgedl.errors import EdgedlError

COMMANDS = (train, eval, export, build, verify, inspect, pack, run, serve, bench, demo)


def make_parser() -> Parser:
    """Return the parser of the whole command line."""
    parser = Parser(
        prog="edgedl",
        description="From a trained vision model to a live camera, proved at each step.",
        epilog="example:\n  edgedl demo --out demo",
        formatter_class=Parser.plain_help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"edgedl {edgedl.__version__}")
    volume = parser.add_mutually_exclusive_group()
    volume.add_argument("-v", "--verbose", action="store_true", help="also log what is done")
    volume.add_argument("-q", "--quiet", action="store_true", help="log errors only")
    subparsers = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    for command in COMMANDS:
        command.add(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    An ``EdgedlError`` becomes one line and its exit code; anything else is a bug of edgedl,
    keeps its traceback and exits 70.
    """
    try:
        args = make_parser().parse_args(argv)
        level = logging.INFO if args.verbose else logging.ERROR if args.quiet else logging.WARNING
        logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
        code: int = args.run(args)
    except EdgedlError as err:
        try:
            sys.stdout.flush()
        except OSError:  # a full disk: Python would try again, and tell of it once more
            _leave_stdout()
        print(f"error[{err.code}] {err}", file=sys.stderr)
        return err.exit_code
    except BrokenPipeError:
        _leave_stdout()
        return 141
    except OSError as err:
        if err.errno != errno.ENAMETOOLONG:
            raise
        name = str(err.filename)
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        print(f"error[E100] {shown}: the name of a file is too long", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return code


def _leave_stdout() -> None:
    """Let what can no longer be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_cli() -> None:
    """Entry point of the ``edgedl`` command."""
    try:
        code = main()
    except Exception:
        logging.getLogger("edgedl").exception("this is a bug in edgedl; please report it")
        code = 70
    sys.exit(code)
