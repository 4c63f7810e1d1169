"""A CIFAR net that learns fast: whitened input, three wide blocks, global maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edgedl.errors import ConfigError
from edgedl.models.blocks import Activation, ImageClassifier, activation, check_widths

WHITENED = 24
"""Channels of the first layer: 12 eigenvectors of 2 × 2 colour patches and their negatives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AirbenchOptions:
    """Widths of the net.

    Attributes:
        family: ``airbench``.
        widths: Output channels of the three blocks.
        activation: After each norm.
        residual: A third convolution in each block, around which the second's result goes.
        scale: Factor on the logits, 0.001..1000.
        bn_momentum: How fast the norms' running statistics follow, 0.001..1.
    """

    family: Literal["airbench"] = "airbench"
    widths: tuple[int, ...] = (64, 256, 256)
    activation: Activation = "gelu"
    residual: bool = False
    scale: float = 1 / 9
    bn_momentum: float = 0.4

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        if len(self.widths) != 3:
            msg = f"model widths must be three; got {self.widths}"
            raise ConfigError("E205", msg)
        if not (0.001 <= self.scale <= 1000 and 0.001 <= self.bn_momentum <= 1):
            msg = (
                "model scale must be in 0.001..1000 and bn_momentum in 0.001..1; "
                f"got {self.scale} and {self.bn_momentum}"
            )
            raise ConfigError("E205", msg)


class Airbench(ImageClassifier):
    """Fixed whitening, three blocks, global maximum, a linear layer without bias.

    Call ``init_from`` with training pictures before training; a network that reads its weights
    from a file has its whitening there.
    """

    head = "fc"

    def __init__(self, options: AirbenchOptions, *, channels: int, classes: int) -> None:
        super().__init__()
        self.options = options
        self.whiten = nn.Conv2d(channels, 8 * channels, 2)
        self.whiten.weight.requires_grad_(requires_grad=False)
        self.act = activation(options.activation)
        inputs = (8 * channels, *options.widths)
        self.blocks = nn.Sequential(
            *(Block(i, o, options) for i, o in zip(inputs, options.widths, strict=False))
        )
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(options.widths[-1], classes, bias=False)
        with torch.no_grad():
            nn.init.zeros_(self.whiten.bias)

    def init_from(self, pictures: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer so that its outputs on ``pictures`` (n, C, H, W) are uncorrelated.

        Args:
            pictures: As the network gets them: float, normalised. A few thousand.
            eps: Added to each eigenvalue of the patches' covariance.
        """
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        features = self.pool(self.blocks(self.act(self.whiten(image))))
        return self.fc(torch.flatten(features, 1)) * self.options.scale


class Block(nn.Module):
    """Conv-MaxPool-BatchNorm-activation, then Conv-BatchNorm-activation once or twice."""

    def __init__(self, inputs: int, outputs: int, options: AirbenchOptions) -> None:
        super().__init__()
