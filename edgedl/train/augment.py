"""Changes of training batches that leave their class as it is; whole batches at once.

All take and return pictures (N, C, H, W), uint8 or float32; chance comes from PyTorch's global
generator, which the training loop seeds before every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from edgedl.errors import ConfigError

Padding = Literal["reflect", "zero", "edge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """What is changed; the defaults change nothing.

    Attributes:
        translate: Pixels that a picture is moved by at most, each way.
        padding: What comes in at the border.
        flip: Mirror left and right: ``random`` tosses a coin for each picture at each step;
            ``alternate`` tosses once for each picture and then mirrors it every second epoch.
        rotate: Degrees at most, each way.
        scale: Part by which the size changes at most: 0.1 is 0.9..1.1.
        shear: Degrees at most, each way.
        brightness: Part of the full range that is added at most, each way.
        contrast: Part by which differences to the mean grow or shrink at most.
        saturation: The same for differences to grey.
        hue: Part of the colour circle that colours turn at most, each way; 0..0.5.
        erase: Side of a square that is set to ``fill``, in pixels.
        fill: Value of erased pixels and of ``zero`` padding, as the pictures' values.
        mixup: Parameter of the Beta distribution that says how much of a second picture is
            mixed in.
        time_jitter: Frames by which a clip's frames are taken too early or too late at most.
    """

    translate: int = 0
    padding: Padding = "reflect"
    flip: Literal["none", "random", "alternate"] = "none"
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erase: int = 0
    fill: float = 0.0
    mixup: float = 0.0
    time_jitter: int = 0

    def __post_init__(self) -> None:
        allowed = {
            "translate": (0, 64),
            "rotate": (0, 180),
            "scale": (0, 0.9),
            "shear": (0, 60),
            "brightness": (0, 1),
            "contrast": (0, 1),
            "saturation": (0, 1),
            "hue": (0, 0.5),
            "erase": (0, 1024),
            "fill": (-255, 255),
            "mixup": (0, 10),
            "time_jitter": (0, 64),
        }
        for name, (low, high) in allowed.items():
            if not low <= getattr(self, name) <= high:
                msg = f"augment.{name} must be in {low}..{high}; got {getattr(self, name)}"
                raise ConfigError("E205", msg)


def augment(
    pictures: Tensor, options: AugmentOptions, *, epoch: int = 0, indices: Tensor | None = None
) -> Tensor:
    """Change pictures (N, C, H, W) as ``options`` say; all but mixup and time jitter.

    Args:
        pictures: uint8 0..255, or float32 0..1; not yet normalised.
        options: What to do.
        epoch: For ``flip = "alternate"``.
        indices: (N,) which sample of the data each picture is; for the same.
    """
    raise NotImplementedError


def mixup(
    pictures: Tensor, targets: Tensor, classes: int, strength: float
) -> tuple[Tensor, Tensor]:
    """Mix each picture with another of the batch.

    Args:
        pictures: (N, ...) float32.
        targets: (N,) int64.
        classes: K.
        strength: ``AugmentOptions.mixup``.

    Returns:
        The mixed pictures, and the parts of each class (N, K) float32, that sum to 1.
    """
    raise NotImplementedError


def jitter_time(clips: Tensor, most: int) -> Tensor:
    """Shift, drop or repeat frames of clips (N, T, ...), by at most ``most`` frames; in order."""
    raise NotImplementedError
