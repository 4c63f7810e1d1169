"""Histograms of tensors: exact counts, whatever the order and the grouping."""

from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import helper

from edgedl.errors import BundleError, DataError
from edgedl.export.observe import BINS, COUNTED, Histogram, observe


def histogram_of(*parts: np.ndarray) -> Histogram:
    made = Histogram()
    for part in parts:
        made.add(part)
    return made


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=5000),
        np.random.default_rng(1).exponential(size=5000) * 1e6,
        -np.random.default_rng(2).random(300) * 1e-6,
        np.array([0.0, 0.0, 5.0]),
        np.array([-1e-3, 1e30]),
        np.array([7.25]),
    ],
)
def test_counts_are_those_of_numpy(values: np.ndarray) -> None:
    values = values.astype(np.float32)
    found = histogram_of(values)
    edges = (found.first + np.arange(len(found.counts) + 1)) * found.width
    expected = [np.sum((values >= a) & (values < b)) for a, b in pairwise(edges)]
    assert found.counts.tolist() == expected
    assert found.counts.sum() == found.count == len(values)
    assert (found.low, found.high) == (values.min(), values.max())
    assert BINS / 2 - 2 <= len(found.counts) <= BINS
    assert edges[0] <= 0 <= edges[-1]


def test_order_and_grouping_do_not_matter() -> None:
    values = np.random.default_rng(3).normal(size=(6, 100)).astype(np.float32)
    values *= np.array([0, 1e-3, 1, 3, 100, 2], np.float32)[:, None]
    first, second = histogram_of(*values), histogram_of(*values[::-1].reshape(3, 200))
    assert (first.width, first.first) == (second.width, second.first)
    assert np.array_equal(first.counts, second.counts)


def test_means_of_channels_are_those_of_all_values() -> None:
    parts = [np.random.default_rng(n).normal(n, 1, (n, 3, 4, 5)).astype(np.float32) for n in (2, 5)]
    found = histogram_of(*parts)
    assert found.means is not None
    wanted = np.concatenate(parts).mean((0, 2, 3), dtype=float)
    np.testing.assert_allclose(found.means, wanted, atol=1e-6)
    assert histogram_of(*parts, np.zeros((1, 2), np.float32)).means is None
    assert histogram_of(np.zeros(4, np.float32), *parts).means is None


def test_of_large_arrays_a_part_is_counted_but_all_extremes() -> None:
    values = np.random.default_rng(4).normal(size=(3, COUNTED)).astype(np.float32)
    values[1, 5] = 99
    found = histogram_of(values)
    assert COUNTED / 2 < found.count == found.counts.sum() <= COUNTED
    assert found.high == 99
    spread = np.repeat(found.centers, found.counts)
    assert np.std(spread) == pytest.approx(1, abs=0.02)


def test_zeros_alone_have_no_width() -> None:
    zeros = histogram_of(np.zeros(3), np.zeros((2, 2)), np.zeros(0))
    assert (zeros.width, zeros.count, zeros.counts.tolist()) == (0, 7, [7])
    zeros.add(np.array([-2.0, 4.0]))
    assert zeros.counts[-zeros.first] == 7
    assert zeros.counts.sum() == 9


def test_centers_lie_in_their_bins() -> None:
    found = histogram_of(np.array([-1.0, 3.0]))
    assert found.centers[0] == -1 + found.width / 2
    assert found.centers[-1] == 3 + found.width / 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    with pytest.raises(DataError, match="not finite") as caught:
        histogram_of(np.array([1.0, bad]))
    assert caught.value.code == "E355"


def logarithm() -> onnx.ModelProto:
    x = helper.make_tensor_value_info("x", 1, ["N", 2])
    y = helper.make_tensor_value_info("y", 1, ["N", 2])
    nodes = [helper.make_node("Log", ["x"], ["middle"]), helper.make_node("Neg", ["middle"], ["y"])]
    graph = helper.make_graph(nodes, "log", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_tensors_inside_a_graph_over_batches_of_different_sizes() -> None:
    values = [np.random.default_rng(n).random((n, 2)).astype(np.float32) + 0.1 for n in (3, 1, 2)]
    model = logarithm()
    before = model.SerializeToString()
    found = observe(model, ["x", "middle", "y"], [{"x": one} for one in values])
    every = np.concatenate(values)
    assert (found["x"].low, found["x"].high, found["x"].count) == (every.min(), every.max(), 12)
    assert found["middle"].low == pytest.approx(np.log(every.min()))
    assert found["y"].high == -found["middle"].low
    assert model.SerializeToString() == before


def test_a_tensor_that_becomes_infinite_is_named() -> None:
    with pytest.raises(
        BundleError, match=r"tensor 'middle' holds .*-inf.* on calibration"
    ) as caught:
        observe(logarithm(), ["middle"], [{"x": np.zeros((1, 2), np.float32)}])
    assert caught.value.code == "E414"


def test_nothing_to_look_at() -> None:
    feeds = [{"x": np.ones((1, 2), np.float32)}]
    assert observe(logarithm(), [], feeds) == {}
    assert list(observe(logarithm(), ["x"], feeds)) == ["x"]


def test_a_graph_that_cannot_be_looked_into() -> None:
    model = logarithm()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(BundleError, match=r"looking inside the graph on ONNX .* failed") as caught:
        observe(model, ["middle"], [{"x": np.ones((1, 2), np.float32)}])
    assert caught.value.code == "E446"
    with pytest.raises(BundleError, match=r"running the graph on calibration") as caught:
        observe(logarithm(), ["middle"], [{"x": np.ones((1, 3), np.float32)}])
    assert caught.value.code == "E446"
