"""Plain convolutional classifiers: a LeNet-size net with batch norms, and VGG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from edgedl.models.blocks import (
    ImageClassifier,
    Stem,
    check_dropout,
    check_factor,
    check_widths,
    conv_bn,
    init_he,
    scaled,
)

_VGG = {
    "vgg11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "vgg16": ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LenetOptions:
    """Widths of a LeNet-size net.

    Attributes:
        family: ``lenet``.
        widths: Output channels of each stage; each stage but the first halves the size.
        depth: Convolutions of a stage, 1..4.
        dropout: Part of the last features that is dropped in training.
    """

    family: Literal["lenet"] = "lenet"
    widths: tuple[int, ...] = (16, 32, 64)
    depth: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_widths("widths", self.widths)
        check_widths("depth", (self.depth,), 4)
        check_dropout(self.dropout)


class Lenet(ImageClassifier):
    """Stages of Conv-BatchNorm-ReLU with pooling between them, then one linear layer."""

    head = "fc"

    def __init__(self, options: LenetOptions, *, channels: int, classes: int) -> None:
        super().__init__()
        self.options = options
        layers: list[nn.Module] = []
        inputs = channels
        for index, width in enumerate(options.widths):
            if index:
                layers.append(nn.MaxPool2d(2))
            for _ in range(options.depth):
                layers += [*conv_bn(inputs, width), nn.ReLU()]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(options.dropout)
        self.fc = nn.Linear(inputs, classes)
        init_he(self.features)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.pool(self.features(image)), 1)))
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class VggOptions:
    """A VGG with batch norms.

    Attributes:
        family: ``vgg11`` or ``vgg16``.
        stem: ``large`` has torchvision's three linear layers after a 7 × 7 grid; ``small`` has one
            after the mean over the grid, for pictures of about 32 × 32.
        width: Factor on all convolutions' channels, 1/16..4.
        dropout: Part of the features before each linear layer that is dropped in training.
    """

    family: Literal["vgg11", "vgg16"]
    stem: Stem = "small"
    width: float = 1.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        check_factor(self.width)
        check_dropout(self.dropout)


class Vgg(ImageClassifier):
    """VGG; with the large stem and width 1 the names and shapes are torchvision's ``vggN_bn``."""

    def __init__(self, options: VggOptions, *, channels: int, classes: int) -> None:
        super().__init__()
        self.options = options
        layers: list[nn.Module] = []
        inputs = channels
        for stage in _VGG[options.family]:
            for width in stage:
                outputs = scaled(width, options.width)
                conv, norm = conv_bn(inputs, outputs)
                conv.bias = nn.Parameter(torch.zeros(outputs))  # torchvision's files have one
                layers += [conv, norm, nn.ReLU()]
                inputs = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        drop = nn.Dropout(options.dropout)
        if options.stem == "large":
            self.avgpool: nn.Module = nn.AdaptiveAvgPool2d(7)
            inner = scaled(4096, options.width)
            self.classifier = nn.Sequential(
                *(nn.Linear(inputs * 49, inner), nn.ReLU(), drop),
                *(nn.Linear(inner, inner), nn.ReLU(), drop),
                nn.Linear(inner, classes),
            )
            self.head = "classifier.6"
        else:
            self.avgpool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(drop, nn.Linear(inputs, classes))
            self.head = "classifier.1"
        init_he(self.features)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))
        return logits
