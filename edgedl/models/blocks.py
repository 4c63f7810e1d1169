"""What the convolutional networks share: a classifier's shape, checked widths, small blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn

from edgedl.errors import ConfigError

Activation = Literal["relu", "gelu", "silu"]
Stem = Literal["small", "large"]


class ImageClassifier(nn.Module):
    """A network from pictures (N, C, H, W) to logits (N, K).

    Attributes:
        head: Name of the last layer, the only one that depends on the classes.
        frozen: Whether all but the head keeps its weights and its running statistics.
    """

    head = ""
    frozen = False

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pre-processed pictures (N, C, H, W)."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return the graphs to export: ``model``, image -> logits."""
        return {"model": self}

    def freeze(self) -> None:
        """Keep everything but the head as it is, through ``train`` as well."""
        self.frozen = True
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(f"{self.head}."))
        self.train(self.training)

    def train(self, mode: bool = True) -> ImageClassifier:
        """Switch between training and evaluation; frozen norms stay in evaluation."""
        super().train(mode)
        if self.frozen:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self


def activation(name: Activation) -> nn.Module:
    """Return an activation as a module of its own."""
    made: nn.Module = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}[name]()
    return made


def conv_bn(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    """Return a convolution that keeps the size at stride 1, and the norm that folds into it."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return conv, nn.BatchNorm2d(outputs)


def init_he(module: nn.Module) -> None:
    """Set the kernels of convolutions for ReLU, by their outputs, and small linear layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def check_widths(name: str, widths: Iterable[int], most: int = 4096) -> None:
    """Refuse layers without or with too many channels.

    Raises:
        ConfigError: E205 one is not in 1..``most``, or there is none.
    """
    widths = tuple(widths)
    if not widths or not all(1 <= width <= most for width in widths):
        msg = f"model {name} must be in 1..{most}; got {widths}"
        raise ConfigError("E205", msg)


def check_dropout(dropout: float) -> None:
    """Refuse a part to drop that is not one.

    Raises:
        ConfigError: E205 it is not in [0, 1).
    """
    if not 0 <= dropout < 1:
        msg = f"model dropout must be in [0, 1); got {dropout}"
        raise ConfigError("E205", msg)


def check_factor(width: float) -> None:
    """Refuse a factor on the channels of all layers that is out of range.

    Raises:
        ConfigError: E205 it is not in 1/16..4.
    """
    if not 1 / 16 <= width <= 4:
        msg = f"model width must be in 0.0625..4; got {width}"
        raise ConfigError("E205", msg)


def scaled(channels: float, width: float, least: int = 8) -> int:
    """Return ``channels · width`` as the nearest multiple of 8 that loses at most a tenth."""
    exact = channels * width
    rounded = max(least, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded
