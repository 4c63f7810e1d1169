"""Boxes, masks and heat maps blended into a picture, against the definition in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from edgedl import _core
from edgedl.errors import UsageError

RNG = np.random.default_rng(8)
EXECUTORS = (-1, 0, 1, 2, 3)
SIZES = [(1, 1), (2, 7), (9, 33), (17, 64), (23, 131)]
COLORS = RNG.integers(0, 256, (256, 3), np.uint8)
BEYOND = 2**31 - 1


def blended(under: np.ndarray, over: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    alpha, over, under = (np.asarray(values).astype(np.float64) for values in (alpha, over, under))
    share = alpha * over + (255 - alpha) * under
    return np.round(share / 255).astype(np.uint8)


def padded(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture in the middle of a larger one."""
    whole = RNG.integers(0, 256, (height + 2, width + 3, 3), np.uint8)
    return whole, whole[1:-1, 1:-2]


def assert_drawn(
    draw: Callable[[np.ndarray, int], None],
    define: Callable[[np.ndarray], np.ndarray],
    size_hw: tuple[int, int],
) -> None:
    for order in EXECUTORS:
        whole, picture = padded(*size_hw)
        expected = whole.copy()
        expected[1:-1, 1:-2] = define(picture.copy())
        draw(picture, order)
        assert np.array_equal(whole, expected), order


def with_boxes(
    picture: np.ndarray, boxes: np.ndarray, colors: np.ndarray, thickness: int, alpha: int
) -> np.ndarray:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    for (x1, y1, x2, y2), color in zip(boxes.astype(np.int64), colors, strict=True):
        is_inside = (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        edge = np.minimum(np.minimum(x - x1, x2 - 1 - x), np.minimum(y - y1, y2 - 1 - y))
        where = is_inside & ((edge < thickness) | (thickness == 0))
        picture[where] = blended(picture[where], color, np.array(alpha))
    return picture


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("thickness", [0, 1, 3, BEYOND])
@pytest.mark.parametrize("size_hw", SIZES)
def test_boxes(size_hw: tuple[int, int], thickness: int) -> None:
    height, width = size_hw
    some = RNG.integers(-9, [width + 9, height + 9] * 2, (12, 4)).astype(np.int32)
    edges = [
        (-BEYOND, -BEYOND, BEYOND, BEYOND),
        (0, 0, width, height),
        (0, 0, 0, height),
        (5, 5, 2, 2),
        (BEYOND - 1, 0, BEYOND, 3),
    ]
    boxes = np.concatenate([some, np.array(edges, np.int32)])
    colors = RNG.integers(0, 256, (len(boxes), 3), np.uint8)
    for alpha in (0, 90, 255):
        assert_drawn(
            lambda to, order: _core.overlay_boxes(to, boxes, colors, thickness, alpha, order),  # noqa: B023
            lambda to: with_boxes(to, boxes, colors, thickness, alpha),  # noqa: B023
            size_hw,
        )


def test_more_boxes_than_a_block_of_threads_looks_at() -> None:
    boxes = RNG.integers(0, 40, (600, 4)).astype(np.int32)
    colors = RNG.integers(0, 256, (600, 3), np.uint8)
    assert_drawn(
        lambda to, order: _core.overlay_boxes(to, boxes, colors, 1, 128, order),
        lambda to: with_boxes(to, boxes, colors, 1, 128),
        (20, 40),
    )


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("at_xy", [(0, 0), (3, 1), (-4, -2), (100, 3), (-BEYOND - 1, BEYOND)])
@pytest.mark.parametrize("size_hw", SIZES)
def test_masks(size_hw: tuple[int, int], at_xy: tuple[int, int]) -> None:
    mask = RNG.integers(0, 256, (11, 70), np.uint8)
    mask[::2, ::3], mask[1::2, ::3] = 0, 255

    def define(picture: np.ndarray, alpha: int) -> np.ndarray:
        coverage = np.zeros((*size_hw, 1), np.uint8)
        for v, u in np.ndindex(*mask.shape):
            x, y = at_xy[0] + u, at_xy[1] + v
            if 0 <= x < size_hw[1] and 0 <= y < size_hw[0]:
                coverage[y, x] = mask[v, u]
        share = np.round(coverage.astype(np.int64) * alpha / 255)
        return blended(picture, np.array([250, 3, 77]), share)

    for alpha in (255, 101):
        assert_drawn(
            lambda to, order: _core.overlay_mask(to, mask, at_xy, (250, 3, 77), alpha, order),  # noqa: B023
            lambda to: define(to, alpha),  # noqa: B023
            size_hw,
        )


def positions(count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ratio = np.float32(count) / np.float32(size)
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * ratio - np.float32(0.5)
    at = at.clip(0, count - 1)
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, count - 1), at - first.astype(np.float32)


def levels(heat: np.ndarray, height: int, width: int) -> np.ndarray:
    heat = np.nan_to_num(heat, nan=0, posinf=1, neginf=0).clip(0, 1)
    left, right, fraction = positions(heat.shape[1], width)
    rows = heat[:, left] + (heat[:, right] - heat[:, left]) * fraction
    top, bottom, fraction = positions(heat.shape[0], height)
    values = rows[top] + (rows[bottom] - rows[top]) * fraction[:, None]
    return np.floor(values * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def heat_of(height: int, width: int) -> np.ndarray:
    heat = RNG.uniform(-0.1, 1.1, (height, width)).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, 1e38], np.float32)
    heat.reshape(-1)[RNG.integers(0, heat.size, 4)] = odd
    return heat


