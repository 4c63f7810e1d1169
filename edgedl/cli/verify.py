"""``edgedl verify``: let a bundle prove itself on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from edgedl.cli.inspect import plain
from edgedl.cli.parser import (
    add_backend_options,
    add_json_option,
    new_parser,
    print_json,
    print_next,
)
from edgedl.deps import explain_missing

if TYPE_CHECKING:
    from edgedl.runtime.verify import VerifyReport, VerifyRow


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "verify",
        "check a bundle's files and replay its golden set on this machine",
        example="edgedl verify scenes.edge",
    )
    parser.add_argument("bundle", help="folder of the bundle, NAME.edge")
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of a session (default 1)"
    )
    add_backend_options(parser, default="auto, which is all that this machine has")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Verify, print what passed, and fail with E414 if something did not."""
    with explain_missing("verifying"):
        from edgedl.runtime.verify import verify
    report = verify(args.bundle, args.threads, args.allow_prebuilt_engine, args.backend)
    if args.json:
        print_json(report.to_json(), args.json)
    if args.json != "-":
        _print_table(report)
    report.check()
    print_next("edgedl", "run", args.bundle, "SOURCE")
    return 0


def _print_table(report: VerifyReport) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = ("", "precision", "result", "answers", "largest error (allowed)")
    table = Table(*columns, title=plain(f"{report.bundle}  sha256 {report.digest[:12]}"))
    for row in report.rows:
        style = {"PASS": "green", "FAIL": "red"}.get(row.status, "yellow")
        captions = f"{row.texts_equal}/{row.samples}" if row.errors else ""
        status = Text(row.status, style=style)
        table.add_row(
            plain(row.backend), plain(row.precision), status, captions, plain(_detail(row))
        )
    Console().print(table)


def _detail(row: VerifyRow) -> str:
    if row.status == "NOT RUN":
        return row.reason
    if not row.errors:
        return f"{row.samples} tensors, bit for bit" if row.status == "PASS" else row.reason
    return ", ".join(f"{k} {v:.1e} ({row.bounds[k]:.0e})" for k, v in row.errors.items())
