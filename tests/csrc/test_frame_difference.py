"""What moved between two pictures, against the definition in NumPy and OpenCV, bit for bit."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedl import _core
from edgedl.errors import UsageError

RNG = np.random.default_rng(11)
GRAY, BGR, MIXED = (32768, 0, 0), (3735, 19235, 9798), (30000, 2768, 0)
ORDERS = (-1, 0, 1, 2, 3)
# height, width, box
SIZES = [(1, 1, 1), (5, 7, 2), (16, 64, 16), (33, 131, 4), (50, 67, 3), (300, 520, 256), (13, 9, 1)]


def blurred_of(pixels: np.ndarray, box: int, weights: tuple[int, ...]) -> np.ndarray:
    planes = pixels.reshape(*pixels.shape[:2], -1).astype(np.int64)
    height, width = pixels.shape[0] // box, pixels.shape[1] // box
    cells = planes[: height * box, : width * box].reshape(height, box, width, box, -1)
    luma = (cells.sum(axis=(1, 3)) @ np.array(weights[: planes.shape[2]]) + 2**14) >> 15
    share = (2**32 + box * box // 2) // (box * box)
    means = ((luma * share + 2**31) >> 32).astype(np.uint8)
    return cv2.GaussianBlur(means, (3, 3), 0, borderType=cv2.BORDER_REPLICATE)


def changed_of(blurred: np.ndarray, previous: np.ndarray, threshold: int, dilate: int):
    moved = (cv2.absdiff(blurred, previous) > threshold).astype(np.uint8)
    return cv2.dilate(moved, np.ones((2 * dilate + 1, 2 * dilate + 1), np.uint8))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("weights", [GRAY, MIXED, BGR])
@pytest.mark.parametrize("size", SIZES)
def test_matches_the_definition(size: tuple[int, int, int], weights: tuple[int, ...]) -> None:
    height, width, box = size
    channels = {GRAY: 1, MIXED: 2, BGR: 3}[weights]
    padded = RNG.integers(0, 256, (height, width + 3, channels), np.uint8)
    pixels = padded[:, :width] if channels > 1 else padded[:, :width, 0]
    if box > 200:
        pixels[:] = 255  # the largest sums
    want = blurred_of(pixels, box, weights)
    previous = want.copy()
    previous[:: max(1, len(want) // 3)] //= 2
    for threshold, dilate in ((0, 0), (9, 1), (20, 3), (254, 64)):
        moved = changed_of(want, previous, threshold, dilate)
        for order in ORDERS:
            got = _core.frame_difference(pixels, previous, box, weights, threshold, dilate, order)
            assert np.array_equal(got[0], want)
            assert np.array_equal(got[1], moved)
    assert not _core.frame_difference(pixels, None, box, weights, 0, 1)[1].any()


@pytest.mark.usefixtures("target")
def test_rows_may_run_backwards() -> None:
    pixels = RNG.integers(0, 256, (24, 40), np.uint8)
    got, _ = _core.frame_difference(pixels[::-1], None, 4, GRAY, 9, 1)
    assert np.array_equal(got, blurred_of(pixels[::-1], 4, GRAY))


def test_wrong_pictures_are_named() -> None:
    pixels = np.zeros((20, 30), np.uint8)

    def run(pixels=pixels, previous=None, box=5, weights=GRAY, threshold=9, dilate=1) -> None:
        _core.frame_difference(pixels, previous, box, weights, threshold, dilate)

    with pytest.raises(UsageError, match=r"\[frame_difference\] pixels .*; got \(20,\) uint8"):
        run(pixels[:, 0])
    with pytest.raises(UsageError, match=r"got \(20, 30\) float32"):
        run(pixels.astype(np.float32))
    with pytest.raises(UsageError, match=r"got strides \(30, 2\)"):
        run(pixels[:, ::2])
    with pytest.raises(UsageError, match=r"box must be in 1..256 .*; got 21 for \(20, 30\)"):
        run(box=21)
    with pytest.raises(UsageError, match=r"reduced picture's shape; got \(4, 5\) uint8"):
        run(previous=np.zeros((4, 5), np.uint8))
    with pytest.raises(UsageError, match=r"add up to 32768; got 3735"):
        run(weights=BGR)
    with pytest.raises(UsageError, match=r"threshold must be in 0..255; got 256"):
        run(threshold=256)
    with pytest.raises(UsageError, match=r"dilate must be in 0..64; got -1"):
        run(dilate=-1)
