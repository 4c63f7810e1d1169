"""``edgedl train``: from a recipe to a run folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing
from edgedl.errors import UsageError
from edgedl.printable import escaped

if TYPE_CHECKING:
    from edgedl.train import Progress, Run


def add(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = new_parser(
        subparsers,
        "train",
        "train a model by a recipe and write a run folder",
        "edgedl train scenes-captioner --out run",
    )
    parser.add_argument("recipe", nargs="?", help="a recipe's name, or the path of a .toml file")
    parser.add_argument("--out", default="run", help="the folder to make (default: run)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the recipe, e.g. optimizer.lr=0.001 or epochs=20 (repeatable)",
    )
    parser.add_argument("--data", metavar="PATH", help="the data to train on: data.path")
    parser.add_argument(
        "--on-bad-sample",
        choices=("fail", "skip"),
        help="what to do about samples that cannot be read: data.on_bad_sample",
    )
    parser.add_argument(
        "--minutes", type=float, help="end within this time, each fold by itself: train.minutes"
    )
    parser.add_argument("--seed", type=int, help="of first weights and order: seed")
    parser.add_argument("--force", action="store_true", help="replace a run that is there")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a training that was interrupted"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print shapes, costs, memory and an estimate of the time; write nothing",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and say how good the result is."""
    overrides = _overrides(args)
    if args.recipe is None and not args.resume:
        msg = "name a recipe, e.g.: edgedl train scenes-captioner --out run"
        raise UsageError("E100", msg)
    with explain_missing("training"):
        from edgedl.train import Stopped, train
        from edgedl.train.memory import keep_freed_memory
    keep_freed_memory()
    if args.dry_run:
        return _dry_run(args, overrides)
    try:
        with _progress() as progress:
            trained = train(
                args.recipe,
                args.out,
                overrides,
                progress,
                force=args.force,
                resume=args.resume,
            )
    except Stopped as stop:
        print(f"{stop}; saved", file=sys.stderr)
        print_next("edgedl", "train", "--out", args.out, "--resume")
        return stop.exit_code
    if args.json:
        print_json({"run": str(trained.path), **trained.metrics}, args.json)
    if args.json != "-":
        _print_result(trained)
    print_next("edgedl", "export", trained.path, "--out", f"{trained.path.name}.edge")
    return 0


def _dry_run(args: argparse.Namespace, overrides: Mapping[str, Any]) -> int:
    if args.recipe is None or args.resume:
        msg = "--dry-run takes a recipe and no --resume"
        raise UsageError("E100", msg)
    from edgedl.train.dry_run import dry_run

    found = dry_run(args.recipe, overrides)
    lines = found.pop("lines")
    if args.json:
        print_json(found, args.json)
    if args.json != "-":
        print("\n".join(lines))
    return 0


def _print_result(trained: Run) -> None:
    from edgedl.evaluate import main_metric

    metrics = trained.metrics
    metric = main_metric(metrics["task"])
    for split in ("test", "val"):
        if split in metrics:
            found = metrics[split]
            low, high = (metric.show(found[f"{metric.name}_{end}"]) for end in ("low", "high"))
            print(
                f"{trained.path}: {metric.name} {metric.show(found[metric.name])} "
                f"(95 %: {low} to {high}) on {split}, n = {found['n']}"
            )
    if folds := metrics.get("folds"):
        print(
            f"{len(folds['scores'])} folds: {folds['mean']:.4f} ± {folds['std']:.4f} "
            "(standard deviation) on what each held back; the best is kept"
        )
    for warning in trained.data.get("warnings", ()):
        print(escaped(f"warning: {warning}"))
    print(escaped(f"report: {trained.path / 'report.html'}"))
    print(f"{metrics['steps']} steps in {metrics['seconds']:.0f} s, {metrics['precision']}")
    if metrics["ended_by"] == "minutes":
        print(
            f"the time ended training after {metrics['steps']} steps, its schedule complete; "
            "more time, more quality: --minutes"
        )


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for item in args.set:
        key, equals, value = item.partition("=")
        if not equals or not key:
            msg = f"--set takes KEY=VALUE, e.g. train.steps=1000; got {item!r}"
            raise UsageError("E100", msg)
        overrides[key.strip()] = value.strip()
    if args.data is not None:
        path = Path(args.data)
        overrides["data.path"] = str(path.absolute()) if path.exists() else args.data
    if args.on_bad_sample is not None:
        overrides["data.on_bad_sample"] = args.on_bad_sample
    if args.minutes is not None:
        overrides["train.minutes"] = args.minutes
    if args.seed is not None:
        overrides["seed"] = args.seed
    return overrides


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Show progress on standard error: a bar on a terminal, elsewhere a line now and then."""
    if sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines()


def _lines(every_s: float = 15.0) -> Callable[[Progress], None]:
    told_s = 0.0

    def show(progress: Progress) -> None:
        nonlocal told_s
        state = _state(progress)
        if not state:
            print(progress.doing, file=sys.stderr, flush=True)
            return
        if progress.elapsed_s < told_s:  # the next fold
            told_s = 0.0
        if progress.elapsed_s - told_s >= every_s:
            told_s = progress.elapsed_s
            print(f"training {progress.done:4.0%}  {state}", file=sys.stderr, flush=True)

    return show


def _state(progress: Progress) -> str:
    """Return how training goes, nothing in another part."""
    if not progress.step:
        return ""
    score = "" if progress.score is None else f", val {progress.score:.4g}"
    return f"step {progress.step}, loss {progress.loss:.3f}{score}"


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("starting", total=1.0, state="")

        def show(progress: Progress) -> None:
            done, state = progress.done, _state(progress)
            bar.update(task, completed=done, description=progress.doing, state=state)

        yield show
