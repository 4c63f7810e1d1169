"""MobileNetV2 and V3 with torchvision's names."""

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

_RELU, _SWISH = nn.ReLU, nn.Hardswish
_V2 = (  # expansion, channels, blocks, stride
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_V3 = {  # kernel, expanded channels, channels, whether squeezed, activation, stride
    "mobilenetv3-small": (
        (3, 16, 16, True, _RELU, 2),
        (3, 72, 24, False, _RELU, 2),
        (3, 88, 24, False, _RELU, 1),
        (5, 96, 40, True, _SWISH, 2),
        (5, 240, 40, True, _SWISH, 1),
        (5, 240, 40, True, _SWISH, 1),
        (5, 120, 48, True, _SWISH, 1),
        (5, 144, 48, True, _SWISH, 1),
        (5, 288, 96, True, _SWISH, 2),
        (5, 576, 96, True, _SWISH, 1),
        (5, 576, 96, True, _SWISH, 1),
    ),
    "mobilenetv3-large": (
        (3, 16, 16, False, _RELU, 1),
        (3, 64, 24, False, _RELU, 2),
        (3, 72, 24, False, _RELU, 1),
        (5, 72, 40, True, _RELU, 2),
        (5, 120, 40, True, _RELU, 1),
        (5, 120, 40, True, _RELU, 1),
        (3, 240, 80, False, _SWISH, 2),
        (3, 200, 80, False, _SWISH, 1),
        (3, 184, 80, False, _SWISH, 1),
        (3, 184, 80, False, _SWISH, 1),
        (3, 480, 112, True, _SWISH, 1),
        (3, 672, 112, True, _SWISH, 1),
        (5, 672, 160, True, _SWISH, 2),
        (5, 960, 160, True, _SWISH, 1),
        (5, 960, 160, True, _SWISH, 1),
    ),
}
_LAST = {"mobilenetv2": 1280, "mobilenetv3-small": 1024, "mobilenetv3-large": 1280}


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
        drop = nn.Dropout(options.dropout)
        last = _LAST[options.family]
        if options.family == "mobilenetv2":
            self.features = _v2_features(options, channels)
            inner = scaled(last, max(1.0, options.width))
            self.classifier = nn.Sequential(drop, nn.Linear(inner, classes))
        else:
            self.features = _v3_features(options, channels)
            inner = scaled(last, options.width)
            found = 6 * scaled(_V3[options.family][-1][2], options.width)
            self.classifier = nn.Sequential(
                nn.Linear(found, inner), nn.Hardswish(), drop, nn.Linear(inner, classes)
            )
        self.head = f"classifier.{len(self.classifier) - 1}"
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        init_he(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        logits: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(image)), 1))
        return logits


class Residual(nn.Module):
    """Layers around which the input goes where the shapes allow it.

    The layers are called ``conv`` in V2's files and ``block`` in V3's.
    """

    def __init__(self, name: str, layers: nn.Sequential, *, around: bool) -> None:
        super().__init__()
        self.add_module(name, layers)
        self.name, self.around = name, around

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, channels, H / stride, W / stride)."""
        y: Tensor = self.get_submodule(self.name)(x)
        return x + y if self.around else y


class Squeeze(nn.Module):
    """Weighs the channels by what their means say."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = scaled(channels // 4, 1)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, inner, 1), nn.Conv2d(inner, channels, 1)
        self.activation, self.scale_activation = nn.ReLU(), nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        weights: Tensor = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        out: Tensor = x * self.scale_activation(weights)
        return out


def _v2_features(options: MobilenetOptions, channels: int) -> nn.Sequential:
    inputs, strides = scaled(32, options.width), _Strides(options.stem)
    layers: list[nn.Module] = [
        nn.Sequential(*conv_bn(channels, inputs, 3, strides.take(2)), nn.ReLU6())
    ]
    for expansion, width, count, stride in _V2:
        outputs = scaled(width, options.width)
        for index in range(count):
            step, inner = strides.take(1 if index else stride), inputs * expansion
            first = [nn.Sequential(*conv_bn(inputs, inner, 1), nn.ReLU6())]
            deep = nn.Sequential(*conv_bn(inner, inner, 3, step, groups=inner), nn.ReLU6())
            block = [*(first if expansion > 1 else []), deep, *conv_bn(inner, outputs, 1)]
            around = step == 1 and inputs == outputs
            layers.append(Residual("conv", nn.Sequential(*block), around=around))
            inputs = outputs
    last = scaled(_LAST["mobilenetv2"], max(1.0, options.width))
    return nn.Sequential(*layers, nn.Sequential(*conv_bn(inputs, last, 1), nn.ReLU6()))


def _v3_features(options: MobilenetOptions, channels: int) -> nn.Sequential:
    inputs, strides = scaled(16, options.width), _Strides(options.stem)
    layers: list[nn.Module] = [
        nn.Sequential(*_conv_bn_v3(channels, inputs, 3, strides.take(2)), nn.Hardswish())
    ]
    for kernel, expanded, width, squeezed, act, stride in _V3[options.family]:
        inner, outputs = scaled(expanded, options.width), scaled(width, options.width)
        step = strides.take(stride)
        block: list[nn.Module] = []
        if inner != inputs:
            block.append(nn.Sequential(*_conv_bn_v3(inputs, inner, 1), act()))
        block.append(nn.Sequential(*_conv_bn_v3(inner, inner, kernel, step, inner), act()))
        if squeezed:
            block.append(Squeeze(inner))
        block.append(nn.Sequential(*_conv_bn_v3(inner, outputs, 1)))
        around = step == 1 and inputs == outputs
        layers.append(Residual("block", nn.Sequential(*block), around=around))
        inputs = outputs
    return nn.Sequential(
        *layers, nn.Sequential(*_conv_bn_v3(inputs, 6 * inputs, 1), nn.Hardswish())
    )


class _Strides:
    """Hands out strides; with the small stem the first two halvings are left out."""

    def __init__(self, stem: Stem) -> None:
        self.left_out = 2 if stem == "small" else 0

    def take(self, stride: int) -> int:
        if stride == 2 and self.left_out:
            self.left_out -= 1
            return 1
        return stride


def _conv_bn_v3(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return ``conv_bn`` with V3's epsilon, which its weight files rely on."""
    conv, norm = conv_bn(inputs, outputs, kernel, stride, groups)
    norm.eps = 0.001
    return conv, norm
