"""What the tensors of a graph hold: one pass over the samples, a histogram of bounded size each.

No activation is stored, and all ways to choose a range read the same histograms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from edgedl.errors import BundleError, DataError
from edgedl.export.tools import failing_as

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds

BINS = 8192
"""Bins of a histogram, at most."""

COUNTED = 1 << 16
"""Values of one array that are counted, at most."""

_SILENT = 4


class Histogram:
    """Counts of values in bins whose width is a power of two and whose edges are multiples of it.

    Extremes are those of all values; of large arrays only every so-manieth value is counted.

    0 is always in one of the bins, or at the end of the last. When values come that do not fit,
    the bins become twice as wide, two old ones making exactly one new: the counts do not depend on
    the order or the grouping of the values.

    Attributes:
        low: Smallest value seen; +inf before the first.
        high: Largest; -inf before the first.
        count: Values counted.
        width: Of a bin; 0 as long as all values are 0.
        first: The first bin holds values from ``first · width`` on.
        counts: (n,) int64, n ≤ ``BINS``.
        means: (C,) of all values of each channel, axis 1; None where arrays have none, or not
            always as many.
    """

    def __init__(self) -> None:
        self.low, self.high, self.count = math.inf, -math.inf, 0
        self.width, self.first = 0.0, 0
        self.counts: npt.NDArray[np.int64] = np.zeros(1, np.int64)
        self.means: npt.NDArray[np.float64] | None = None
        self._each = 0  # values of a channel

    def add(self, values: npt.NDArray[Any]) -> None:
        """Count values of any shape.

        Raises:
            DataError: E355 one of them is not finite.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            msg = f"holds values that are not finite: {low} to {high}"
            raise DataError("E355", msg)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._add_channels(values)
        self._widen()
        counted = values.ravel()[:: values.size // COUNTED + 1 | 1]  # odd: widths are mostly even
        self.count += counted.size
        if self.width:
            bins = np.floor(counted * (1 / self.width)).astype(np.int64) - self.first
        else:
            bins = np.zeros(counted.size, np.int64)
        self.counts += np.bincount(bins, minlength=len(self.counts))

    @property
    def centers(self) -> npt.NDArray[np.float64]:
        """Return the middles of the bins."""
        bins = self.first + np.arange(len(self.counts), dtype=np.float64) + 0.5
        return bins * self.width

    def _add_channels(self, values: npt.NDArray[Any]) -> None:
        channels = values.shape[1] if values.ndim > 1 else 0
        each, before = values.size // max(1, channels), self._each
        self._each += each
        if before == 0 and channels:
            self.means = np.zeros(channels)
        if self.means is None or len(self.means) != channels:
            self.means = None
            return
        found = values.reshape(len(values), channels, -1).mean(axis=2).mean(axis=0, dtype=float)
        self.means += (found - self.means) * (each / self._each)

    def _widen(self) -> None:
        """Make room for ``low`` to ``high``."""
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        width = self.width or _least_width(low, high)
        while width and math.floor(high / width) - math.floor(low / width) >= BINS:
            width *= 2
        first = math.floor(low / width) if width else 0
        last = math.floor(high / width) if width else 0
        counts = np.zeros(last - first + 1, np.int64)
        if self.width:
            old = np.arange(self.first, self.first + len(self.counts))
            np.add.at(counts, old // round(width / self.width) - first, self.counts)
        else:  # all were 0
            counts[-first] = self.counts[0]
        self.width, self.first, self.counts = width, first, counts


def _least_width(low: float, high: float) -> float:
    """Return a width that is too small for a range, 0 for one that is only 0."""
    extent = max(-low, high)
    return 2.0 ** max(math.floor(math.log2(extent)) - 40, -140) if extent else 0.0


def observe(
    model: onnx.ModelProto, names: Iterable[str], feeds: Sequence[Feeds]
) -> dict[str, Histogram]:
    """Run a graph over samples and count what some of its tensors hold.

    Args:
        model: In float; left as it is.
        names: Of float tensors in it, inputs among them.
        feeds: Inputs of the graph, some samples at a time; batches may differ in size.

    Returns:
        Name to histogram.

    Raises:
        BundleError: E414 a tensor becomes infinite or NaN on these samples, E446 ONNX Runtime
            cannot run the graph.
    """
    histograms = {name: Histogram() for name in names}
    for found in run_with_outputs(model, list(histograms), feeds):
        for name, histogram in histograms.items():
            try:
                histogram.add(found[name])
            except DataError as err:
                msg = f"tensor {name!r} {err} on calibration samples"
                raise BundleError("E414", msg) from None
    return histograms


def run_with_outputs(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Feeds]
) -> Iterator[Mapping[str, Any]]:
    """Run a graph over samples; yield for each feed what the tensors ``names`` hold.

    Args:
        model: Left as it is.
        names: Of tensors in it, inputs among them.
        feeds: Inputs of the graph.

    Raises:
        BundleError: E446 ONNX Runtime cannot run the graph.
    """
    given = {value.name for value in model.graph.input}
    inside = [name for name in names if name not in given]
    with failing_as("looking inside the graph on ONNX Runtime"):
        session = _session_with_outputs(model, inside)
    for one in feeds:
        with failing_as("running the graph on calibration samples"):
            values = session.run(inside, one) if inside else []  # none would mean all outputs
        yield {**one, **dict(zip(inside, values, strict=True))}


def _session_with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> Any:
    """Open a graph so that the tensors ``names`` come out as well."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    there = {value.name for value in made.graph.output}
    made.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in there
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _SILENT
    return onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
