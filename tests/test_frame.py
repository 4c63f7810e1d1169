"""How a camera hangs: pictures turned, against OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edgedl.frame import UPRIGHT, Mounting

ROTATIONS: dict[Any, Any] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
FLIPS: dict[Any, int] = {"horizontal": 1, "vertical": 0}


@pytest.mark.parametrize("shape", [(5, 8, 3), (4, 3)])
@pytest.mark.parametrize("flip", ["none", *FLIPS])
@pytest.mark.parametrize("rotate", [0, *ROTATIONS])
def test_rotated_then_flipped(rotate: Any, flip: Any, shape: tuple[int, ...]) -> None:
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    expected = cv2.rotate(picture, ROTATIONS[rotate]) if rotate else picture
    expected = cv2.flip(expected, FLIPS[flip]) if flip != "none" else expected
    found = Mounting(rotate=rotate, flip=flip).turn(picture)
    assert np.array_equal(found, expected)
    assert found.flags.c_contiguous


def test_what_is_upright_is_not_copied() -> None:
    picture = np.zeros((5, 8, 3), np.uint8)
    assert np.shares_memory(UPRIGHT.turn(picture), picture)
