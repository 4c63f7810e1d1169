"""From logits to probabilities, in float64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgedl.errors import BundleError

if TYPE_CHECKING:
    from edgedl.runtime.session import Array


def softmax(logits: Array) -> Array:
    """Return probabilities (..., K) float64 that sum to 1; no logit can overflow it."""
    return np.exp(log_softmax(logits))


def log_softmax(logits: Array) -> Array:
    """Return natural logs of the probabilities, (..., K) float64.

    Raises:
        BundleError: E414 a logit is not finite.
    """
    if not np.isfinite(logits).all():
        msg = "self-test failed: expected finite logits, got NaN or infinity; export again"
        raise BundleError("E414", msg)
    exact = logits.astype(np.float64)
    exact -= exact.max(axis=-1, keepdims=True)
    exact -= np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    return np.asarray(exact)


def top(probabilities: Array, labels: tuple[str, ...], count: int) -> tuple[tuple[str, float], ...]:
    """Return the ``count`` likeliest labels of one sample (K,) with their probabilities.

    Among equals the first label comes first.
    """
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple((labels[i], float(probabilities[i])) for i in order)
