"""From logits to probabilities, and many samples a lot at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tiny_kinds import HandSession

from edgedl.errors import BundleError
from edgedl.runtime.lots import LOT, any_rows, in_lots
from edgedl.runtime.probability import log_softmax, softmax, top
from edgedl.spec import TensorSpec


def test_softmax_is_the_definition() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 7)).astype(np.float32)
    found = softmax(logits)
    assert found.dtype == np.float64
    for row, told in zip(logits.tolist(), found, strict=True):
        total = math.fsum(math.exp(x) for x in row)
        assert told.tolist() == pytest.approx([math.exp(x) / total for x in row])
        assert math.fsum(told) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("shift", [-3e38, -1e5, 0, 1e5, 3e38])
def test_no_logit_overflows(shift: float) -> None:
    logits = np.float32([shift, shift, shift])
    assert softmax(logits).tolist() == pytest.approx([1 / 3] * 3)


def test_far_apart_and_half_precision() -> None:
    assert softmax(np.float32([0, -3e38])).tolist() == [1.0, 0.0]
    assert log_softmax(np.float32([0, -2000])).tolist() == [0.0, -2000.0]
    assert softmax(np.float16([60000, 60000])).tolist() == [0.5, 0.5]


def test_the_logits_stay_as_they_are() -> None:
    logits = np.array([1.0, 2.0])
    log_softmax(logits)
    assert logits.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_no_number(wrong: float) -> None:
    with pytest.raises(BundleError, match="expected finite logits") as caught:
        softmax(np.array([[0.0, 1.0], [wrong, 0.0]]))
    assert caught.value.code == "E414"


def test_top_is_best_first_and_the_first_among_equals() -> None:
    probabilities = np.array([0.1, 0.3, 0.3, 0.05, 0.25])
    labels = ("a", "b", "c", "d", "e")
    assert top(probabilities, labels, 3) == (("b", 0.3), ("c", 0.3), ("e", 0.25))
    assert [label for label, _ in top(probabilities, labels, 9)] == ["b", "c", "e", "a", "d"]
    assert [label for label, _ in top(np.full(5, 0.2), labels, 5)] == list(labels)


@pytest.mark.parametrize(
    ("n", "lots"),
    [
        (0, [0]),
        (1, [1]),
        (LOT, [LOT]),
        (LOT + 1, [LOT, 1]),
        (2 * LOT, [LOT, LOT]),
        (3 * LOT - 1, [LOT, LOT, LOT - 1]),
    ],
)
def test_lots_are_full_and_in_order(n: int, lots: list[int]) -> None:
    session = HandSession(lambda x: {"y": 2 * x[:, :1]})
    samples = np.arange(3.0 * n).reshape(n, 3)
    found = in_lots(lambda lot: session.run({"x": lot})["y"], samples)
    assert session.lots == lots
    np.testing.assert_array_equal(found, 2 * samples[:, :1])


@pytest.mark.parametrize(("first", "most", "lots"), [("N", 3, [3, 3, 1]), (1, None, [1] * 7)])
def test_a_network_that_takes_few_rows_at_once(
    first: int | str, most: int | None, lots: list[int]
) -> None:
    inputs = tuple(TensorSpec(name=n, dtype="float32", shape=(first, 2)) for n in "ab")
    session = HandSession(lambda a, b: {"sum": a + b, "a": a}, inputs)
    session.most_rows = most  # type: ignore[attr-defined]
    a, b = np.random.default_rng(0).normal(size=(2, 7, 2))
    found = any_rows(session).run({"b": b, "a": a})
    assert session.lots == lots
    assert list(found) == ["sum", "a"]
    np.testing.assert_array_equal(found["sum"], a + b)
    np.testing.assert_array_equal(found["a"], a)


def test_a_network_that_takes_any_number_is_left_alone() -> None:
    inputs = (TensorSpec(name="x", dtype="float32", shape=("N", 2)),)
    session = HandSession(lambda x: {"y": x}, inputs)
    assert any_rows(session) is session


def test_lots_of_another_size() -> None:
    session = HandSession(lambda x: {"y": x})
    found = in_lots(lambda lot: session.run({"x": lot})["y"], np.arange(5), lot=2)
    assert (session.lots, found.tolist()) == ([2, 2, 1], [0, 1, 2, 3, 4])
