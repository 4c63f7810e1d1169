"""The interval of a mean whose values depend on their neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgedl.metrics.interval import block_bootstrap


def expected(
    values: np.ndarray, block: int, rounds: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """Draw the same blocks, add up their values one by one, and sort the means."""
    places = len(values) - block + 1
    centre = sum(float(values[d + i]) for d in range(places) for i in range(block))
    means = []
    for draws in np.random.default_rng(seed).integers(0, places, (rounds, len(values) // block)):
        drawn = [float(values[d + i]) for d in draws for i in range(block)]
        means.append(sum(drawn) / len(drawn) - centre / (places * block))
    means.sort()

    def quantile(part: float) -> float:
        place = part * (rounds - 1)
        low = int(place)
        high = min(low + 1, rounds - 1)
        return means[low] + (place - low) * (means[high] - means[low])

    mean = sum(map(float, values)) / len(values)
    return mean + quantile(0.025), mean + quantile(0.975)


@pytest.mark.parametrize(("n", "block"), [(12, 1), (24, 3), (25, 3), (26, 3), (8, 1), (39, 4)])
def test_is_the_definition(n: int, block: int) -> None:
    values = np.random.default_rng(n).normal(2, 1, n)
    found = block_bootstrap(values, block, rounds=200, seed=7)
    assert found == pytest.approx(expected(values, block, rounds=200, seed=7))


def test_one_value_and_equal_values() -> None:
    assert block_bootstrap(np.array([3.5])) == (3.5, 3.5)
    assert block_bootstrap(np.array([3.5]), block=500) == (3.5, 3.5)
    assert block_bootstrap(np.full(20, 0.25), block=4) == (0.25, 0.25)


@pytest.mark.parametrize(("n", "used"), [(3, 1), (15, 1), (16, 2), (40, 5), (63, 7)])
def test_a_block_that_would_not_fit_eight_times_is_shorter(n: int, used: int) -> None:
    values = np.random.default_rng(n).normal(2, 1, n)
    assert block_bootstrap(values, block=500) == block_bootstrap(values, block=used)


@pytest.mark.parametrize("n", [2, 9, 40, 63, 65, 300])
def test_the_mean_is_inside(n: int) -> None:
    values = np.abs(np.cumsum(np.random.default_rng(n).normal(0, 1, n)))
    low, high = block_bootstrap(values, block=32)
    assert low < values.mean() < high


def test_the_last_values_count_too() -> None:
    values = np.append(np.random.default_rng(0).normal(0, 1, 40), 1000.0)
    low, high = block_bootstrap(values, block=2)
    assert low < values.mean() < high


def test_independent_values_agree_with_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(10, 2, 2000)
    half = 1.96 * values.std() / math.sqrt(len(values))
    low, high = block_bootstrap(values)
    assert low == pytest.approx(values.mean() - half, abs=half / 5)
    assert high == pytest.approx(values.mean() + half, abs=half / 5)


def test_values_that_go_together_are_less_sure() -> None:
    values = np.repeat(np.random.default_rng(0).normal(0, 1, 100), 20)
    one_by_one, in_blocks = (block_bootstrap(values, block) for block in (1, 20))
    ratio = (in_blocks[1] - in_blocks[0]) / (one_by_one[1] - one_by_one[0])
    assert ratio == pytest.approx(math.sqrt(20), rel=0.2)


def test_the_seed_decides_and_nothing_else() -> None:
    values = np.arange(50.0) ** 0.5
    assert block_bootstrap(values, 5, seed=3) == block_bootstrap(values, 5, seed=3)
    assert block_bootstrap(values, 5, seed=3) != block_bootstrap(values, 5, seed=4)
