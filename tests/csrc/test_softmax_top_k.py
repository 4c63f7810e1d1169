"""The likeliest entries of rows, against the definition in NumPy, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from softmax_reference import exp, sum_of_exp

from edgedl import _core
from edgedl.errors import UsageError

RNG = np.random.default_rng(5)
ORDERS = (-1, 0, 1, 2, 3)


def expected(logits: Any, count: int) -> tuple[Any, Any]:
    probabilities = np.full((len(logits), count), np.nan, np.float32)
    indices = np.full((len(logits), count), -1, np.int64)
    for row, p, i in zip(logits, probabilities, indices, strict=True):
        if np.isnan(row).any() or not np.isfinite(row.max()):
            continue
        i[:] = np.argsort(-row, kind="stable")[:count]
        largest, total = sum_of_exp(row)
        with np.errstate(over="ignore"):
            p[:] = exp(row[i] - largest) * (np.float32(1) / total)
    return probabilities, indices


def found(logits: Any, count: int, order: int = -1) -> tuple[Any, Any]:
    probabilities = np.full((len(logits), count), 7, np.float32)
    indices = np.full((len(logits), count), 7, np.int64)
    _core.softmax_top_k(logits, probabilities, indices, order)
    return probabilities, indices


def assert_equal(logits: Any, count: int) -> None:
    wanted = expected(logits, count)
    for order in ORDERS:
        for one, other in zip(found(logits, count, order), wanted, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_exponential_is_within_one_ulp() -> None:
    x = -np.concatenate(
        [RNG.uniform(0, 87, 1 << 20), RNG.uniform(0, 1, 1 << 18), 2.0 ** -np.arange(150)]
    ).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    ulps = np.abs(exp(x) - exact) / np.spacing(exact.astype(np.float32))
    assert ulps.max() < 1.0
    assert exp(np.float32([0, -0.0, -np.inf, -87.1])).tolist() == [1, 1, 0, 0]
    assert np.isnan(exp(np.float32([np.nan])))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("width", [1, 2, 7, 15, 16, 17, 255, 256, 257, 700, 2600])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_matches_the_definition(width: int, count: int) -> None:
    logits = (RNG.normal(0, 4, (3, width)) * [[1], [0.1], [30]]).astype(np.float32)
    assert_equal(logits, min(count, width))


@pytest.mark.usefixtures("target")
def test_the_lowest_index_comes_first_among_equals() -> None:
    logits = RNG.integers(-3, 3, (4, 1300)).astype(np.float32)
    logits[1] = 0.0
    logits[2] = np.where(np.arange(1300) % 2, 0.0, -0.0)
    for count in (1, 6, 300):
        assert_equal(logits, count)


@pytest.mark.usefixtures("target")
def test_all_entries_can_be_asked_for() -> None:
    logits = RNG.normal(size=(2, 600)).astype(np.float32)
    assert_equal(logits, 600)
    probabilities, indices = found(logits, 600)
    np.testing.assert_allclose(probabilities.sum(axis=1, dtype=np.float64), 1, rtol=1e-6)
    assert np.array_equal(np.sort(indices, axis=1), np.tile(np.arange(600), (2, 1)))


@pytest.mark.usefixtures("target")
def test_probabilities_are_those_of_float64() -> None:
    for width in (10, 1000, 10000):
        logits = RNG.normal(0, 3, (4, width)).astype(np.float32)
        exact = np.exp(logits.astype(np.float64))
        exact /= exact.sum(axis=1, keepdims=True)
        probabilities, indices = found(logits, 10)
        wanted = np.take_along_axis(exact, indices, axis=1)
        np.testing.assert_allclose(probabilities, wanted, rtol=1e-6)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf])
def test_rows_that_mean_nothing_are_marked_and_others_are_not(bad: float) -> None:
    for width, at in ((5, 4), (1000, 0), (1000, 999)):
        logits = RNG.normal(size=(3, width)).astype(np.float32)
        logits[1, at] = bad
        assert_equal(logits, 3)
        assert found(logits, 3)[1][1].tolist() == [-1, -1, -1]
    payload = np.uint32([0x7F800001, 0xFFC001FF, 0x7FC00155]).view(np.float32)
    for nan in payload:
        logits[1] = nan
        assert_equal(logits, 3)


@pytest.mark.usefixtures("target")
def test_minus_infinity_has_probability_zero_unless_all_are() -> None:
    logits = np.full((2, 300), -np.inf, np.float32)
    logits[0, 5:7] = 2.0
    assert_equal(logits, 4)
    probabilities, indices = found(logits, 4)
    assert probabilities[0].tolist() == [0.5, 0.5, 0, 0]
    assert indices.tolist() == [[5, 6, 0, 1], [-1] * 4]


@pytest.mark.usefixtures("target")
def test_nothing_overflows() -> None:
    assert_equal(np.float32([[3e38, -3e38, 3e38], [-3e38, -3e38, -3.1e38]]), 3)


def test_no_rows() -> None:
    for order in ORDERS:
        assert found(np.zeros((0, 5), np.float32), 2, order)[0].shape == (0, 2)


def test_wrong_arrays_are_named() -> None:
    logits, p, i = np.zeros((2, 6), np.float32), np.zeros((2, 3), np.float32), np.zeros((2, 3), int)
    run = _core.softmax_top_k
    with pytest.raises(UsageError, match=r"\[softmax_top_k\] logits must .* got \(2, 6\) float64"):
        run(logits.astype(float), p, i)
    with pytest.raises(UsageError, match=r"got \(2, 6\) >f4"):
        run(logits.astype(">f4"), p, i)
    with pytest.raises(UsageError, match=r"1 to 2\^30 columns .* got \(2, 0\)"):
        run(logits[:, :0].copy(), p, i)
    with pytest.raises(UsageError, match=r"K must be in 1\.\.2; got 3"):
        run(logits[:, :2].copy(), p, i)
    with pytest.raises(UsageError, match=r"K must be in 1\.\.6; got 0"):
        run(logits, p[:, :0].copy(), i)
    with pytest.raises(UsageError, match=r"\(N, K\) int64 array; got \(2, 3\) int32"):
        run(logits, p, i.astype(np.int32))
    with pytest.raises(UsageError, match=r"\(N, K\) float32 array; got \(1, 3\)"):
        run(logits, p[:1], i)
    with pytest.raises(UsageError, match="must not overlap"):
        run(logits, logits, np.zeros((2, 6), int))
    p.flags.writeable = False
    with pytest.raises(UsageError, match="read-only"):
        run(logits, p, i)
