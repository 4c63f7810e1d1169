"""How sure a measured proportion is."""

from __future__ import annotations

import math


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