PLACES = [None, (2, 1, 9, 5), (-20, -7, 60, 40), (-300, 4, 700, 1), (200, 0, 9, 9)]


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("heat_hw", [(1, 1), (7, 5), (40, 300)])
@pytest.mark.parametrize("size_hw", [(1, 1), (9, 33), (17, 64), (3, 600)])
def test_heat_maps(
    size_hw: tuple[int, int], heat_hw: tuple[int, int], place: tuple[int, int, int, int] | None
) -> None:
    heat = heat_of(*heat_hw)
    x, y, width, height = place or (0, 0, size_hw[1], size_hw[0])

    def define(picture: np.ndarray) -> np.ndarray:
        rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
        where = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
        over = COLORS[levels(heat, height, width)[rows[where] - y, columns[where] - x]]
        picture[where] = blended(picture[where], over, np.array(77))
        return picture

    assert_drawn(
        lambda to, order: _core.overlay_heat(to, heat, (x, y, width, height), COLORS, 77, order),
        define,
        size_hw,
    )


def test_a_heat_map_is_resized_as_opencv_does() -> None:
    heat = RNG.uniform(0, 1, (7, 9)).astype(np.float32)
    gray = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    picture = np.zeros((100, 150, 3), np.uint8)
    _core.overlay_heat(picture, heat, (0, 0, 150, 100), gray, 255)
    resized = cv2.resize(heat, (150, 100), interpolation=cv2.INTER_LINEAR)
    assert np.abs(picture[..., 1] - resized * 255.0).max() <= 0.501


def test_a_share_is_rounded_to_the_nearest() -> None:
    """Every alpha, colour under and over it."""
    alpha, under, over = np.ogrid[:256, :256, :256]
    expected = blended(under, over, alpha)
    picture = np.zeros((1, 256, 3), np.uint8)
    for a in range(256):
        mask = np.full((1, 256), a, np.uint8)
        for level in range(a % 5, 256, 5):
            picture[0] = np.arange(256, dtype=np.uint8)[:, None]
            _core.overlay_mask(picture, mask, (0, 0), (level, level, level), 255)
            assert np.array_equal(picture[0, :, 0], expected[a, :, level])


