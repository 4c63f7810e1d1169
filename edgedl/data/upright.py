"""Decoded pictures as a player shows them: phones film lying and note how to turn it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


def to_bgr(frame: VideoFrame) -> npt.NDArray[np.uint8]:
    """Return the pixels as bgr8, (H, W, 3), turned and mirrored as the file says."""
    pixels = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    to_x, to_y = _display_matrix(frame)
    if _is_turned(to_x):
        pixels = pixels.transpose(1, 0, 2)
    down, right = (-1 if sum(parts) < 0 else 1 for parts in (to_y, to_x))
    return np.ascontiguousarray(pixels[::down, ::right])


def size_hw(frame: VideoFrame) -> tuple[int, int]:
    """Return height and width of the picture as ``to_bgr`` gives it."""
    to_x, _ = _display_matrix(frame)
    return (frame.width, frame.height) if _is_turned(to_x) else (frame.height, frame.width)


def _display_matrix(frame: VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return how much of x and y of the stored picture is in x, and in y, of the shown one."""
    found: Any = frame.side_data  # PyAV's types do not say what it yields
    for data in found:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()  # libavutil/display.h
            return (a, c), (b, d)
    return (1, 0), (0, 1)


def _is_turned(to_x: tuple[int, int]) -> bool:
    """Say whether the shown picture's x is the stored one's y: a quarter turn."""
    return abs(to_x[1]) > abs(to_x[0])
