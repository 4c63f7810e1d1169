"""Which layers of a graph lose most by INT8."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedl.export.quantize import Place, Prepared, Recipe, places, write_int8
from edgedl.export.ranges import range_of
from edgedl.runtime.session import Session, open_session
from edgedl.timing import allowed_cores

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds


ALL = 1e6
"""The error of a graph that answers with NaN or infinity; a manifest holds finite numbers."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What INT8 does to one product when all others stay in float.

    Attributes:
        place: Its graph's role and its node's name.
        operator: ``Conv``, ``Gemm`` or ``MatMul``.
        error: Of the graph's outputs: root of the mean squared difference, as a part of the
            outputs' own root mean square; of several outputs the largest.
        extent: Smallest and largest value that came in on the calibration samples; None where
            ranges are found as the graph runs.
        bulk: The range of all but the rarest 0.01 % of them.
    """

    place: Place
    operator: str
    error: float
    extent: tuple[float, float] | None
    bulk: tuple[float, float] | None


def rank_layers(
    precision: str,
    recipe: Recipe,
    graphs: Mapping[str, Prepared],
    feeds: Mapping[str, Sequence[Feeds]],
) -> list[Layer]:
    """Quantise one layer at a time and see what the outputs lose; the worst comes first.

    Args:
        precision: ``int8-cpu`` or ``int8-trt``.
        recipe: How ranges are chosen.
        graphs: Role to graph.
        feeds: Role to inputs, other than those of calibration.
    """
    layers = []
    with tempfile.TemporaryDirectory(prefix="edgedl-sensitivity-") as folder:
        path = Path(folder) / "one.onnx"
        for role, prepared in graphs.items():
            every = places(precision, prepared)
            graph = prepared.graph(precision).SerializeToString()
            fp32 = open_session(graph, "onnxruntime", allowed_cores(), role)
            expected = [fp32.run(one) for one in feeds[role]]
            fp32.close()
            for place in every:
                others = tuple(other for other in every if other != place)
                write_int8(precision, prepared, path, replace(recipe, in_float=others))
                in_float = precision == "int8-trt"
                session = open_session(path, "onnxruntime", allowed_cores(), in_float=in_float)
                error = output_error(session, feeds[role], expected)
                session.close()
                layers.append(_layer(precision, prepared, place, error))
    return sorted(layers, key=lambda layer: -layer.error)


def output_error(session: Session, feeds: Sequence[Feeds], expected: Sequence[Feeds]) -> float:
    """Return what a graph's outputs differ by: root mean square, as a part of the outputs' own.

    Args:
        session: The graph.
        feeds: Its inputs.
        expected: The outputs of the float graph.

    Returns:
        Of several outputs the largest; at most ``ALL``.
    """
    lost: dict[str, float] = {}
    whole: dict[str, float] = {}
    for one, wanted in zip(feeds, expected, strict=True):
        for name, value in session.run(one).items():
            difference = value.astype(np.float64) - wanted[name]
            lost[name] = lost.get(name, 0.0) + float(np.sum(difference**2))
            whole[name] = whole.get(name, 0.0) + float(np.sum(np.square(wanted[name], dtype=float)))
    errors = [math.sqrt(lost[name] / (whole[name] or 1.0)) for name in lost]
    return max(min(error, ALL) if math.isfinite(error) else ALL for error in errors)


def _layer(precision: str, prepared: Prepared, place: Place, error: float) -> Layer:
    node = next(n for n in prepared.graph(precision).graph.node if n.name == place[1])
    histograms = [prepared.histograms[name] for name in node.input if name in prepared.histograms]
    if prepared.finds_ranges_as_it_runs(precision) or not histograms:
        return Layer(place, node.op_type, error, None, None)
    widest = max(histograms, key=lambda h: max(-h.low, h.high))
    ranges = range_of(widest, "minmax"), range_of(widest, "percentile")
    return Layer(place, node.op_type, error, *ranges)
