"""MobileNetV2 and V3 with torchvision's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from edgedl.models.blocks import ImageClassifier, Stem, check_dropout, check_factor


@dataclass(frozen=True, slots=True, kw_only=True)
class MobilenetOptions:
    """A MobileNet.

    Attributes:
        family: ``mobilenetv2``, ``mobilenetv3-small`` or ``mobilenetv3-large``.
        stem: ``large`` halves the size five times; ``small`` only three times, for pictures of
            about 32 × 32 (the parameters are the same).
        width: Factor on all channels, 1/16..4.
        dropout: Part of the last features that is dropped in training.
    """

    family: Literal["mobilenetv2", "mobilenetv3-small", "mobilenetv3-large"]
    stem: Stem = "small"
    width: float = 1.0
    dropout: float = 0.2

    def __post_init__(self) -> None:
        check_factor(self.width)
        check_dropout(self.dropout)


class Mobilenet(ImageClassifier):
    """MobileNet; with width 1 names and shapes are torchvision's."""

    def __init__(self, options: MobilenetOptions, *, channels: int, classes: int) -> None:
        super().__init__()
        self.options = options

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        raise NotImplementedError
