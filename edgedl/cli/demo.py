"""``edgedl demo``: the main job, by the same commands a person would type."""

from __future__ import annotations

import argparse
import shlex
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgedl.cli.parser import new_parser, print_next
from edgedl.deps import explain_missing
from edgedl.errors import UsageError

CLIP = "test://scenes?fps=15&seed=7&size=384&count=450"


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "demo",
        "train, export, verify, caption a clip and measure, in one go",
        example="edgedl demo --out demo",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="where results lie (default demo)",
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="training time (default: the recipe's)"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the results of an earlier demo"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    from edgedl.cli import make_parser

    with explain_missing("the demo"):
        from edgedl.export.report import write_demo_report

    out: Path = args.out
    results = [
        out / name for name in ("scenes.edge", "captions.mp4", "latency.json", "report.html")
    ]
    there = [str(path) for path in (*results, out / "run") if path.exists()]
    if there and not args.force:
        msg = f"{', '.join(there)} already there; add --force to replace, or choose another --out"
        raise UsageError("E103", msg)
    out.mkdir(parents=True, exist_ok=True)
    steps = _steps(out, args.minutes)
    started = time.monotonic()
    for number, words in enumerate(steps, 1):
        print(f"\n[{number}/{len(steps)}] $ edgedl {shlex.join(words)}", flush=True)
        step = make_parser().parse_args(words)
        code: int = step.run(step)
        if code:
            return code
    write_demo_report(out)
    print(f"\nthe demo took {(time.monotonic() - started) / 60:.1f} min; its results:")
    for path in results:
        print(f"  {path}")
    print_next("edgedl", "serve", out / "scenes.edge", "--source", "test://scenes")
    return 0


def _steps(out: Path, minutes: float | None) -> list[list[str]]:
    bundle, train_run = str(out / "scenes.edge"), str(out / "run")
    targets = ["--for", "cpu", *(["--for", "rtx"] if _has_rtx() else [])]
    budget = [] if minutes is None else ["--minutes", str(minutes)]
    return [
        ["train", "scenes-captioner", "--out", train_run, "--force", *budget],
        ["export", train_run, "--out", bundle, *targets, "--force"],
        ["verify", bundle],
        ["run", bundle, CLIP, str(out / "captions.mp4")],
        ["bench", bundle, "--json", str(out / "latency.json")],
    ]


def _has_rtx() -> bool:
    return any(find_spec(name) for name in ("tensorrt_rtx", "tensorrt_rtx_bindings"))
