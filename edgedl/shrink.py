"""Large pictures made smaller, for pages and bundles that show or carry them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from edgedl.frame import U8Image


def shrunk(picture: U8Image, longest_px: int) -> U8Image:
    """Return a picture (H, W, …) no side of which is longer; one that is small as it is."""
    height, width = picture.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1:
        return picture
    size_wh = [max(1, round(side * scale)) for side in (width, height)]
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8)
