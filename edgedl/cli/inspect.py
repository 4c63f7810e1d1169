"""``edgedl inspect``: what is in a bundle, or what a runtime will say of an ONNX file."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.cli.parser import add_json_option, new_parser, print_json, print_next
from edgedl.deps import explain_missing
from edgedl.errors import BundleError
from edgedl.printable import counted

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from edgedl.bundle import Bundle, Graph, Manifest
    from edgedl.errors import EdgedlError
    from edgedl.spec import ModelSpec, TensorSpec


_OF_TORCH = (".pt2", ".pt", ".pth")
_ABOUT = """\
Of an ONNX file, and with --for of each graph of a bundle that is made for it, it says what a
runtime will refuse or take wrongly, the node and the mend; that takes edgedl[export]."""


def add(subparsers: Any) -> None:
    """Add the command."""
    parser = new_parser(
        subparsers,
        "inspect",
        "show what is in a bundle: graphs, quality, speed, what was refused and why",
        example="edgedl inspect scenes.edge",
    )
    parser.description = f"{parser.description}\n\n{_ABOUT}"
    parser.add_argument("model", type=Path, metavar="BUNDLE|MODEL.onnx", help="what to look at")
    parser.add_argument(
        "--for",
        dest="targets",
        action="append",
        choices=("cpu", "rtx", "trt10", "trt11", "jetson-orin:jp6"),
        help="a runtime that must take it, else E448; repeatable",
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check and show a bundle or an ONNX file."""
    ending = args.model.suffix.lower()
    if ending == ".onnx":
        return _inspect_onnx(args)
    if ending in _OF_TORCH and args.model.is_file():
        msg = (
            f"{args.model} is no bundle and no .onnx file; make a bundle of it first: edgedl "
            f"export {args.model} --out {args.model.stem}.edge"
        )
        raise BundleError("E400", msg)
    with explain_missing("inspecting"):
        from edgedl.bundle import Bundle
    bundle = Bundle.open(args.model)
    facts: dict[str, Any] = {}
    problem: EdgedlError | None = None
    if args.targets:
        with explain_missing("looking for what a runtime refuses"):
            from edgedl.export.onnx_facts import findings_of_bundle
        facts["findings"], problem = findings_of_bundle(bundle, args.targets)
    if args.json:
        manifest = json.loads(bundle.manifest.to_json())
        size = {"path": str(bundle.path), "size_bytes": bundle.size_bytes}
        print_json({**size, **facts, "manifest": manifest}, args.json)
    if args.json != "-":
        _print(bundle)
        if args.targets:
            _print_findings(facts["findings"])
    if problem:
        raise problem
    print_next("edgedl", "verify", args.model)
    return 0


def _inspect_onnx(args: argparse.Namespace) -> int:
    with explain_missing("inspecting an ONNX file"):
        from edgedl.export.onnx_facts import facts_of_model
    facts, problem = facts_of_model(args.model, args.targets or ())
    if args.json:
        print_json(facts, args.json)
    if args.json != "-":
        _print_model(facts)
        _print_findings(facts["findings"])
    if problem:
        raise problem
    if facts["refusal"]:
        print(f"edgedl export will refuse it: {facts['refusal']}", file=sys.stderr)
        return 0
    print_next("edgedl", "export", args.model, "--out", f"{args.model.stem}.edge")
    return 0


def _print_model(facts: Mapping[str, Any]) -> None:
    from rich.console import Console

    def spell(tensors: Sequence[Mapping[str, Any]]) -> str:
        return ", ".join(
            f"{t['name']} {t['dtype']} ({', '.join(map(str, t['shape']))})" for t in tensors
        )

    opsets = ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items())
    lines = {
        "model": f"{facts['path']}: {facts['size_bytes'] / (1 << 20):.1f} MiB",
        "made by": facts["producer"] or "not recorded",
        "opset": f"{opsets}; IR {facts['ir_version']}",
        "inputs": spell(facts["inputs"]),
        "outputs": spell(facts["outputs"]),
        "operators": ", ".join(f"{name} {n}" for name, n in facts["operators"].items()),
    }
    console = Console(highlight=False)
    for key, value in lines.items():
        console.print(f"[bold]{key:<12}[/] ", end="")
        console.print(plain(value))


