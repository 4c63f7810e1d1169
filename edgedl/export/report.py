"""``report.html``: one self-contained page that says what a bundle is worth, with pictures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.evaluate import main_metric
from edgedl.export.report_int8 import int8_sections
from edgedl.html_page import escape, jpeg_uri, page, png_uri, section, table, tile_row
from edgedl.printable import counted
from edgedl.timing import P99_MIN_SAMPLES, describe, summary

if TYPE_CHECKING:
    from edgedl.bundle import Given
    from edgedl.bundle.manifest import Manifest

EXTRA_MARK = "<!-- more sections -->"

_MADE_FOR = {
    "fp32": "reference",
    "fp16": "TensorRT, TensorRT-RTX",
    "bf16": "TensorRT, TensorRT-RTX; judged by its rounding",
    "int8-cpu": "CPUs",
    "int8-packed": "CPUs, its step by our own kernel",
    "int8-trt": "TensorRT on Jetson",
}
_COLORS = {
    "fp32": "#64748b",
    "fp16": "#0284c7",
    "bf16": "#0d9488",
    "int8-cpu": "#059669",
    "int8-packed": "#65a30d",
    "int8-trt": "#7c3aed",
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out sample with what was said about it.

    Attributes:
        given: A picture, the frames of a clip, or a text.
        answers: Precision to answer and whether it is right.
    """

    given: Given
    answers: Mapping[str, tuple[str, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """All a report tells.

    Attributes:
        manifest: Of the bundle; its ``files`` are not looked at.
        times_ms: Precision to times of answers.
        sizes_bytes: Precision to size of its graphs together.
        samples: Some to show.
        warnings: About the calibration.
        curves_png: Of the training, if there are any.
        max_drop: What was allowed.
        origin_errors: Relative error of each output of the fp32 graphs against the network.
    """

    manifest: Manifest
    times_ms: Mapping[str, Sequence[float]]
    sizes_bytes: Mapping[str, int]
    samples: Sequence[Sample]
    warnings: Sequence[str]
    curves_png: bytes | None
    max_drop: float
    origin_errors: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Row:
    """One precision, written or refused."""

    precision: str
    quality: Mapping[str, float]
    drop_points: float
    reason: str | None


def write_report(path: Path, facts: ReportFacts) -> None:
    """Write the page; it needs nothing but itself."""
    manifest = facts.manifest
    rows = _rows(manifest)
    body = [
        f"<h1>{escape(manifest.name)}</h1>",
        f'<p class="lead">{escape(_lead(manifest))}</p>',
        _tiles(facts, rows),
        *(section("Look at this first", "", escape(w), "warn") for w in facts.warnings),
        _quality(facts, rows),
        _latency(facts),
        _refused(rows),
        int8_sections(manifest, facts.times_ms),
        _samples(facts.samples),
        EXTRA_MARK,
        _curves(facts.curves_png),
        _details(facts),
    ]
    path.write_text(page(f"{manifest.name} · export report", "\n".join(body)), encoding="utf-8")


def write_demo_report(folder: Path) -> None:
    """Write ``folder/report.html``: the bundle's report with the measured latency of the stages.

    Args:
        folder: Of ``edgedl demo``; holds ``scenes.edge`` and ``latency.json`` of ``edgedl bench``.
    """
    page = (folder / "scenes.edge" / "report.html").read_text(encoding="utf-8")
    latency = json.loads((folder / "latency.json").read_text(encoding="utf-8"))
    page = page.replace(EXTRA_MARK, _bench(latency))
    (folder / "report.html").write_text(page, encoding="utf-8")


def _lead(manifest: Manifest) -> str:
    made = f"exported {manifest.created} by edgedl {manifest.edgedl}"
    return f"{manifest.task}, {_input(manifest)}, {made}"


def _input(manifest: Manifest) -> str:
    """Say what goes in."""
    parts = []
    if image := manifest.image_spec:
        height, width = image.size_hw
        parts.append(f"{width}×{height} {image.pixel_format}")
    if clip := manifest.clip:
        parts.append(f"clips of {clip.frames} frames")
    if text := manifest.text:
        parts.append(f"{text.unit}s" + (f", {text.length} at most" if text.length else ""))
    if series := manifest.series:
        parts.append(f"windows of {series.window} rows of {len(series.inputs)} columns")
    if decode := manifest.decode:
        parts.append(f"{decode.method} search" + f" of {decode.beams}" * (decode.beams > 1))
    return ", ".join(parts)


def _rows(manifest: Manifest) -> list[_Row]:
    metric = main_metric(manifest.task)
    of_fp32 = manifest.precisions["fp32"].quality[metric.name]
    rows = [_Row(name, r.quality, r.drop_points, None) for name, r in manifest.precisions.items()]
    for r in manifest.refused:
        lost = metric.drop(r.quality[metric.name], of_fp32) if r.quality else float("nan")
        rows.append(_Row(r.precision, r.quality, lost, r.reason))
    return sorted(rows, key=lambda row: list(_MADE_FOR).index(row.precision))


def _tiles(facts: ReportFacts, rows: Sequence[_Row]) -> str:
    written = [row for row in rows if row.reason is None]
    fp32, metric = rows[0].quality, main_metric(facts.manifest.task)
    tiles = [
        (metric.show(fp32[metric.name]), f"{_words(metric.name)}, fp32, n = {fp32['n']:.0f}"),
        (f"{len(written)} of {len(rows)}", "precisions written"),
    ]
    medians = {name: statistics.median(times) for name, times in facts.times_ms.items()}
    if medians:
        best = min(medians.keys() & {r.precision for r in written}, key=medians.__getitem__)
        tiles.append((f"{medians[best]:.3g} ms", f"per answer, {best}, median, one thread"))
    if "int8-cpu" in facts.manifest.precisions:
        smaller = facts.sizes_bytes["fp32"] / facts.sizes_bytes["int8-cpu"]
        tiles.append((f"{smaller:.1f}× smaller", "int8-cpu graphs against fp32"))
    return tile_row(tiles)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _quality(facts: ReportFacts, rows: Sequence[_Row]) -> str:
    metric, fp32 = main_metric(facts.manifest.task), rows[0].quality
    ends = [f"{metric.name}_low", f"{metric.name}_high"]
    others = [key for key in fp32 if key not in (metric.name, *ends, "n")]
    head = ["precision", "made for", _words(metric.name), "95 % interval", "lost"]
    head += [*map(_words, others), "size"]
    body = []
    for row in rows:
        q = row.quality
        cells = [_name(row), escape(_MADE_FOR[row.precision])]
        if q:
            cells += [
                metric.show(q[metric.name]),
                " – ".join(metric.show(q[end]) for end in ends if end in q) or "–",
                "–" if row.precision == "fp32" else metric.show_drop(row.drop_points),
                *(f"{q.get(key, float('nan')):.4g}" for key in others),
            ]
        else:
            cells += ["–"] * (3 + len(others))
        cells.append(_size(facts.sizes_bytes.get(row.precision, 0)))
        body.append((cells, "refused" if row.reason else ""))
    note = (
        f"The same {fp32['n']:.0f} held-out samples for every precision, prepared once; "
        f"{_words(metric.name)} decides. At most {metric.show_drop(facts.max_drop)} of it may be "
        "lost against fp32. Intervals: Wilson's for parts, a block bootstrap for means."
    )
    content = table(head, body) + _interval_chart(facts.manifest, rows)
    return section("Quality", escape(note), content, "quality")


def _interval_chart(manifest: Manifest, rows: Sequence[_Row]) -> str:
    """Draw the main metric with its interval, one line per precision."""
    metric = main_metric(manifest.task)
    value, below, above = metric.name, f"{metric.name}_low", f"{metric.name}_high"
    known = [row for row in rows if below in row.quality]
    if not known:
        return ""
    low = min(row.quality[below] for row in known)
    high = max(row.quality[above] for row in known)
    pad = 0.08 * (high - low) or 0.01
    start, end = low - pad, high + pad
    if metric.unit == "points":
        start, end = max(0.0, start), min(1.0, end)

    def x(value: float) -> float:
        return 110 + 780 * (value - start) / (end - start)

    parts = []
    for step in range(5):
        at = start + (end - start) * step / 4
        parts.append(
            f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="6" y2="{len(known) * 28 + 4}" '
            f'stroke="#e2e8f0"/><text class="soft" x="{x(at):.1f}" '
            f'y="{len(known) * 28 + 22}" text-anchor="middle">{metric.show(at)}</text>'
        )
    for index, row in enumerate(known):
        y, q, color = 20 + 28 * index, row.quality, _COLORS[row.precision]
        a, b = x(q[below]), x(q[above])
        parts.append(
            f'<text x="0" y="{y + 4}">{row.precision}</text>'
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{color}" '
            f'stroke-width="6" stroke-linecap="round" opacity="0.3"/>'
            f'<circle cx="{x(q[value]):.1f}" cy="{y}" r="5.5" fill="{color}"/>'
        )
    height = len(known) * 28 + 30
    return (
        f'<svg viewBox="0 0 930 {height}" width="100%" style="margin-top:16px;min-width:560px" '
        f'role="img" aria-label="the main metric of each precision">{"".join(parts)}</svg>'
    )


def _latency(facts: ReportFacts) -> str:
    if not facts.times_ms:
        return ""
    head = ["precision", "p50", "p90", "p99", "max", "against fp32"]
    fp32 = statistics.median(facts.times_ms["fp32"])
    written = set(facts.manifest.precisions)
    body, bars = [], []
    for name, times in facts.times_ms.items():
        s = summary(times)
        p50 = float(s["p50"] or 0)
        row = _Row(name, {}, 0.0, None if name in written else "refused")
        shown = [f"{s[p]:.3f} ms" if s[p] is not None else "–" for p in ("p50", "p90", "p99")]
        body.append(([_name(row), *shown, f"{s['max']:.2f} ms", f"{fp32 / p50:.2f}×"], ""))
        bars.append((name, p50, float(s["p90"] or 0)))
    n = len(facts.times_ms["fp32"])
    note = (
        "One answer (of generated text one character) to a real sample, ONNX Runtime, one thread, "
        f"without preparing it; n = {n} each, precisions in turn, so that a disturbance hits both"
        + ("" if n >= P99_MIN_SAMPLES else f"; a p99 needs {P99_MIN_SAMPLES}")
        + f". {describe(facts.manifest.machine)}."
    )
    return section("Latency on this machine", escape(note), table(head, body) + _bars(bars))


def _bars(bars: Sequence[tuple[str, float, float]]) -> str:
    longest = max(p90 for _, _, p90 in bars)
    parts = []
    for index, (name, p50, p90) in enumerate(bars):
        y, color = 6 + 34 * index, _COLORS[name]
        a, b = 700 * p50 / longest, 700 * p90 / longest
        parts.append(
            f'<text x="0" y="{y + 16}">{name}</text>'
            f'<rect x="110" y="{y}" width="{b:.1f}" height="22" rx="4" fill="{color}" '
            f'opacity="0.25"/><rect x="110" y="{y}" width="{a:.1f}" height="22" rx="4" '
            f'fill="{color}"/><text x="{118 + b:.1f}" y="{y + 16}">{p50:.2f} ms</text>'
        )
    return (
        f'<svg viewBox="0 0 930 {34 * len(bars) + 4}" width="100%" '
        'style="margin-top:16px;min-width:560px" role="img" aria-label="median latency, p90 '
        f'lighter">{"".join(parts)}</svg>'
    )


def _refused(rows: Sequence[_Row]) -> str:
    reasons = [f"<p>{escape(row.reason)}.</p>" for row in rows if row.reason]
    return section("Refused, and why", "", "".join(reasons)) if reasons else ""


def _samples(samples: Sequence[Sample]) -> str:
    if not samples:
        return ""
    figures = []
    for sample in samples:
        lines = "".join(
            f"<div><small>{escape(name)}</small>"
            + (escape(text) if right else f'<span class="wrong">✗ {escape(text)}</span>')
            + "</div>"
            for name, (text, right) in sample.answers.items()
        )
        pictures = sample.given.pictures
        few = pictures[:: max(1, len(pictures) // 4)][:4]
        images = "".join(f'<img alt="" src="{jpeg_uri(picture)}">' for picture in few)
        text = f"<p>{escape(sample.given.text)}</p>" if sample.given.text else ""
        figures.append(f"<figure>{images}<figcaption>{text}{lines}</figcaption></figure>")
    note = (
        "Held-out samples as they are handed in, and at the end up to three where one precision is "
        "right and another is not. ✗ marks a wrong answer."
    )
    return section("Samples", note, f'<div class="grid">{"".join(figures)}</div>')


def _curves(png: bytes | None) -> str:
    if png is None:
        return ""
    image = f'<img class="wide" alt="training curves" src="{png_uri(png)}">'
    return section("Training", "", image)


def _details(facts: ReportFacts) -> str:
    manifest = facts.manifest
    calibration = manifest.calibration
    rows = [("made from", f"{manifest.parent.kind}, weights sha256 {manifest.parent.sha256}")]
    errors = ", ".join(f"{name} {error:.1e}" for name, error in facts.origin_errors.items())
    against = "PyTorch" if manifest.parent.kind == "run" else "the model as it came"
    rows.append((f"fp32 graphs against {against}", f"largest relative error: {errors}"))
    if calibration:
        samples = f"{counted(calibration.n, 'sample')}, sha256 {calibration.sha256}"
        rows.append(("calibration", f"{samples}; {calibration.method}"))
    for engine in manifest.engines:
        rows.append(("engine", f"{engine.file}, from the {engine.precision} graph"))
    for graph in manifest.graphs:
        operators = ", ".join(f"{name} {count}" for name, count in graph.operators.items())
        rows.append((graph.file, operators))
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in manifest.versions.items())))
    body = "".join(
        f'<tr><td>{escape(k)}</td><td class="text" style="white-space:normal">'
        f"<code>{escape(v)}</code></td></tr>"
        for k, v in rows
    )
    return section("Details", "", f"<table>{body}</table>")


def _bench(latency: Mapping[str, Any]) -> str:
    """Return the section of ``edgedl bench``'s result."""
    stages = list(latency["cases"][0]["stage_ms"])
    head = ["precision", *stages, "p50", "p90", "p99", "frames/s"]
    body = []
    for case in latency["cases"]:
        times = [
            *case["stage_ms"].values(),
            *(case["latency_ms"][p] for p in ("p50", "p90", "p99")),
        ]
        cells = [_name(_Row(case["precision"], {}, 0.0, None))]
        cells += ["–" if t is None else f"{t:.2f} ms" for t in times]
        body.append(([*cells, f"{case['throughput_hz']:.0f}"], ""))
    note = (
        f"From a frame of a video to its caption, n = {latency['cases'][0]['n']} frames each, "
        f"precisions in turn. {describe(latency['machine'])}."
    )
    return section("Frame to caption", escape(note), table(head, body))


def _name(row: _Row) -> str:
    tag = '<span class="tag">refused</span>' if row.reason else ""
    color = _COLORS.get(row.precision, "#64748b")
    return f'<span class="dot" style="background:{color}"></span>{escape(row.precision)}{tag}'


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes else "–"
