"""How sure a measured proportion or mean is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST_BLOCKS = 8  # fewer say nothing about how much their means vary


def wilson(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        successes: 0..n.
        n: Number of trials, at least 1.
        z: Standard normal quantile; 1.96 for 95 %.

    Returns:
        Lower and upper end, both in [0, 1].
    """
    p, z2n = successes / n, z * z / n
    centre = (p + z2n / 2) / (1 + z2n)
    half = z / (1 + z2n) * math.sqrt(p * (1 - p) / n + z2n / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def block_bootstrap(
    values: npt.NDArray[Any], block: int = 1, rounds: int = 1000, seed: int = 1
) -> tuple[float, float]:
    """Return the 95 % interval of a mean whose values depend on their neighbours.

    Overlapping blocks of consecutive values are drawn with replacement; see Künsch, The jackknife
    and the bootstrap for general stationary observations (1989). The first and the last values
    are in fewer blocks, so what is drawn is held against the mean of all blocks, not of all
    values.

    Args:
        values: (n,), n >= 1, in their order.
        block: Values of a block; fewer where there would not be eight such blocks side by side.
        rounds: Samples that are drawn.
        seed: Of the draws.
    """
    exact = np.asarray(values, np.float64)
    block = min(block, max(1, len(exact) // _LEAST_BLOCKS))
    means = np.lib.stride_tricks.sliding_window_view(exact, block).mean(axis=1)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(means), (rounds, len(exact) // block))
    off = np.quantile(means[drawn].mean(axis=1) - means.mean(), (0.025, 0.975))
    low, high = exact.mean() + off
    return float(low), float(high)