def _print(bundle: Bundle) -> None:
    from rich.console import Console

    from edgedl.bundle.explain import explain
    from edgedl.timing import describe

    console = Console(highlight=False)
    for key, value in _facts(bundle):
        console.print(f"[bold]{key:<12}[/] ", end="")
        has_path = key in ("bundle", "built here")  # which cannot be copied once it is cut
        console.print(plain(value), soft_wrap=has_path)
    console.print(_precisions(bundle.manifest))
    measured = "ms: median of one answer, one thread, on"
    console.print(plain(f"{measured} {describe(bundle.manifest.machine)}"))
    console.print(_graphs(bundle))
    console.print("[bold]decisions[/]")
    for line in explain(bundle.manifest):
        console.print(plain(f"  {line}"))


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
        search = "greedy search" if decode.method == "greedy" else f"search of {decode.beams} beams"
        yield "captions", f"{search}, at most {decode.max_tokens} tokens"
    for engine in manifest.engines:
        yield "engine", f"{engine.file}, {engine.role} {engine.precision} for {engine.target}"
    for path, sidecar in cached_engines(bundle):
        made = f"{sidecar.get('precision')} with {sidecar.get('package')} {sidecar.get('tensorrt')}"
        yield "built here", f"{path}, {made}"
    if calibration := manifest.calibration:
        digest = calibration.sha256[:12]
        yield "calibration", f"{calibration.method} on {counted(calibration.n, 'sample')} {digest}"
    yield "golden", f"{counted(len(bundle.golden()), 'sample')} to prove itself with"
    yield "versions", ", ".join(f"{k} {v}" for k, v in manifest.versions.items()) or "not recorded"
    if manifest.licences:
        yield "licences", ", ".join(manifest.licences)


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
    """Return quality, speed and size of what was written.

    Intervals and errors of single columns (``mae_load``) are in ``--json`` and in the report.
    """
    from rich.table import Column, Table

    metrics = _keys(r.quality for r in manifest.precisions.values())
    ends = tuple(f"{name}_" for name in metrics)
    metrics = [name for name in metrics if name != "n" and not name.startswith(ends)]
    backends = _keys(r.latency_ms for r in manifest.precisions.values())
    names = ["precision", *metrics, "drop", *(f"{name} ms" for name in backends), "size"]
    table = Table(*(Column(plain(name), no_wrap=name == "precision") for name in names))
    for name, record in manifest.precisions.items():
        values = [_number(record.quality.get(key)) for key in metrics]
        times = [_number(record.latency_ms.get(key)) for key in backends]
        drop = f"{record.drop_points:.2f}" + ("" if record.kept_quality else ", too much")
        size = sum(
            manifest.files[g.file].size_bytes for g in manifest.graphs if g.precision == name
        )
        table.add_row(name, *values, drop, *times, _size(size))
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


def _print_findings(findings: Iterable[Mapping[str, str]]) -> None:
    """Print what runtimes will say, worst first; what several say, or of several nodes, once."""
    from rich.console import Console

    console = Console(highlight=False)
    said: dict[tuple[str, ...], list[str]] = {}
    for item in findings:
        what = tuple(item[k] for k in ("severity", "rule", "graph", "operator", "text", "node"))
        said.setdefault(what, []).append(item["target"])
    if not said:
        console.print("findings: none")
    nodes: dict[tuple[str, ...], list[str]] = {}
    for (*finding, node), targets in said.items():
        nodes.setdefault((*finding, ", ".join(targets)), []).append(node)
    order = ("error", "warning", "note")
    for what in sorted(nodes, key=lambda one: order.index(one[0])):
        severity, rule, graph, operator, text, runtimes = what
        first, *others = nodes[what]
        where = f"{operator} {first}".strip() + (f" and {len(others)} more" if others else "")
        line = f"{severity}: {graph}, {where}: {text} [{rule}; for {runtimes}]"
        console.print(plain(line), style={"error": "red", "warning": "yellow"}.get(severity))
    if any(len(names) > 1 for names in nodes.values()):
        console.print("all nodes: --json")


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
