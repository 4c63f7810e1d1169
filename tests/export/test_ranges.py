"""Ranges for INT8 against what they promise, computed from the values themselves."""

import numpy as np
import pytest

from edgedl.export.observe import Histogram
from edgedl.export.ranges import CUT, range_of

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=200_000)
OUTLIERS = np.concatenate([NORMAL, [-40.0, 90.0]])
RELU = np.maximum(NORMAL, 0)


def histogram_of(values: np.ndarray) -> Histogram:
    made = Histogram()
    for part in np.array_split(values.astype(np.float32), 4):  # of large arrays a part is counted
        made.add(part)
    return made


def squared_error(values: np.ndarray, low: float, high: float) -> float:
    scale = (high - low) / 255
    return float(np.mean((np.round(np.clip(values, low, high) / scale) * scale - values) ** 2))


@pytest.mark.parametrize("values", [NORMAL, OUTLIERS, RELU, -RELU, RELU + 3])
def test_minmax_is_the_extent_and_0(values: np.ndarray) -> None:
    expected = np.float32(min(values.min(), 0)), np.float32(max(values.max(), 0))
    assert range_of(histogram_of(values), "minmax") == expected


@pytest.mark.parametrize("values", [NORMAL, OUTLIERS, RELU, -RELU])
def test_percentile_leaves_the_rarest_out(values: np.ndarray) -> None:
    histogram = histogram_of(values)
    low, high = range_of(histogram, "percentile")
    exact = np.quantile(values, [CUT / 2, 1 - CUT / 2])
    assert low == pytest.approx(min(exact[0], 0), abs=2 * histogram.width)
    assert high == pytest.approx(max(exact[1], 0), abs=2 * histogram.width)


@pytest.mark.parametrize("values", [NORMAL, OUTLIERS, RELU, RNG.laplace(size=100_000)])
def test_mse_is_close_to_the_least_error(values: np.ndarray) -> None:
    low, high = values.min(), values.max()
    limits = np.linspace(0.02, 1, 200) * max(-low, high)
    least = min(squared_error(values, max(low, -t), min(high, t)) for t in limits)
    assert squared_error(values, *range_of(histogram_of(values), "mse")) < 1.05 * least


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_outliers_do_not_widen_the_range_much(method: str) -> None:
    low, high = range_of(histogram_of(OUTLIERS), method)
    assert -9 < low < -2.5
    assert 2.5 < high < 9


def test_entropy_keeps_most_of_a_normal_distribution() -> None:
    low, high = range_of(histogram_of(NORMAL), "entropy")
    assert 2.5 < -low < 5
    assert 2.5 < high < 5


@pytest.mark.parametrize("zeros", [0, 200_000, 2_000_000])
def test_entropy_minds_no_zeros(zeros: int) -> None:
    values = np.concatenate([RELU, np.zeros(zeros)])
    low, high = range_of(histogram_of(values), "entropy")
    assert low == 0
    assert high > 3.5  # half of them were cut off at 2 when zeros counted


def test_entropy_takes_all_of_few_levels() -> None:
    low, high = range_of(histogram_of(RNG.integers(0, 4, 1000).astype(float)), "entropy")
    assert (low, high) == (0, 3)


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy", "mse"])
@pytest.mark.parametrize("values", [np.zeros(5), np.full(5, 2.0), np.full(5, -2.0), NORMAL, RELU])
def test_0_is_inside_and_nothing_beyond_the_extent(method: str, values: np.ndarray) -> None:
    low, high = range_of(histogram_of(values), method)
    values = values.astype(np.float32)
    assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)
