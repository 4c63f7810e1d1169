"""Residual networks: ResNet-18 and -50 with torchvision's names, ResNet-20 of CIFAR."""

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
    conv_bn,
    init_he,
    scaled,
)

_STAGES = {  # channels before expansion, and blocks, of each stage
    "resnet18": ((64, 2), (128, 2), (256, 2), (512, 2)),
    "resnet20": ((16, 3), (32, 3), (64, 3)),
    "resnet50": ((64, 3), (128, 4), (256, 6), (512, 3)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResnetOptions:
    """A residual network.

    Attributes:
        family: ``resnet18``, ``resnet20`` (small stem only is usual) or ``resnet50``.
        stem: ``large`` is torchvision's 7 × 7 convolution and pooling, a quarter of the size;
            ``small`` is one 3 × 3 convolution, for pictures of about 32 × 32.
        width: Factor on all channels, 1/16..4.
        dropout: Part of the last features that is dropped in training.
    """

    family: Literal["resnet18", "resnet20", "resnet50"]
    stem: Stem = "small"
    width: float = 1.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_factor(self.width)
        check_dropout(self.dropout)


class Resnet(ImageClassifier):
    """ResNet; with the large stem and width 1 names and shapes are torchvision's."""

    head = "fc"

    def __init__(self, options: ResnetOptions, *, channels: int, classes: int) -> None:
        super().__init__()
        self.options = options
        block = Bottleneck if options.family == "resnet50" else BasicBlock
        stages = [(scaled(width, options.width), n) for width, n in _STAGES[options.family]]
        inputs = stages[0][0]
        large = options.stem == "large"
        self.conv1, self.bn1 = conv_bn(channels, inputs, 7 if large else 3, 2 if large else 1)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, padding=1) if large else nn.Identity()
        self.stages = len(stages)
        for index, (width, count) in enumerate(stages):
            blocks = []
            for i in range(count):
                blocks.append(block(inputs, width, 2 if index and not i else 1))
                inputs = width * block.expansion
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(options.dropout)
        self.fc = nn.Linear(inputs, classes)
        init_he(self)
        for module in self.modules():  # each block begins as its short cut
            if isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for index in range(self.stages):
            x = self.get_submodule(f"layer{index + 1}")(x)
        logits: Tensor = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return logits


class BasicBlock(nn.Module):
    """Two 3 × 3 convolutions around which the input goes."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(inputs, width, 3, stride)
        self.conv2, self.bn2 = conv_bn(width, width)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        out: Tensor = self.relu(self.bn2(self.conv2(y)) + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """1 × 1, 3 × 3 and 1 × 1 convolutions around which the input goes; four times the width."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv_bn(inputs, width, 1)
        self.conv2, self.bn2 = conv_bn(width, width, 3, stride)
        self.conv3, self.bn3 = conv_bn(width, width * self.expansion, 1)
        self.relu = nn.ReLU()
        self.downsample = _shortcut(inputs, width * self.expansion, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 · width, H / stride, W / stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        out: Tensor = self.relu(self.bn3(self.conv3(y)) + self.downsample(x))
        return out


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if inputs == outputs and stride == 1:
        return nn.Identity()
    return nn.Sequential(*conv_bn(inputs, outputs, 1, stride))
