"""A caption written legibly in a strip below a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgedl.runtime.draw import FONT, draw_text, drawable

if TYPE_CHECKING:
    from edgedl.frame import U8Image

BACKGROUND, INK = (28, 24, 22), (240, 240, 240)
MAX_LINES = 2


def strip_height_px(width_px: int) -> int:
    """Return the height of the strip under a picture of this width; even, as video needs."""
    return 2 * round((MAX_LINES * line_height_px(width_px) + 0.5 * line_height_px(width_px)) / 2)


def line_height_px(width_px: int) -> int:
    """Return the height of a line of text; about 50 characters fit across the picture."""
    return max(16, round(width_px / 24))


def with_caption(picture: U8Image, text: str) -> U8Image:
    """Return the picture with ``text`` in a dark strip below it.

    Args:
        picture: bgr8, (H, W, 3).
        text: Wrapped to at most two lines; a longer one is cut and ends with dots.

    Returns:
        bgr8, (H + strip, W, 3), both sides even; ``picture`` is not changed.
    """
    height, width = picture.shape[0], picture.shape[1]
    strip = strip_height_px(width)
    canvas = np.empty((height + height % 2 + strip, width + width % 2, 3), np.uint8)
    canvas[:] = BACKGROUND
    canvas[:height, :width] = picture
    line = line_height_px(width)
    scale = line / 32
    margin = line // 2
    rows = wrap(text, scale, width - 2 * margin)
    top = height + (strip - len(rows) * line) // 2
    for i, row in enumerate(rows):
        draw_text(canvas, row, (margin, top + i * line), height_px=line, color=INK)
    return canvas


def wrap(text: str, scale: float, width_px: int) -> list[str]:
    """Break ``text`` between words into at most two rows that fit ``width_px``."""
    rows: list[str] = []
    words = drawable(text).split()
    while words and len(rows) < MAX_LINES:
        count = len(words)
        while count > 1 and _width_px(" ".join(words[:count]), scale) > width_px:
            count -= 1
        rows.append(" ".join(words[:count]))
        words = words[count:]
    if rows and (words or _width_px(rows[-1], scale) > width_px):
        while rows[-1] and _width_px(rows[-1] + "...", scale) > width_px:
            rows[-1] = rows[-1][:-1]
        rows[-1] += "..."
    return rows


def _width_px(text: str, scale: float) -> int:
    return int(cv2.getTextSize(text, FONT, scale, 1)[0][0])
