"""A CIFAR net that learns fast: whitened input, three wide blocks, global maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from edgedl.errors import ConfigError
from edgedl.models.blocks import Activation, ImageClassifier, activation, check_widths

_PATCHES = 1 << 20  # of which the second moments are summed at once


@dataclass(frozen=True, slots=True, kw_only=True)
class AirbenchOptions:
    """Widths of the net.

    Attributes:
        family: ``airbench``.
        widths: Output channels of the three blocks.
        activation: After each norm.
        residual: A third convolution in each block, around which the second's result goes.
        mirror: Once trained, judge each picture and its mirror image and average the logits: about
            half a point more for twice the MACs. For classes that a mirror leaves as they are.
        scale: Factor on the logits, 0.001..1000.
        bn_momentum: How fast the norms' running statistics follow, 0.001..1.
    """

    family: Literal["airbench"] = "airbench"
    widths: tuple[int, ...] = (64, 256, 256)
    activation: Activation = "gelu"
    residual: bool = False
    mirror: bool = False
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
        inputs = (8 * channels, *options.widths)  # 4 · channels eigenvectors and their negatives
        self.whiten = nn.Conv2d(channels, inputs[0], 2)
        self.whiten.weight.requires_grad_(False)
        self.act = activation(options.activation)
        self.blocks = nn.Sequential(
            *(Block(i, o, options) for i, o in zip(inputs, options.widths, strict=False))
        )
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.fc = nn.Linear(options.widths[-1], classes, bias=False)

    @torch.no_grad()
    def init_from(self, pictures: Tensor, eps: float = 5e-4) -> None:
        """Set the first layer so that its outputs on ``pictures`` (n, C, H, W) are uncorrelated.

        Args:
            pictures: As the network gets them: float, normalised. A few thousand.
            eps: Added to each eigenvalue of the patches' second moments.
        """
        _, channels, height, width = pictures.shape
        moments, count = torch.zeros(4 * channels, 4 * channels, dtype=torch.float64), 0
        for part in torch.split(pictures, max(1, _PATCHES // (height * width))):
            patches = part.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5)
            patches = patches.reshape(-1, 4 * channels).double()
            moments += patches.T @ patches
            count += len(patches)
        values, vectors = torch.linalg.eigh(moments / count)
        rows = (vectors / torch.sqrt(values + eps)).T.reshape(-1, channels, 2, 2)
        self.whiten.weight.copy_(torch.cat((rows, -rows)))
        nn.init.zeros_(cast("Tensor", self.whiten.bias))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        if self.options.mirror and not self.training:
            both = self._logits(torch.cat((image, image.flip(3))))
            return both.view(2, -1, both.shape[1]).mean(dim=0)
        return self._logits(image)

    def _logits(self, image: Tensor) -> Tensor:
        features = self.pool(self.blocks(self.act(self.whiten(image))))
        logits: Tensor = self.fc(torch.flatten(features, 1)) * self.options.scale
        return logits


class Block(nn.Module):
    """Conv-MaxPool-BatchNorm-activation, then Conv-BatchNorm-activation once or twice."""

    def __init__(self, inputs: int, outputs: int, options: AirbenchOptions) -> None:
        super().__init__()
        self.residual = options.residual
        self.conv1, self.norm1 = _conv_norm(inputs, outputs, options)
        self.conv2, self.norm2 = _conv_norm(outputs, outputs, options)
        if options.residual:
            self.conv3, self.norm3 = _conv_norm(outputs, outputs, options)
        self.pool = nn.MaxPool2d(2)
        self.act = activation(options.activation)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs, H / 2, W / 2)."""
        x = self.conv1(x)
        # The norm's factor is positive, so that both orders are equal once its statistics are
        # fixed; a norm next to its convolution folds into it.
        x = self.norm1(self.pool(x)) if self.training else self.pool(self.norm1(x))
        x = self.act(x)
        y: Tensor = self.norm2(self.conv2(x))
        if self.residual:
            y = x + self.norm3(self.conv3(self.act(y)))
        out: Tensor = self.act(y)
        return out


def _conv_norm(
    inputs: int, outputs: int, options: AirbenchOptions
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution that begins as the identity where it can, and a norm without factor."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(conv.weight[:inputs])
    norm = nn.BatchNorm2d(outputs, momentum=options.bn_momentum)
    norm.weight.requires_grad_(False)
    return conv, norm
