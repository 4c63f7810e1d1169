"""``edgedl eval``: how good a run or a bundle is on held-out data."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_backend_options, add_json_option, new_parser, print_json
from edgedl.cli.search import add_beams_option, search_changes
from edgedl.deps import explain_missing
from edgedl.errors import UsageError

if TYPE_CHECKING:
    from edgedl.evaluate import Measurement

_ABOUT = """\
A run is evaluated through torch, a bundle through the runtime that a device has. Without --data
the samples are those the model was trained to be tested on: the split test of its own data."""


def add(subparsers: Any) -> None:
    """Add the command's parser."""
    parser = new_parser(
        subparsers,
        "eval",
        "measure a run or a bundle on held-out data, with 95 % intervals",
        "edgedl eval mnist.edge --json",
    )
    parser.description = f"{parser.description}\n\n{_ABOUT}"
    parser.add_argument("model", type=Path, metavar="RUN|BUNDLE", help="what to measure")
    parser.add_argument("--data", type=Path, metavar="PATH", help="other data than its own")
    parser.add_argument(
        "--split", default="test", choices=("train", "val", "test"), help="(default test)"
    )
    parser.add_argument("--precision", default="auto", help="of a bundle: fp32, fp16, bf16, int8")
    add_backend_options(parser)
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many samples")
    parser.add_argument(
        "--on-bad-sample",
        choices=("fail", "skip"),
        help="what to do about samples that cannot be read (default fail)",
    )
    add_beams_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure, and print the numbers."""
    if args.limit is not None and args.limit < 1:
        msg = f"--limit must be >= 1; got {args.limit}"
        raise UsageError("E132", msg)
    is_run = (args.model / "model.json").is_file()
    measured, ran_by = _eval_run(args) if is_run else _eval_bundle(args)
    table = {**measured.to_json(), "model": str(args.model), **ran_by}
    if args.json:
        print_json(table, args.json)
    if args.json != "-":
        print(f"{args.model}: {_line(measured)}")
    return 0


def _eval_run(args: argparse.Namespace) -> tuple[Measurement, dict[str, str]]:
    for name in ("precision", "backend", "allow_prebuilt_engine"):
        if getattr(args, name) not in ("auto", False):
            msg = (
                f"--{name.replace('_', '-')} is for bundles; {args.model} is a run, which is "
                "measured in fp32 through torch: leave it out, or export the run first"
            )
            raise UsageError("E100", msg)
    with explain_missing("evaluating a run"):
        from edgedl.runtime.model import open_model
        from edgedl.train import Run
        from edgedl.train.torch_session import torch_sessions
    found = Run.open(args.model)
    spec = found.model_spec
    model = open_model(spec, torch_sessions(spec, found.network()))
    trained_on = {} if args.data else found.data
    measured = _measure(args, spec, found.data_table, model, trained_on)
    return measured, {"backend": "torch", "precision": "fp32"}


def _eval_bundle(args: argparse.Namespace) -> tuple[Measurement, dict[str, str]]:
    with explain_missing("evaluating a bundle"):
        from edgedl.runtime.pipeline import load
    allowed = args.allow_prebuilt_engine
    with load(args.model, args.backend, args.precision, allow_prebuilt_engine=allowed) as pipeline:
        manifest = pipeline.bundle.manifest
        if manifest.parent.kind == "model" and manifest.task != "tensor" and not args.data:
            msg = f"{args.model} was made of a model file and knows no data; name some: --data PATH"
            raise UsageError("E132", msg)
        data = dict(manifest.data)
        measured = _measure(args, pipeline.bundle.model_spec, data, pipeline.model, {})
        return measured, {"backend": pipeline.backend, "precision": pipeline.precision}


def _measure(
    args: argparse.Namespace,
    spec: Any,
    data: dict[str, Any],
    model: Any,
    trained_on: dict[str, Any],
) -> Measurement:
    from edgedl.evaluate import open_evaluation, warn_if_changed
    from edgedl.runtime.captioner import change_search

    change_search(model, search_changes(args))
    if args.on_bad_sample and spec.task != "captioning":
        data["on_bad_sample"] = args.on_bad_sample
    evaluation = open_evaluation(spec, data, args.split, args.limit, args.data)
    if not len(evaluation):
        place = args.data or data.get("path") or data.get("generated")
        msg = f"{place} has no split {args.split!r}; take another: --split train, val or test"
        raise UsageError("E132", msg)
    warn_if_changed(evaluation, trained_on)
    return evaluation.measure(model)


def _line(measured: Measurement) -> str:
    """Return the main number with its interval, and the others, for people."""
    from edgedl.evaluate import main_metric

    metric = main_metric(measured.task)
    ends = [metric.show(measured.metrics[f"{metric.name}_{end}"]) for end in ("low", "high")]
    others = [
        f"{name.replace('_', ' ')} {value:.4g}"
        for name, value in measured.metrics.items()
        if name != "n" and not name.startswith(metric.name)
    ]
    return (
        f"{metric.name.replace('_', ' ')} {metric.show(measured.main)} "
        f"(95 %: {ends[0]} to {ends[1]}) on {measured.split}, n = {measured.n}; {', '.join(others)}"
    )
