"""Predicted numbers: against values made by hand and definitions written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgedl.metrics.regression import mae, r2, relative_errors, rmse

TRUTHS = np.array([[1, 10], [2, 20], [3, 30]], np.float32)
FOUND = np.array([[1, 14], [4, 20], [3, 26]], np.float32)


def test_by_hand() -> None:
    assert mae(TRUTHS, FOUND) == pytest.approx((2 + 4 + 4) / 6)
    assert rmse(TRUTHS, FOUND) == pytest.approx(math.sqrt((4 + 16 + 16) / 6))
    # First column: 4 of a variation of 2 is left, second: 32 of 200.
    assert r2(TRUTHS, FOUND) == pytest.approx(((1 - 4 / 2) + (1 - 32 / 200)) / 2)


def test_definitions() -> None:
    rng = np.random.default_rng(2)
    truths = rng.normal(5, 2, (40, 3)).astype(np.float32)
    found = (truths + rng.normal(0, 0.5, truths.shape)).astype(np.float32)
    errors = [float(f) - float(t) for f, t in zip(found.ravel(), truths.ravel(), strict=True)]
    assert mae(truths, found) == pytest.approx(sum(map(abs, errors)) / len(errors))
    assert rmse(truths, found) == pytest.approx(math.sqrt(sum(e * e for e in errors) / len(errors)))
    parts = []
    for true, told in zip(truths.T.tolist(), found.T.tolist(), strict=True):
        mean = sum(true) / len(true)
        rest = sum((a - b) ** 2 for a, b in zip(true, told, strict=True))
        parts.append(1 - rest / sum((a - mean) ** 2 for a in true))
    assert r2(truths, found) == pytest.approx(sum(parts) / 3)
    assert 0.8 < r2(truths, found) < 1


def test_errors_without_units() -> None:
    first, second = math.sqrt(2 / 3), math.sqrt(200 / 3)  # deviations of 1 2 3 and of 10 20 30
    expected = [(0 + 4 / second) / 2, (2 / first + 0) / 2, (0 + 4 / second) / 2]
    assert relative_errors(TRUTHS, FOUND) == pytest.approx(expected)
    units = np.float64([1e-3, 1e5])
    assert relative_errors(TRUTHS * units, FOUND * units) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6 / 3])
def test_a_column_that_does_not_vary_counts_in_its_units(value: float) -> None:
    truths = np.hstack([np.full((7, 1), value, np.float64), np.arange(7.0)[:, None]])
    found = truths + np.array([3.0, 4.0])  # 0 .. 6 deviate by 2
    assert relative_errors(truths, found) == pytest.approx([(3 + 4 / 2) / 2] * 7)


def test_a_perfect_prediction_and_the_mean() -> None:
    assert (mae(TRUTHS, TRUTHS), rmse(TRUTHS, TRUTHS), r2(TRUTHS, TRUTHS)) == (0, 0, 1)
    assert r2(TRUTHS, np.broadcast_to(TRUTHS.mean(axis=0), (3, 2))) == pytest.approx(0)


@pytest.mark.parametrize("value", [0.0, 5.0, 0.1, 20.1, -1e6 / 3])
@pytest.mark.parametrize("off", [0.0, 1.0])
def test_a_column_that_does_not_vary_counts_nothing(value: float, off: float) -> None:
    # Of 0.1 the mean differs from each value in the last bit.
    constant = np.full((7, 1), value, np.float64)
    truths = np.hstack([constant, np.arange(7.0)[:, None]])
    found = truths + np.array([off, 0.0])
    assert r2(constant, constant + off) == 0
    assert r2(truths, found) == pytest.approx(0.5)


def test_one_row() -> None:
    truth, found = np.float32([[1, 2]]), np.float32([[3, 2]])
    assert (mae(truth, found), r2(truth, found)) == (1.0, 0.0)
    assert rmse(truth, found) == pytest.approx(math.sqrt(2))


def test_large_numbers_keep_small_differences() -> None:
    truths = np.full((1000, 1), 1e6, np.float32)
    found = truths + np.float32(0.0625)
    assert mae(truths, found) == rmse(truths, found) == 0.0625
