"""``edgedl export``: a run, or a model file, becomes a bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.cli.search import add_beams_option, search_changes
from edgedl.deps import explain_missing
from edgedl.printable import escaped

if TYPE_CHECKING:
    from edgedl.bundle import Bundle

_ABOUT = """\
By default the bundle gets its graphs in all four precisions that prove their worth:
fp32, fp16 (TensorRT, TensorRT-RTX), int8-cpu (CPUs) and int8-trt (TensorRT on Jetson). Each is
measured on the same held-out samples. With --precision auto one that loses more than --max-drop,
or an int8-cpu that is slower than fp32 on this machine, is left out and the manifest says why.
--precision bf16 writes bfloat16 beside fp32, for engines on GPUs of compute capability 8.0 and
newer: fp32's range with 8 of its 24 bits, for models whose values fp16 cannot hold.
--for rtx also builds TensorRT-RTX engines; engines for a Jetson are built on the Jetson.

A model file (.onnx of opset 7 to 25, .pt2 of torch.export) is cleaned and held against its own
answers. Without --spec it takes and gives arrays. --calib names samples: .npy and .npz files, names
as the inputs, or pictures where the spec has an [image]; without them samples are made up, and no
INT8 is written. spec.toml may have task = "tensor" or "classification", labels = FILE, [image] as
the manifest has it, and [inputs] NAME = [sizes]. Open only .pt2 files of people you trust."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "export",
        "make a bundle of a run or a model: ONNX per precision, measured and proved",
        example="edgedl export run --out x.edge --max-drop 1%",
    )
    parser.description = f"{parser.description}\n\n{_ABOUT}".replace("%", "%%")
    parser.add_argument(
        "source",
        type=Path,
        metavar="RUN|MODEL",
        help="a folder written by edgedl train; or a file: model.onnx, model.pt2",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="X.edge", help="what to write")
    parser.add_argument(
        "--for",
        dest="targets",
        action="append",
        metavar="TARGET",
        help="cpu (default), rtx, here (this machine's TensorRT), jetson-orin:jp6; repeatable",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        metavar="P",
        help="auto, or one without which it fails: fp32, fp16, bf16, int8 (default auto)",
    )
    parser.add_argument(
        "--max-drop",
        default="1%",
        metavar="D%",
        help="what may be lost: points of accuracies, percent of other metrics (default 1%%)",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=10000,
        metavar="N",
        help="samples to measure the quality on, at most (default 10000)",
    )
    parser.add_argument("--spec", type=Path, metavar="TOML", help="what a model file does not say")
    parser.add_argument("--calib", type=Path, metavar="DIR", help="samples for a model file")
    parser.add_argument("--force", action="store_true", help="replace a bundle that is there")
    parser.add_argument(
        "--explain", action="store_true", help="print what was tried and why it was decided so"
    )
    add_beams_option(parser)
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    with explain_missing("exporting"):
        from edgedl.bundle.explain import explain
        from edgedl.export import ExportOptions, export
        from edgedl.export.gate import percent
    options = ExportOptions(
        targets=tuple(args.targets or ("cpu",)),
        precision=args.precision,
        max_drop=percent(args.max_drop),
        held_out=args.held_out,
        force=args.force,
        spec=args.spec,
        samples=args.calib,
        search=search_changes(args),
    )
    bundle = export(args.source, args.out, options, _say)
    if args.json:
        print_json(_to_json(bundle), args.json)
    if args.json != "-":
        _print_table(bundle)
        if args.explain:
            print("\n".join(map(escaped, explain(bundle.manifest))))
    print_next("edgedl", "verify", args.out)
    return 0


def _say(text: str) -> None:
    print(escaped(text), file=sys.stderr, flush=True)


def _to_json(bundle: Bundle) -> dict[str, Any]:
    import json

    manifest = json.loads(bundle.manifest.to_json())
    keys = (
        *("name", "kind", "precisions", "refused", "calibration", "quantization"),
        *("engines", "missing_engines", "machine", "digest"),
    )
    return {"bundle": str(bundle.path), **{key: manifest[key] for key in keys}}


def _print_table(bundle: Bundle) -> None:
    from rich.console import Console
    from rich.table import Table

    from edgedl.evaluate import main_metric
    from edgedl.timing import describe

    manifest = bundle.manifest
    metric = main_metric(manifest.task)
    n = manifest.precisions["fp32"].quality["n"]
    table = Table(
        "precision", title=f"{escaped(str(bundle.path))}: quality on {n:.0f} held-out samples"
    )
    for name in (metric.name.replace("_", " "), "95 % interval", "lost", "ms", "kB"):
        table.add_column(name, justify="right")
    for precision, record in manifest.precisions.items():
        quality = record.quality
        ends = [
            quality[name]
            for name in (f"{metric.name}_low", f"{metric.name}_high")
            if name in quality
        ]
        files = [g.file for g in manifest.graphs if g.precision == precision]
        table.add_row(
            precision,
            metric.show(quality[metric.name]),
            " - ".join(map(metric.show, ends)) or "-",
            metric.show_drop(record.drop_points),
            ", ".join(f"{ms:.3f}" for ms in record.latency_ms.values()) or "-",
            f"{sum(manifest.files[f].size_bytes for f in files) / 1000:.0f}",
        )
    # Names of files and nodes may look like markup.
    console = Console(markup=False, emoji=False, highlight=False)
    console.print(table)
    for refused in manifest.refused:
        console.print(f"refused: {escaped(refused.reason)}")
    for engine in manifest.engines:
        console.print(f"engine: {engine.file}")
    for target, reason in manifest.missing_engines.items():
        console.print(f"no engine for {target}: {escaped(reason)}", soft_wrap=True)
    console.print(f"ms: median of one answer, one thread, on {describe(manifest.machine)}")
    console.print(f"report: {escaped(str(bundle.path / 'report.html'))}", soft_wrap=True)
