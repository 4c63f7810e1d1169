"""``edgedl bench``: latency of every stage on real frames; ``edgedl bench kernels``: see there."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgedl.cli import bench_kernels
from edgedl.cli.parser import (
    add_backend_options,
    add_json_option,
    new_parser,
    new_topic,
    print_json,
    print_next,
)
from edgedl.cli.search import add_beams_option, search_changes
from edgedl.deps import explain_missing
from edgedl.printable import counted


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "bench",
        "measure latency per stage and percentile on real frames or arrays",
        example="edgedl bench x.edge --json latency.json\n"
        "  edgedl bench kernels --quick        the compiled kernels instead; see its --help",
    )
    kernels = new_topic(
        parser,
        "kernels",
        "check the compiled kernels on every target of this CPU, then measure them against OpenCV "
        "and others",
        example="edgedl bench kernels --json kernels.json\n"
        "  edgedl bench kernels --quick --case preprocess/nv12 nms",
    )
    bench_kernels.add_options(kernels)
    parser.add_argument(
        "bundle", type=Path, help="a folder NAME.edge; one that is called kernels is ./kernels"
    )
    parser.add_argument(
        "--source",
        metavar="FILE",
        help="video file or folder of images "
        "(default: an H.264 clip of the bundle's golden pictures; of a model of arrays its own)",
    )
    parser.add_argument(
        "--precision",
        action="append",
        default=[],
        metavar="P",
        help="fp32, fp16, bf16, int8; repeatable (default: those meant for this machine)",
    )
    add_backend_options(parser)
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help="timed frames per precision (default 2000; p99 needs 662)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="200 frames: for a look, not for publication"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="threads of a session (default 1)"
    )
    add_beams_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with explain_missing("measuring"):
        from rich.console import Console
        from rich.progress import Progress

        from edgedl.bench import BenchOptions, bench
        from edgedl.bench.load import OF_ARRAYS, QUICK_FRAMES
    frames = args.frames or (QUICK_FRAMES if args.quick else 2000)
    options = BenchOptions(
        source=args.source,
        precisions=tuple(args.precision),
        frames=frames,
        threads=args.threads,
        search=search_changes(args),
        backend=args.backend,
        allow_prebuilt_engine=args.allow_prebuilt_engine,
    )
    quiet = not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("measuring")
        result = bench(
            args.bundle, options, lambda done, total: bar.update(task, completed=done, total=total)
        )
    if args.json:
        print_json(result, args.json)
    if args.json != "-":
        _print_table(result)
    if result["cases"][0]["case"] != OF_ARRAYS:
        print_next("edgedl", "serve", args.bundle, "--source", "test://scenes")
    return 0


def _print_table(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from edgedl.timing import describe

    table = Table("", title=f"input to answer, ms ({result['frames_from']})", title_justify="left")
    short = {"preprocess": "preproc.", "decode_text": "text"}
    stages = [short.get(stage, stage) for stage in result["cases"][0]["stage_ms"]]
    for name in (*stages, "p50", "p90", "p99", "frames/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for case in result["cases"]:
        times = [
            *case["stage_ms"].values(),
            *(case["latency_ms"][p] for p in ("p50", "p90", "p99")),
        ]
        table.add_row(
            case["precision"],
            *("-" if value is None else f"{value:.2f}" for value in times),
            f"{case['throughput_hz']:.0f}",
        )
    console = Console()
    console.print(table)
    n, backend = result["cases"][0]["n"], result["cases"][0]["backend"]
    console.print(
        f"n = {n} frames each, closed loop, {backend}, {counted(result['threads'], 'thread')}; "
        f"{describe(result['machine'])}",
        highlight=False,
    )
    if n < 662:
        console.print("p99 needs 662 frames or more", highlight=False)
    if not result["publishable"]:
        console.print("a quick look: run without --quick before publishing a number")
