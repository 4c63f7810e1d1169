"""The motion gate: frames that differ too little from the last one let through are held back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from edgedl.frame import Frame, PixelFormat, U8Image
    from edgedl.spec import ModelSpec

_GRAY = (32768, 0, 0)  # the first byte of a pixel is its luma
_LUMA: dict[PixelFormat, tuple[int, int, int]] = {
    "bgr8": (3735, 19235, 9798),
    "rgb8": (9798, 19235, 3735),
    "gray8": _GRAY,
    "yuyv": _GRAY,
    "nv12": _GRAY,
    "i420": _GRAY,
}
"""Weights of a pixel's bytes, in 1/32768; of colours those of BT.601 as OpenCV rounds them."""
_MOST_PX_PER_BOX = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionOptions:
    """What counts as motion.

    Attributes:
        min_fraction: A frame passes if more than this share of it changed, in [0, 1).
        width_px: Frames are compared at about this width; details smaller than a pixel of it
            count for little.
        threshold: A pixel changed if its luma did by more than this, 0..255.
        dilate_px: Changed pixels spread by this much, at the reduced size, so that the parts of
            one thing join; 0..64.
        min_area_px: Smaller regions, at the reduced size after spreading, are left out.

    Raises:
        ConfigError: E218 for a value out of range.
    """

    min_fraction: float = 0.0
    width_px: int = 160
    threshold: int = 10
    dilate_px: int = 1
    min_area_px: int = 10

    def __post_init__(self) -> None:
        ranges = {
            "width_px": (1, 8192),
            "threshold": (0, 255),
            "dilate_px": (0, 64),
            "min_area_px": (0, 8192 * 8192),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                msg = f"motion {name} must be in {low}..{high}; got {getattr(self, name)}"
                raise ConfigError("E218", msg)
        if not 0 <= self.min_fraction < 1:
            msg = f"motion must be a fraction in [0, 1); got {self.min_fraction}"
            raise ConfigError("E218", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """Where a frame differs from the last one that passed.

    Attributes:
        fraction: Share of the picture that changed, 0..1; 1 when there is nothing to compare with.
        boxes_xyxy: int64, (K, 4): bounding boxes of the regions that changed: left, top, right,
            bottom in pixels of the frame, right and bottom excluded; from the top down.
        passes: Whether the fraction is above ``min_fraction``.
    """

    fraction: float
    boxes_xyxy: npt.NDArray[np.int64]
    passes: bool


class MotionGate:
    """Compares each frame with the last one that passed.

    Not with the one before: what changes slowly, such as daylight, would never add up to a
    change. Luma is averaged over whole boxes of pixels, which takes away most of a camera's noise,
    then blurred; see ``csrc/kernels/frame_difference.h``. The first frame, one of another size or
    pixel format and one of another connection pass.
    """

    def __init__(self, options: MotionOptions | None = None) -> None:
        self.options = options or MotionOptions()
        self.held_back = 0
        self._of: tuple[Any, ...] | None = None
        self._reference: U8Image | None = None

    def __call__(self, frame: Frame) -> Motion:
        """Return what moved; count the frame if it does not pass.

        Args:
            frame: Of any pixel format; its chroma is not looked at, except in bgr8 and rgb8.

        Raises:
            UsageError: E110 the frame's pixels are not what its format says.
        """
        luma = luma_of(frame)
        height, width = luma.shape[:2]
        box = max(1, min(round(width / self.options.width_px), height, width, _MOST_PX_PER_BOX))
        of = (luma.shape, frame.pixel_format, frame.connection)
        reference = self._reference if of == self._of else None
        blurred, changed = _core.frame_difference(
            luma,
            reference,
            box,
            _LUMA[frame.pixel_format],
            self.options.threshold,
            self.options.dilate_px,
        )
        if reference is None:
            motion = Motion(fraction=1.0, boxes_xyxy=np.array([[0, 0, width, height]]), passes=True)
        else:
            motion = self._regions(changed, box)
        if motion.passes:
            self._of, self._reference = of, blurred
        else:
            self.held_back += 1
        return motion

    def _regions(self, changed: U8Image, box: int) -> Motion:
        if not changed.any():
            none = np.empty((0, 4), np.int64)
            return Motion(fraction=0.0, boxes_xyxy=none, passes=False)
        facts = cv2.connectedComponentsWithStats(changed, connectivity=8)[2][1:].astype(np.int64)
        facts = facts[facts[:, cv2.CC_STAT_AREA] >= self.options.min_area_px]
        fraction = float(facts[:, cv2.CC_STAT_AREA].sum()) / changed.size
        corner, size = facts[:, :2], facts[:, 2:4]
        return Motion(
            fraction=fraction,
            boxes_xyxy=np.concatenate([corner, corner + size], axis=1) * box,
            passes=fraction > self.options.min_fraction,
        )


def motion_gate(min_fraction: float | None, model: ModelSpec) -> MotionGate | None:
    """Return what ``--motion`` asks for, None for no gate.

    Raises:
        UsageError: E130 the model takes clips, whose frames follow one another.
        ConfigError: E218 the fraction is out of range.
    """
    if min_fraction is None:
        return None
    if model.clip is not None:
        msg = (
            "--motion would tear the clips of this model apart: it needs every frame; leave it out"
        )
        raise UsageError("E130", msg)
    return MotionGate(MotionOptions(min_fraction=min_fraction))


def luma_of(frame: Frame) -> U8Image:
    """Return a view of the pixels that hold luma: (H, W), or (H, W, C) where it is mixed in."""
    pixels: Any = frame.pixels
    if isinstance(pixels, tuple):
        pixels = pixels[0]
    elif frame.pixel_format in ("nv12", "i420"):
        pixels = pixels[: pixels.shape[0] * 2 // 3]
    luma: U8Image = pixels
    return luma
