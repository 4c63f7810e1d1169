"""The part of an export's report that tells how INT8 came to be: ways tried, layers, trade-off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedl.bundle.explain import describe_layer, has_outliers
from edgedl.evaluate import Metric, main_metric
from edgedl.html_page import escape, section, table

if TYPE_CHECKING:
    from edgedl.bundle.manifest import LayerRecord, Manifest

_SHOWN = 24
_INT8, _FLOAT = "#059669", "#dc2626"

_NOTE = (
    "Each layer alone in INT8, all others in float: what the outputs change by, root mean square, "
    "as a part of their own. Red ones were left in float. The scale is logarithmic."
)


def int8_sections(manifest: Manifest, times_ms: Mapping[str, Sequence[float]]) -> str:
    """Return the sections for the INT8 precisions that were looked for, as HTML.

    Args:
        manifest: Of the bundle.
        times_ms: Precision to times of answers.
    """
    metric = main_metric(manifest.task)
    parts = [_tried(manifest, metric), _trade_off(manifest, metric, times_ms)]
    parts += [
        section(f"What each layer of {precision} loses", _NOTE, _layers(found.layers))
        for precision, found in manifest.quantization.items()
        if found.layers
    ]
    return "".join(parts)


def _tried(manifest: Manifest, metric: Metric) -> str:
    rows = [
        (
            [
                escape(precision),
                escape(tried.recipe),
                f"{100 * tried.error:.3g} %",
                metric.show_drop(tried.lost),
                f"{tried.speedup:.2f}×" if tried.speedup else "–",
                "taken" if tried.recipe == found.recipe else "",
            ],
            "",
        )
        for precision, found in manifest.quantization.items()
        for tried in found.tries
    ]
    if not rows:
        return ""
    note = (
        "Ways to choose ranges, in the order of what they change the outputs by, then how many "
        "layers stay in float; judged on samples other than the held-out ones. The first that is "
        "good enough is taken."
    )
    head = ["precision", "way", "outputs change by", "lost", "times as fast as fp32", ""]
    return section("How INT8 was found", note, table(head, rows))


def _layers(layers: Sequence[LayerRecord]) -> str:
    """Draw one bar for each of the worst layers."""
    shown = layers[:_SHOWN]
    errors = [max(layer.error, 1e-6) for layer in shown]
    low, high = math.log10(min(errors)) - 0.3, math.log10(max(errors))
    parts = []
    for index, (layer, error) in enumerate(zip(shown, errors, strict=True)):
        y = 4 + 24 * index
        width = 6 + 320 * (math.log10(error) - low) / (high - low)
        color = _FLOAT if layer.in_float else _INT8
        mark = " ◆ outliers" if has_outliers(layer) else ""
        parts.append(
            f"<g><title>{escape(describe_layer(layer))}</title>"
            f'<text x="0" y="{y + 13}">{escape(_short(layer))}</text>'
            f'<rect x="360" y="{y}" width="{width:.1f}" height="17" rx="4" fill="{color}"/>'
            f'<text class="soft" x="{368 + width:.1f}" y="{y + 13}">{100 * layer.error:.3g} %, '
            f"{escape(_extent(layer))}{mark}</text></g>"
        )
    rest = len(layers) - len(shown)
    more = f'<p class="note">and {rest} more that lose less</p>' if rest else ""
    return (
        f'<svg viewBox="0 0 930 {24 * len(shown) + 6}" width="100%" style="min-width:560px" '
        f'role="img" aria-label="error of each layer">{"".join(parts)}</svg>{more}'
    )


def _short(layer: LayerRecord) -> str:
    text = f"{layer.role} {layer.node}"
    return text if len(text) <= 52 else f"{text[:20]}…{text[-31:]}"


def _extent(layer: LayerRecord) -> str:
    if not layer.extent:
        return "ranges as it runs"
    return f"values {layer.extent[0]:.3g} to {layer.extent[1]:.3g}"


def _trade_off(manifest: Manifest, metric: Metric, times_ms: Mapping[str, Sequence[float]]) -> str:
    """Draw what is lost against the time of an answer, of all that was timed."""
    medians = {name: statistics.median(times) for name, times in times_ms.items()}
    if len(medians) < 2:
        return ""
    records = manifest.precisions
    points = [
        (medians[name], records[name].drop_points, name) for name in medians if name in records
    ]
    points += [
        (medians["fp32"] / tried.speedup, tried.lost, f"{name}: {tried.recipe}")
        for name, found in manifest.quantization.items()
        for tried in found.tries
        if tried.speedup
    ]
    note = "To the left is faster, to the top is better. Median of one answer, one thread."
    return section("Quality against time", note, _scatter(points, metric))


def _scatter(points: Sequence[tuple[float, float, str]], metric: Metric) -> str:
    slowest = max(ms for ms, _, _ in points)
    lost = [drop for _, drop, _ in points]
    low, high = min(*lost, 0.0), max(*lost, 0.0)
    spread = (high - low) or 1.0
    parts = [
        '<line x1="60" x2="900" y1="190" y2="190" stroke="#94a3b8"/>',
        f'<text class="soft" x="900" y="208" text-anchor="end">{slowest:.3g} ms</text>',
        '<text class="soft" x="60" y="208">0 ms</text>',
    ]
    rows = []
    for number, (ms, drop, name) in enumerate(sorted(points), start=1):
        x = 60 + 840 * ms / slowest
        y = 24 + 150 * (drop - low) / spread
        up = 14 if number % 2 else -24
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{_INT8}"/>'
            f'<text x="{x:.1f}" y="{y - up:.1f}" text-anchor="middle">{number}</text>'
        )
        cells = [f"{number}: {escape(name)}", f"{ms:.3g} ms", metric.show_drop(drop)]
        rows.append((cells, ""))
    return (
        '<svg viewBox="0 0 930 214" width="100%" style="min-width:560px" role="img" '
        f'aria-label="what is lost against time">{"".join(parts)}</svg>'
        + table(["", "time", "lost"], rows)
    )
