"""``edgedl pack``: a bundle as one file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing

_ABOUT = """\
The file is a zip without compression, the same bytes for the same bundle. All commands take it in
place of the folder, and nothing of it is ever extracted."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "pack",
        "write a bundle as one file, which all commands take as it is",
        example="edgedl pack scenes.edge --out scenes.edge.zip",
    )
    parser.description = f"{parser.description}\n\n{_ABOUT}"
    parser.add_argument("bundle", type=Path, help="folder of the bundle, NAME.edge")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="what to write (default NAME.edge.zip beside it)"
    )
    parser.add_argument("--force", action="store_true", help="replace a packed bundle at --out")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check the bundle, pack it, and say what was written."""
    with explain_missing("packing"):
        from edgedl.bundle import Bundle, pack, sha256_file
    bundle = Bundle.open(args.bundle)
    out = args.out or _beside(bundle.path)
    pack(bundle, out, args.force)
    facts = {"path": str(out), "size_bytes": out.stat().st_size, "sha256": sha256_file(out)}
    if args.json:
        print_json({**facts, "digest": bundle.manifest.digest}, args.json)
    if args.json != "-":
        print(f"{out}: {facts['size_bytes']} bytes, sha256 {facts['sha256']}")
    print_next("edgedl", "verify", out)
    return 0


def _beside(path: Path) -> Path:
    """Return where a bundle is packed to when nobody says: ``x.edge.zip`` of ``x.edge``."""
    named = path if path.name not in ("", "..") else path.resolve()
    return named.with_name(named.name.removesuffix(".zip") + ".zip")
