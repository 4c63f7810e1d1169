"""The formulas of ``csrc/kernels/softmax_math.h`` in NumPy, operation by operation."""

from __future__ import annotations

from typing import Any

import numpy as np

F = np.float32
LANES = 256


def exp(x: Any) -> Any:
    """Return e^x of float32 x <= 0."""
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = x * F(1.44269504) + F(12582912)
        whole = shifted - F(12582912)
        rest = (x - whole * F(0.693359375)) - whole * F(-2.12194440e-4)
        q = np.full_like(x, F(0.0013814433))
        for c in (0.008368797, 0.041668396, 0.1666652, 0.49999994):
            q = q * rest + F(c)
        power = (rest * rest * q + rest) + F(1)
        result = np.ldexp(power, np.where(np.isfinite(whole), whole, 0).astype(np.int32))
    return np.where(np.isnan(x), x, np.where(x >= F(-87), result, F(0))).astype(F)


def sum_of_exp(row: Any) -> tuple[Any, Any]:
    """Return the largest value of a row (C,) and the sum of e^(x - largest)."""
    largest = row.max()
    with np.errstate(invalid="ignore", over="ignore"):
        padded = np.zeros(-(-len(row) // LANES) * LANES, F)
        padded[: len(row)] = exp(row - largest)
    lanes = np.zeros(LANES, F)
    for part in padded.reshape(-1, LANES):
        lanes = lanes + part
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = lanes[:half] + lanes[half:]
    return largest, lanes[0]
