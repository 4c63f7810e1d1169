"""The decisions of an export in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedl.bundle.manifest import LayerRecord, Manifest, Quantization

SHOWN = 8
"""Layers that are named for each precision, and all that stayed in float."""

_OUTLIERS = 2.0
_JUDGED = {"bf16": "judged by its rounding: computed in fp32, each tensor rounded to bf16"}


def explain(manifest: Manifest) -> list[str]:
    """Return what was tried for each precision, what was decided, and why; one line each."""
    lines = []
    for precision, record in manifest.precisions.items():
        if precision not in manifest.quantization:
            judged = f", {_JUDGED[precision]}" if precision in _JUDGED else ""
            lines.append(f"{precision}: written; it loses {_lost(record.drop_points)}{judged}")
            continue
        lines.append(f"{precision}: written; it loses {_lost(record.drop_points)}, after")
        lines += _of(manifest.quantization[precision])
    for refused in manifest.refused:
        lines.append(f"{refused.precision}: refused. {refused.reason}")
        if refused.precision in manifest.quantization:
            lines += _of(manifest.quantization[refused.precision])
    for target, reason in manifest.missing_engines.items():
        lines.append(f"no engine for {target}: {reason}")
    return lines


def describe_layer(layer: LayerRecord) -> str:
    """Return what a layer loses by INT8, what came in, and whether few values took the range."""
    text = f"{layer.role} {layer.node} ({layer.operator}): error {100 * layer.error:.3g} %"
    if layer.extent:
        text += f", values {layer.extent[0]:.3g} to {layer.extent[1]:.3g}"
    if has_outliers(layer):
        text += f" of which 99.99 % lie in {layer.bulk[0]:.3g} to {layer.bulk[1]:.3g}"
    return text + (" -> float" if layer.in_float else "")


def has_outliers(layer: LayerRecord) -> bool:
    """Return whether a few values make the range more than twice as wide as the others need."""
    if not (layer.extent and layer.bulk):
        return False
    return max(map(abs, layer.extent)) > _OUTLIERS * max(map(abs, layer.bulk))


def _of(quantization: Quantization) -> Iterator[str]:
    for tried in quantization.tries:
        speed = f", {tried.speedup:.2f}x as fast as fp32" if tried.speedup else ""
        taken = "  <- taken" if tried.recipe == quantization.recipe else ""
        error = f"outputs change by {100 * tried.error:.3g} %"
        yield f"  {tried.recipe}: lost {_lost(tried.lost)} while choosing, {error}{speed}{taken}"
    shown = quantization.layers[:SHOWN]
    if quantization.layers:
        yield f"  the layers that lose most, of {len(quantization.layers)}, each alone in INT8:"
    for layer in (*shown, *(one for one in quantization.layers[SHOWN:] if one.in_float)):
        yield f"    {describe_layer(layer)}"


def _lost(points: float) -> str:
    return f"{points:.3g}" if points > 0 else "nothing"