def test_flipped_rows_and_empty_pictures() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    boxes, colors = np.array([[0, 0, 2, 1]], np.int32), np.full((1, 3), 9, np.uint8)
    _core.overlay_boxes(picture[::-1], boxes, colors, 0, 255)
    assert (picture[3, :2] == 9).all()
    assert picture.sum() == 2 * 3 * 9
    for empty in (picture[:0], picture[:, :0]):
        for order in EXECUTORS:
            _core.overlay_boxes(empty, boxes, colors, 0, 255, order)
            _core.overlay_mask(empty, np.zeros((0, 4), np.uint8), (0, 0), (1, 2, 3), 255, order)
    _core.overlay_boxes(picture, boxes[:0], colors[:0], 0, 255)


def test_wrong_pictures_are_named() -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    boxes, colors = np.zeros((1, 4), np.int32), np.zeros((1, 3), np.uint8)

    def run(picture: object) -> None:
        _core.overlay_boxes(picture, boxes, colors, 1, 255)

    with pytest.raises(UsageError, match=r"\(H, W, 3\) uint8 array .*; got \(6, 8, 1\) uint8"):
        run(picture[..., :1])
    with pytest.raises(UsageError, match=r"got \(6, 8, 3\) int8"):
        run(picture.view(np.int8))
    with pytest.raises(UsageError, match=r"got strides \(24, 6, 1\)"):
        run(picture[:, ::2])
    with pytest.raises(UsageError, match=r"got strides \(0, 3, 1\)"):
        run(np.lib.stride_tricks.as_strided(picture, (6, 8, 3), (0, 3, 1)))
    with pytest.raises(UsageError, match=r"at most 32768; got \(1, 32769, 3\)"):
        run(np.zeros((1, 32769, 3), np.uint8))
    with pytest.raises(UsageError, match=r"got list"):
        run([1])
    picture.flags.writeable = False
    with pytest.raises(UsageError, match=r"read-only"):
        run(picture)


def test_wrong_overlays_are_named() -> None:
    picture = np.zeros((6, 8, 3), np.uint8)
    boxes, colors = np.zeros((2, 4), np.int32), np.zeros((2, 3), np.uint8)
    with pytest.raises(UsageError, match=r"\(K, 4\) int32 array; got \(2, 4\) int64"):
        _core.overlay_boxes(picture, boxes.astype(np.int64), colors, 1, 255)
    with pytest.raises(UsageError, match=r"a row of 3 for each box; got \(1, 3\)"):
        _core.overlay_boxes(picture, boxes, colors[:1], 1, 255)
    with pytest.raises(UsageError, match=r"thickness must be >= 0; got -1"):
        _core.overlay_boxes(picture, boxes, colors, -1, 255)
    with pytest.raises(UsageError, match=r"alpha must be in 0..255; got 256"):
        _core.overlay_boxes(picture, boxes, colors, 1, 256)
    with pytest.raises(UsageError, match=r"must not overlap"):
        _core.overlay_boxes(picture, boxes, picture[0, :2], 1, 255)
    with pytest.raises(UsageError, match=r"\[overlay_mask\] mask must be .* got \(6,\) uint8"):
        _core.overlay_mask(picture, np.zeros(6, np.uint8), (0, 0), (1, 2, 3), 255)
    heat = np.zeros((2, 2), np.float32)
    with pytest.raises(UsageError, match=r"sides of heat must be in 1..32768; got \(0, 2\)"):
        _core.overlay_heat(picture, heat[:0], (0, 0, 8, 6), COLORS, 9)
    with pytest.raises(UsageError, match=r"1 x 1 to 32768 x 32768 pixels; got 0 x 6"):
        _core.overlay_heat(picture, heat, (0, 0, 0, 6), COLORS, 9)
    with pytest.raises(UsageError, match=r"\(256, 3\) uint8 array; got \(9, 3\)"):
        _core.overlay_heat(picture, heat, (0, 0, 8, 6), COLORS[:9], 9)
