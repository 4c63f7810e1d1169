"""How sure a measured proportion or mean is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


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

    Blocks of consecutive values are drawn with replacement; see Künsch, The jackknife and the
    bootstrap for general stationary observations (1989).

    Args:
        values: (n,), n >= 1, in their order.
        block: Values of a block; the last, shorter block is left out where there are others.
        rounds: Samples that are drawn.
        seed: Of the draws.
    """
    block = min(block, len(values))
    whole = len(values) // block
    means = np.asarray(values, np.float64)[: whole * block].reshape(whole, block).mean(axis=1)
    drawn = np.random.default_rng(seed).integers(0, whole, (rounds, whole))
    low, high = np.quantile(means[drawn].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
