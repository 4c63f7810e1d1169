"""A running mean of the weights, which is often better than the weights."""

from __future__ import annotations

import copy

import torch
from torch import nn


class RunningMean:
    """Follows a network: after each step its tensors move a little towards the network's.

    Early the mean moves faster, by 9 / (10 + step), lest it remembers the first random weights.

    Attributes:
        network: A copy in evaluation mode whose floating-point tensors are the mean.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval()
        self._decay = decay
        self._means = list(self.network.state_dict().values())

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        share = 1.0 - min(self._decay, (1 + step) / (10 + step))
        for mean, latest in zip(self._means, network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(latest, share)
            else:
                mean.copy_(latest)
