"""``edgedl inspect``: what is in a bundle, without running it."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from edgedl.bundle import Bundle, Graph, Manifest
    from edgedl.spec import ModelSpec, TensorSpec


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "inspect",
        "show what is in a bundle: graphs, quality, speed, what was refused and why",
        example="edgedl inspect scenes.edge",
    )
    parser.add_argument("bundle", help="folder of the bundle, NAME.edge")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and show a bundle."""
    with explain_missing("inspecting"):
        from edgedl.bundle import Bundle
    bundle = Bundle.open(args.bundle)
    if args.json:
        manifest = json.loads(bundle.manifest.to_json())
        facts = {"path": str(bundle.path), "size_bytes": bundle.size_bytes}
        print_json({**facts, "manifest": manifest}, args.json)
    if args.json != "-":
        _print(bundle)
    print_next("edgedl", "verify", args.bundle)
    return 0


def _print(bundle: Bundle) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for key, value in _facts(bundle):
        console.print(f"[bold]{key:<12}[/] ", end="")
        console.print(plain(value))
    console.print(_precisions(bundle.manifest))
    console.print(_graphs(bundle))


def _facts(bundle: Bundle) -> Iterable[tuple[str, str]]:
    from edgedl.runtime.engine_file import cached_engines

    manifest = bundle.manifest
    yield "bundle", f"{bundle.path}: {manifest.name}, a {manifest.kind}"
    yield "sha256", manifest.digest
    yield "made", f"{manifest.created} by edgedl {manifest.edgedl}"
    yield "from", f"{manifest.parent.kind} {manifest.parent.sha256[:12]}"
    yield "size", f"{_size(bundle.size_bytes)} in {len(manifest.files) + 1} files"
    yield from _model_facts(bundle.model_spec)
    if decode := manifest.decode:
        yield "captions", f"{decode.method} search, at most {decode.max_tokens} tokens"
    for refused in manifest.refused:
        yield "refused", f"{refused.precision}: {refused.reason}"
    for engine in manifest.engines:
        yield "engine", f"{engine.file}, {engine.role} {engine.precision} for {engine.target}"
    for path, sidecar in cached_engines(bundle):
        made = f"{sidecar.get('precision')} with {sidecar.get('package')} {sidecar.get('tensorrt')}"
        yield "built here", f"{path}, {made}"
    if calibration := manifest.calibration:
        yield "calibration", f"{calibration.method} on {calibration.n} samples"
    yield "versions", ", ".join(f"{k} {v}" for k, v in manifest.versions.items()) or "not recorded"


def _model_facts(model: ModelSpec) -> Iterable[tuple[str, str]]:
    """Say what goes in and what comes out."""
    if spec := model.image:
        yield "image", f"{spec.shape} {spec.dtype} {spec.pixel_format}, {spec.resize}, {spec.fit}"
    if clip := model.clip:
        yield "clip", f"{clip.frames} frames, every {clip.every}. of a live source"
    if text := model.text:
        length = f", {text.length} at most" if text.length else ""
        yield "text", f"{text.unit}s{length}, {len(model.tokens)} different ones known"
    if series := model.series:
        yield "window", f"{series.window} rows of {', '.join(series.inputs)}"
        yield "predicts", f"{', '.join(series.outputs)}, {series.horizon} rows after the last"
    if model.labels:
        shown = ", ".join(model.labels[:10])
        yield "labels", f"{len(model.labels)}: {shown}" + (" …" if len(model.labels) > 10 else "")


def _precisions(manifest: Manifest) -> Table:
    """Return quality and speed of what was written."""
    from rich.table import Column, Table

    metrics = _keys(r.quality for r in manifest.precisions.values())
    backends = _keys(r.latency_ms for r in manifest.precisions.values())
    names = ["precision", *metrics, "drop", *(f"{name} ms" for name in backends)]
    table = Table(*(Column(plain(name)) for name in names))
    for name, record in manifest.precisions.items():
        values = [_number(record.quality.get(key)) for key in metrics]
        times = [_number(record.latency_ms.get(key)) for key in backends]
        table.add_row(name, *values, f"{record.drop_points:.2f}", *times)
    return table


def _graphs(bundle: Bundle) -> Table:
    """Return what each graph takes, gives and is made of."""
    from rich.table import Table

    table = Table("graph", "size", "in and out", "operators")
    for graph in bundle.manifest.graphs:
        size = bundle.manifest.files[graph.file].size_bytes
        row = (f"{graph.role} {graph.precision}", _size(size), _shapes(graph), _histogram(graph))
        table.add_row(*map(plain, row))
    return table


def _shapes(graph: Graph) -> str:
    def text(specs: Iterable[TensorSpec]) -> str:
        return ", ".join(f"{s.name} ({', '.join(map(str, s.shape))})" for s in specs)

    return f"{text(graph.inputs)} → {text(graph.outputs)}"


def _histogram(graph: Graph) -> str:
    return ", ".join(f"{name} {n}" for name, n in Counter(graph.operators).most_common())


def plain(text: str) -> Text:
    """Return text that is only text: no markup, and nothing a terminal would obey."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def _keys(tables: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for table in tables for key in table))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _size(size_bytes: int) -> str:
    if size_bytes < 1 << 20:
        return f"{size_bytes / (1 << 10):.1f} KiB"
    return f"{size_bytes / (1 << 20):.1f} MiB"
