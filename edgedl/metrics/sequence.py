"""How well a language model foresees a text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt


def nats(log_probs: npt.NDArray[Any]) -> float:
    """Return the mean of -log p per token, natural logarithm; less is better."""
    return float(-np.asarray(log_probs, np.float64).mean())


def bits(nats_per_token: float) -> float:
    """Return bits for nats."""
    return nats_per_token / math.log(2)


def perplexity(nats_per_token: float) -> float:
    """Return exp(nats): among how many equally likely tokens the model wavers."""
    return math.exp(nats_per_token)
