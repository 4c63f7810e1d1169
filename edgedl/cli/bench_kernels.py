"""``edgedl bench kernels``: how fast the compiled code is, checked first."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from edgedl.cli.parser import add_json_option, print_json
from edgedl.errors import EdgedlError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "--case",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="cases whose names are or begin so, e.g. preprocess/1080p (default: all)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="how often everyone is timed (default 40; 30 or more to publish)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="5 rounds: for a look, not for publication"
    )
    parser.add_argument(
        "--set-mib",
        type=int,
        default=8,
        metavar="N",
        help="size of the set that inputs are taken from in turn (default 8: more than an L2 "
        "cache; several times the last cache makes everyone wait for memory)",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; a kernel that computes something wrong is a bug of edgedl."""
    from rich.console import Console
    from rich.progress import Progress

    from edgedl.bench.kernels import KernelBenchOptions, bench_kernels
    from edgedl.bench.kernels.measure import OK, QUICK_ROUNDS

    rounds = args.rounds if args.rounds is not None else QUICK_ROUNDS if args.quick else 40
    options = KernelBenchOptions(cases=tuple(args.case), rounds=rounds, set_mib=args.set_mib)
    quiet = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("kernels")
        result = bench_kernels(
            options,
            lambda done, total, name: bar.update(
                task, completed=done, total=total, description=name
            ),
        )
    if args.json:
        print_json(result, args.json)
    if args.json != "-":
        _print_table(result)
    wrong = [case for case in result["cases"] if case["check"] != OK]
    for case in wrong:
        print(f"FAILED {case['case']}: {case['check']}", file=sys.stderr)
    return EdgedlError.exit_code if wrong else 0


def _print_table(result: dict[str, Any]) -> None:
    """Print a line for each case and, below it, one for each comparison."""
    from rich.console import Console

    from edgedl.bench.kernels.table import FAILED, MISSED, notes, rows

    console = Console(highlight=False)
    for case, time, rate, compared, ratio, wanted in rows(result):
        if case:
            told = f"{rate} GB/s" if rate else ""
            console.print(f"{case:<42}{time:>9} {told:>11}", style="bold")
        style = "red" if wanted.endswith(MISSED) or time == FAILED else None
        console.print(f"  {compared:<40}{ratio:>9}  {wanted}", style=style)
    console.print()
    for line in notes(result):
        console.print(line)
