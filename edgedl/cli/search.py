"""The option ``--beams`` of commands: how captions are searched."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from edgedl.bundle.manifest import DecodeOptions
from edgedl.errors import ConfigError
from edgedl.options import options_from, parse_value


def add_beams_option(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--beams", metavar="N[,K=V]", help="of captions: 5, or 5,length_penalty=0.6; 1 is greedy"
    )


def search_changes(args: argparse.Namespace) -> dict[str, float]:
    """Return what ``--beams`` says, by the names of ``DecodeOptions``.

    Raises:
        ConfigError: E203 an unknown name, or one given twice, E204 or E205 a wrong value.
    """
    if args.beams is None:
        return {}
    table = {"method": "beam"}
    for part in f"beams={args.beams}".split(","):
        name, _, value = part.partition("=")
        if name.strip() in table:
            msg = f"--beams: {name.strip()!r} is said already; got {args.beams!r}"
            raise ConfigError("E203", msg)
        table[name.strip()] = parse_value(value)
    found = asdict(options_from(DecodeOptions, table, "--beams"))
    return {name: found[name] for name in table if name != "method"}
