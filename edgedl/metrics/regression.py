"""How far predicted numbers are from the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


def mae(truths: Values, found: Values) -> float:
    """Return the mean of |found - truth|, in the units of the values."""
    return float(np.abs(found.astype(np.float64) - truths).mean())


def relative_errors(truths: Values, found: Values) -> npt.NDArray[np.float64]:
    """Return |found - truth| of each row in standard deviations of the truths' columns, (n,).

    The mean over the columns, so the units of the columns do not weigh them against each other. A
    column that does not vary counts in its own units.
    """
    exact = truths.astype(np.float64)
    varies = exact.max(axis=0) > exact.min(axis=0)  # a mean may differ from equal values
    off = np.abs(found - exact) / np.where(varies, exact.std(axis=0), 1.0)
    errors: npt.NDArray[np.float64] = off.mean(axis=1)
    return errors


def rmse(truths: Values, found: Values) -> float:
    """Return the square root of the mean squared difference, in the units of the values."""
    return float(np.sqrt(np.square(found.astype(np.float64) - truths).mean()))


def r2(truths: Values, found: Values) -> float:
    """Return the part of the variance that is explained, <= 1; columns (n, O) count alike.

    1 - Σ(found - truth)² / Σ(truth - mean)², averaged over the columns; a column that does not
    vary counts 0.
    """
    exact = truths.astype(np.float64)
    rest = np.square(found - exact).sum(axis=0)
    all_of_it = np.square(exact - exact.mean(axis=0)).sum(axis=0)
    varies = exact.max(axis=0) > exact.min(axis=0)  # a mean may differ from equal values
    return float(np.where(varies, 1 - rest / np.maximum(all_of_it, 1e-300), 0.0).mean())
