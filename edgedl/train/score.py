"""How good a network is while it trains."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def accuracy(
    network: nn.Module,
    held_out: tuple[Tensor, Tensor] | None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    at_once: int = 500,
) -> float:
    """Return the part of the samples whose label a classifier tells, not a number without samples.

    Args:
        network: In evaluation mode.
        held_out: Samples (n, …) and labels (n,).
        prepare: What is done to samples before the network gets them.
        at_once: Samples of one call.
    """
    if held_out is None or not len(held_out[1]):
        return float("nan")
    right = 0
    for samples, labels in zip(*(torch.split(t, at_once) for t in held_out), strict=True):
        given = prepare(samples) if prepare else samples
        right += int((network(given).argmax(1) == labels).sum())
    return right / len(held_out[1])
