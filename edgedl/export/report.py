"""``report.html``: one self-contained page that says what a bundle is worth, with pictures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.html_page import escape, jpeg_uri, page, png_uri, section, table, tile_row
from edgedl.timing import P99_MIN_SAMPLES, describe, summary

if TYPE_CHECKING:
    from edgedl.bundle.manifest import Manifest
    from edgedl.frame import U8Image

EXTRA_MARK = "<!-- more sections -->"

_MADE_FOR = {
    "fp32": "reference",
    "fp16": "TensorRT, TensorRT-RTX",
    "int8-cpu": "CPUs",
    "int8-trt": "TensorRT on Jetson",
}
_COLORS = {"fp32": "#64748b", "fp16": "#0284c7", "int8-cpu": "#059669", "int8-trt": "#7c3aed"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One held-out picture with what was said about it.

    Attributes:
        picture: bgr8.
        captions: Precision to caption and whether it is right.
    """

    picture: U8Image
    captions: Mapping[str, tuple[str, bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """All a report tells.

    Attributes:
        manifest: Of the bundle; its ``files`` are not looked at.
        times_ms: Precision to times of captions.
        sizes_bytes: Precision to size of its graphs together.
        samples: Pictures to show.
        warnings: About the calibration.
        curves_png: Of the training, if there are any.
        max_drop_points: What was allowed.
        torch_errors: Relative error of each output of the fp32 graphs against PyTorch.
    """

    manifest: Manifest
    times_ms: Mapping[str, Sequence[float]]
    sizes_bytes: Mapping[str, int]
    samples: Sequence[Sample]
    warnings: Sequence[str]
    curves_png: bytes | None
    max_drop_points: float
    torch_errors: Mapping[str, float]


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
    height, width = manifest.image_spec.size_hw
    return (
        f"{manifest.task}, {width}×{height} {manifest.image_spec.pixel_format}, "
        f"{manifest.decode.method} search, exported {manifest.created} by edgedl {manifest.edgedl}"
    )


def _rows(manifest: Manifest) -> list[_Row]:
    of_fp32 = manifest.precisions["fp32"].quality["exact"]
    rows = [_Row(name, r.quality, r.drop_points, None) for name, r in manifest.precisions.items()]
    for r in manifest.refused:
        lost = 100 * (of_fp32 - r.quality["exact"]) if r.quality else float("nan")
        rows.append(_Row(r.precision, r.quality, lost, r.reason))
    return sorted(rows, key=lambda row: list(_MADE_FOR).index(row.precision))


def _tiles(facts: ReportFacts, rows: Sequence[_Row]) -> str:
    written = [row for row in rows if row.reason is None]
    fp32 = rows[0].quality
    tiles = [
        (f"{100 * fp32['exact']:.1f} %", f"exact captions, fp32, n = {fp32['n']:.0f}"),
        (f"{len(written)} of {len(rows)}", "precisions written"),
    ]
    medians = {name: statistics.median(times) for name, times in facts.times_ms.items()}
    if medians:
        best = min(medians.keys() & {r.precision for r in written}, key=medians.__getitem__)
        tiles.append((f"{medians[best]:.2f} ms", f"per caption, {best}, median, one thread"))
    if "int8-cpu" in facts.manifest.precisions:
        smaller = facts.sizes_bytes["fp32"] / facts.sizes_bytes["int8-cpu"]
        tiles.append((f"{smaller:.1f}× smaller", "int8-cpu graphs against fp32"))
    return tile_row(tiles)


def _quality(facts: ReportFacts, rows: Sequence[_Row]) -> str:
    head = ["precision", "made for", "exact", "95 % interval", "lost"]
    head += ["BLEU-4", "CIDEr-D", "size"]
    body = []
    for row in rows:
        q = row.quality
        cells = [_name(row), escape(_MADE_FOR[row.precision])]
        if q:
            low, high = 100 * q.get("exact_low", 0.0), 100 * q.get("exact_high", 0.0)
            cells += [
                f"{100 * q['exact']:.2f} %",
                f"{low:.1f} – {high:.1f} %",
                "–" if row.precision == "fp32" else f"{row.drop_points:+.2f} points",
                f"{q['bleu4']:.3f}",
                f"{q['cider_d']:.2f}",
            ]
        else:
            cells += ["–"] * 5
        cells.append(_size(facts.sizes_bytes.get(row.precision, 0)))
        body.append((cells, "refused" if row.reason else ""))
    n = rows[0].quality["n"]
    note = (
        f"The same {n:.0f} held-out pictures for every precision, pre-processed once; exact means "
        "the caption is one that the scene's grammar licenses. At most "
        f"{facts.max_drop_points:g} points of it may be lost against fp32. Intervals are Wilson's."
    )
    content = table(head, body) + _interval_chart(rows)
    return section("Quality", escape(note), content, "quality")


def _interval_chart(rows: Sequence[_Row]) -> str:
    """Draw exact match with its interval, one line per precision."""
    known = [row for row in rows if "exact_low" in row.quality]
    low = min(100 * row.quality["exact_low"] for row in known)
    high = max(100 * row.quality["exact_high"] for row in known)
    pad = max(0.5, 0.08 * (high - low))
    start, end = max(0.0, low - pad), min(100.0, high + pad)

    def x(value: float) -> float:
        return 110 + 780 * (value - start) / (end - start)

    parts = []
    for step in range(5):
        value = start + (end - start) * step / 4
        parts.append(
            f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="6" y2="{len(known) * 28 + 4}" '
            f'stroke="#e2e8f0"/><text class="soft" x="{x(value):.1f}" '
            f'y="{len(known) * 28 + 22}" text-anchor="middle">{value:.1f} %</text>'
        )
    for index, row in enumerate(known):
        y, q, color = 20 + 28 * index, row.quality, _COLORS[row.precision]
        a, b = x(100 * q["exact_low"]), x(100 * q["exact_high"])
        parts.append(
            f'<text x="0" y="{y + 4}">{row.precision}</text>'
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke="{color}" '
            f'stroke-width="6" stroke-linecap="round" opacity="0.3"/>'
            f'<circle cx="{x(100 * q["exact"]):.1f}" cy="{y}" r="5.5" fill="{color}"/>'
        )
    height = len(known) * 28 + 30
    return (
        f'<svg viewBox="0 0 930 {height}" width="100%" style="margin-top:16px;min-width:560px" '
        f'role="img" aria-label="exact match of each precision">{"".join(parts)}</svg>'
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
        "Encoder and decoding loop of one real picture, ONNX Runtime, one thread, without "
        f"pre-processing; n = {n} each, precisions in turn, so that a disturbance hits both"
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
    figures = []
    for sample in samples:
        lines = "".join(
            f"<div><small>{escape(name)}</small>"
            + (escape(text) if right else f'<span class="wrong">✗ {escape(text)}</span>')
            + "</div>"
            for name, (text, right) in sample.captions.items()
        )
        figures.append(
            f'<figure><img alt="" src="{jpeg_uri(sample.picture)}">'
            f"<figcaption>{lines}</figcaption></figure>"
        )
    note = (
        "Held-out pictures as the camera saw them: the first ones in order, and at the end up to "
        "three where one precision is right and another is not. ✗ marks a wrong caption."
    )
    return section("Captions", note, f'<div class="grid">{"".join(figures)}</div>')


def _curves(png: bytes | None) -> str:
    if png is None:
        return ""
    image = f'<img class="wide" alt="training curves" src="{png_uri(png)}">'
    return section("Training", "", image)


def _details(facts: ReportFacts) -> str:
    manifest = facts.manifest
    calibration = manifest.calibration
    rows = [("made from", f"{manifest.parent.kind}, weights sha256 {manifest.parent.sha256}")]
    errors = ", ".join(f"{name} {error:.1e}" for name, error in facts.torch_errors.items())
    rows.append(("fp32 graphs against PyTorch", f"largest relative error: {errors}"))
    if calibration:
        about = f"{calibration.n} pictures, sha256 {calibration.sha256}; {calibration.method}"
        rows.append(("calibration", about))
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
