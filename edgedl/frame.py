"""One picture of a source, with the time it was captured."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

PixelFormat = Literal["bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420"]
Rotate = Literal[0, 90, 180, 270]
Flip = Literal["none", "horizontal", "vertical"]
U8Image: TypeAlias = npt.NDArray[np.uint8]
Pixels: TypeAlias = "U8Image | tuple[U8Image, ...]"
MAX_SIDE_PX = 8192
"""Longest side of a picture that pre-processing takes."""
PIXEL_FORMATS: tuple[str, ...] = ("bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounting:
    """How a camera hangs, undone in pre-processing: the picture is rotated, then flipped.

    Attributes:
        rotate: Degrees clockwise.
        flip: ``horizontal`` swaps left and right, ``vertical`` top and bottom, of the rotated
            picture.
    """

    rotate: Rotate = 0
    flip: Flip = "none"

    def turn(self, picture: U8Image) -> U8Image:
        """Return (H, W) or (H, W, C) rotated clockwise, then flipped; a copy, if it turns."""
        rotated = np.rot90(picture, -self.rotate // 90)
        if self.flip != "none":
            rotated = np.flip(rotated, 1 if self.flip == "horizontal" else 0)
        return np.ascontiguousarray(rotated)


UPRIGHT = Mounting()


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture.

    Attributes:
        pixels: uint8, (H, W, 3) for ``bgr8`` and ``rgb8``, (H, W) for ``gray8``, (H, W, 2) for
            ``yuyv``, one packed (H·3/2, W) array or a tuple of planes for ``nv12`` and ``i420``.
        index: Number of the frame in its source, from 0; gaps are frames that were dropped.
        captured_ns: ``time.monotonic_ns()`` when the frame was decoded; for ages, never for people.
        pixel_format: What ``pixels`` holds.
        media_time_s: Presentation time in a file, None for cameras.
        connection: Number of the connection of a camera it came through, from 0: frames of two do
            not follow each other.
        info: What a source knows beside the pixels, e.g. the true caption of a rendered scene.
    """

    pixels: Any
    index: int = 0
    captured_ns: int = field(default_factory=time.monotonic_ns)
    pixel_format: PixelFormat = "bgr8"
    media_time_s: float | None = None
    connection: int = 0
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        """Seconds since the frame was captured, on the monotonic clock."""
        return (time.monotonic_ns() - self.captured_ns) / 1e9
