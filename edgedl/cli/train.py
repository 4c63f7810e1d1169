"""``edgedl train``: from a recipe to a run folder."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing
from edgedl.errors import UsageError

if TYPE_CHECKING:
    from edgedl.train import Progress


def add(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = new_parser(
        subparsers,
        "train",
        "train a model by a recipe and write a run folder",
        "edgedl train scenes-captioner --out run",
    )
    parser.add_argument("recipe", help="a recipe's name, or the path of a .toml file")
    parser.add_argument("--out", default="run", help="the folder to make (default: run)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a key of the recipe, e.g. train.learning_rate=0.001 (repeatable)",
    )
    parser.add_argument("--minutes", type=float, help="end within this time: train.minutes")
    parser.add_argument("--seed", type=int, help="of weights and data: seed")
    parser.add_argument("--force", action="store_true", help="replace a run that is there")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train, and say how good the result is."""
    overrides = _overrides(args)
    with explain_missing("training"):
        from edgedl.train import train
    with _progress() as progress:
        trained = train(args.recipe, args.out, overrides, progress, args.force)
    metrics = trained.metrics
    if args.json:
        print_json({"run": str(trained.path), **metrics}, args.json)
    if args.json != "-":
        test = metrics["test"]
        low, high = test["exact_interval"]
        print(
            f"{trained.path}: {test['exact']:.1%} exact on {test['n']} held-out pictures "
            f"(95 %: {low:.1%} to {high:.1%}), BLEU-4 {test['bleu4']:.3f}, "
            f"CIDEr-D {test['cider_d']:.2f}; {metrics['val']['exact']:.1%} on val; "
            f"{metrics['steps']} steps in {metrics['seconds']:.0f} s, {metrics['precision']}"
        )
        planned = trained.recipe["train"]["steps"]
        if metrics["steps"] < planned:
            print(
                f"the time ended training after {metrics['steps']} of {planned} steps, its "
                "schedule complete; more steps, more quality: --minutes"
            )
    print_next("edgedl", "export", trained.path, "--out", "scenes.edge")
    return 0


def _overrides(args: argparse.Namespace) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    for item in args.set:
        key, equals, value = item.partition("=")
        if not equals or not key:
            msg = f"--set takes KEY=VALUE, e.g. train.steps=1000; got {item!r}"
            raise UsageError("E100", msg)
        overrides[key.strip()] = value.strip()
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
        if progress.elapsed_s - told_s >= every_s:
            told_s = progress.elapsed_s
            print(f"training {progress.done:4.0%}  {_state(progress)}", file=sys.stderr, flush=True)

    return show


def _state(progress: Progress) -> str:
    exact = "" if progress.score is None else f", {progress.score:.1%} exact"
    return f"step {progress.step}, loss {progress.loss:.3f}{exact}"


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("training"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[state]}"),
        console=Console(stderr=True),
    )
    with bar:
        task = bar.add_task("training", total=1.0, state="starting")

        def show(progress: Progress) -> None:
            bar.update(task, completed=progress.done, state=_state(progress))

        yield show
