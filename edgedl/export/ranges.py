"""Which range of a tensor's values INT8 should cover: four answers from one histogram.

A narrow range resolves the many small values, a wide one spares the few large ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from edgedl.export.observe import Histogram

Method = Literal["minmax", "percentile", "entropy", "mse"]
METHODS: tuple[Method, ...] = ("minmax", "percentile", "mse", "entropy")
"""All of them; of equally good ones export takes the first."""

Range = tuple[float, float]
Floats = npt.NDArray[np.float64]

CUT = 1e-4
"""Part of the values that ``percentile`` leaves outside, half of it at each end."""

_LEVELS = 128  # of a magnitude in INT8
_TRIES = 100
_ENTROPY_BINS = 2048
_PER_BIN = 32


def range_of(histogram: Histogram, method: Method) -> Range:
    """Return the lowest and highest value to represent; 0 is always between them.

    Args:
        histogram: What the tensor held.
        method: ``minmax`` takes every value in. ``percentile`` leaves the rarest ``CUT`` out.
            ``entropy`` clips magnitudes where the quantised distribution says least wrong about
            the original (Kullback-Leibler; after Migacz, "8-bit inference with TensorRT", 2017).
            ``mse`` clips magnitudes where the squared error, rounding and clipping together, is
            least.
    """
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if method == "minmax" or not histogram.width:
        return low, high
    if method == "percentile":
        below, above = _percentiles(histogram)
        return max(low, min(below, 0.0)), min(high, max(above, 0.0))
    limit = _entropy_limit(histogram) if method == "entropy" else _mse_limit(histogram, low, high)
    return max(low, -limit), min(high, limit)


def _percentiles(histogram: Histogram) -> Range:
    """Return the outer edges of the bins left when ``CUT / 2`` of the values go at each end."""
    part = np.cumsum(histogram.counts) / histogram.count
    first = int(np.searchsorted(part, CUT / 2, side="right"))
    last = int(np.searchsorted(part, 1 - CUT / 2))
    bins = histogram.first + first, histogram.first + min(last, len(part) - 1) + 1
    return bins[0] * histogram.width, bins[1] * histogram.width


def _magnitudes(histogram: Histogram) -> Floats:
    """Return how many values have a magnitude in ``k · width .. (k + 1) · width``, for all k."""
    bins = histogram.first + np.arange(len(histogram.counts))
    places = np.where(bins < 0, -bins - 1, bins)
    return np.bincount(places, histogram.counts).astype(np.float64)


def _entropy_limit(histogram: Histogram) -> float:
    counts, width = _magnitudes(histogram), histogram.width
    # Few values in many bins look like a distribution of their own that any range keeps.
    while len(counts) > _ENTROPY_BINS or (
        len(counts) > 2 * _LEVELS and counts[1:].sum() < _PER_BIN * len(counts)
    ):
        counts = np.add.reduceat(counts, np.arange(0, len(counts), 2))
        width *= 2
    if len(counts) <= _LEVELS:
        return len(counts) * width
    # Zeros, such as a Relu makes of half of its values, are exact in INT8 at any range. Spread over
    # a level they would speak for the narrowest one, where a level is a bin.
    counts[0] = min(counts[0], counts[1])
    step = max(1, (len(counts) - _LEVELS) // _TRIES)
    kept = np.unique([*range(_LEVELS, len(counts), step), len(counts)])
    divergence = [_divergence(counts, n) for n in kept]
    return float(kept[int(np.argmin(divergence))] * width)


def _divergence(counts: Floats, kept: int) -> float:
    """Return how far the first ``kept`` bins, in ``_LEVELS`` levels, are from all of them."""
    inside = counts[:kept]
    wanted = inside.copy()
    wanted[-1] += counts[kept:].sum()
    level = np.arange(kept) * _LEVELS // kept
    is_there = inside > 0
    total = np.bincount(level, inside, _LEVELS)
    places = np.bincount(level, is_there, _LEVELS)
    found = np.where(is_there, (total / np.maximum(places, 1))[level], 0.0)
    if not found.sum():
        return float("inf")
    p, q = wanted / wanted.sum(), found / found.sum()
    both = (p > 0) & (q > 0)
    # What was clipped onto an empty bin has no counterpart; it counts as one in 10 000.
    lost = np.sum(p[(p > 0) & (q == 0)]) * np.log(1e4)
    return float(np.sum(p[both] * np.log(p[both] / q[both])) + lost)


def _mse_limit(histogram: Histogram, low: float, high: float) -> float:
    centers, counts = histogram.centers, histogram.counts
    limits = max(-low, high) * np.arange(1, _TRIES + 1) / _TRIES
    errors = []
    for limit in limits:
        bottom, top = max(low, -limit), min(high, limit)
        scale = (top - bottom) / (2 * _LEVELS - 1)
        rounded = np.round(np.clip(centers, bottom, top) / scale) * scale
        errors.append(float(np.sum(counts * (rounded - centers) ** 2)))
    return float(limits[int(np.argmin(errors))])
