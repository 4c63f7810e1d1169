"""What is drawn into a picture of 1080p, in place: the cases of overlays."""

from __future__ import annotations

import cv2
import numpy as np

from edgedl import _core
from edgedl.bench.kernels.case import (
    Array,
    Call,
    Case,
    Contender,
    Trial,
    enough,
    same_bits,
    within,
)
from edgedl.runtime.draw import heat_colors

OPENCV = "OpenCV"
_HEIGHT, _WIDTH = 1080, 1920
_HALF = 128  # opacity of what is blended, of 255
_LINE_PX = 3
_HEAT_HW = 14, 14


def drawing_cases() -> list[Case]:
    """Return the cases of overlays."""
    return [
        Case(
            name="overlay/outlines-1080p",
            what=f"the outlines of 20 boxes, {_LINE_PX} pixels wide, in bgr8 1920×1080",
            checked_against="NumPy and cv2.rectangle, bit for bit",
            make=_outlines,
        ),
        Case(
            name="overlay/filled-1080p",
            what="20 filled boxes, half transparent, in bgr8 1920×1080",
            checked_against="NumPy, bit for bit; cv2.addWeighted within 2 levels",
            make=_filled,
        ),
        Case(
            name="overlay/heat-1080p",
            what="a heat map of 14×14 over all of bgr8 1920×1080, half transparent",
            checked_against="NumPy, bit for bit; the OpenCV chain within 8 levels",
            make=_heat,
        ),
    ]


def _trial(
    set_mib: int, ours: Call, definition: Call, opencv: tuple[Call, float], touched: int
) -> Trial:
    """Return the trial of what draws into a picture.

    Args:
        set_mib: As for ``enough``.
        ours: Draws by our kernel.
        definition: Draws in NumPy.
        opencv: Draws by OpenCV, and how near to the definition.
        touched: Bytes that must be read or written.
    """
    clean = np.random.default_rng(9).integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)

    def drawn(call: Call) -> Call:
        def draw(picture: Array) -> Array:
            call(picture)
            return picture

        return draw

    expected = drawn(definition)(clean.copy())
    draw, distance = opencv
    return Trial(
        inputs=enough(clean, lambda _index: clean.copy(), set_mib),
        ours=Contender(drawn(ours), same_bits(lambda _drawn: expected)),
        others={OPENCV: Contender(drawn(draw), within(lambda _drawn: expected, distance))},
        bytes=touched,
        restore=lambda picture: np.copyto(picture, clean),
    )


def _blended(under: Array, over: Array, alpha: int) -> Array:
    share = alpha * over.astype(np.int32) + (255 - alpha) * under.astype(np.int32)
    return ((share + 127) // 255).astype(np.uint8)


# ---- boxes --------------------------------------------------------------------------------------


def _boxes() -> tuple[Array, Array]:
    """Return int32 corners and uint8 colours of boxes within the picture."""
    rng = np.random.default_rng(10)
    size = rng.integers(60, 400, (20, 2))
    first = rng.integers(0, np.array([_WIDTH, _HEIGHT]) - size)
    corners = np.concatenate([first, first + size], axis=1).astype(np.int32)
    return corners, rng.integers(0, 256, (len(corners), 3), np.uint8)


def _outlines(set_mib: int) -> Trial:
    corners, colors = _boxes()

    def ours(picture: Array) -> None:
        _core.overlay_boxes(picture, corners, colors, _LINE_PX, 255)

    def definition(picture: Array) -> None:
        for (x1, y1, x2, y2), color in zip(corners, colors, strict=True):
            inside = picture[y1:y2, x1:x2]
            inside[:_LINE_PX] = inside[-_LINE_PX:] = color
            inside[:, :_LINE_PX] = inside[:, -_LINE_PX:] = color

    def opencv(picture: Array) -> None:
        for (x1, y1, x2, y2), color in zip(corners.tolist(), colors.tolist(), strict=True):
            for i in range(_LINE_PX):  # its lines of thickness 3 are 5 wide
                cv2.rectangle(picture, (x1 + i, y1 + i), (x2 - 1 - i, y2 - 1 - i), color)

    around = (corners[:, 2:] - corners[:, :2]).sum(axis=1) - 2 * _LINE_PX
    touched = 3 * 2 * _LINE_PX * int(around.sum())
    return _trial(set_mib, ours, definition, (opencv, 0), touched)


def _filled(set_mib: int) -> Trial:
    corners, colors = _boxes()

    def ours(picture: Array) -> None:
        _core.overlay_boxes(picture, corners, colors, 0, _HALF)

    def definition(picture: Array) -> None:
        for (x1, y1, x2, y2), color in zip(corners, colors, strict=True):
            inside = picture[y1:y2, x1:x2]
            inside[:] = _blended(inside, color, _HALF)

    def opencv(picture: Array) -> None:
        share = _HALF / 255
        for (x1, y1, x2, y2), color in zip(corners.tolist(), colors, strict=True):
            inside = picture[y1:y2, x1:x2]
            over = np.full_like(inside, color)
            cv2.addWeighted(over, share, inside, 1 - share, 0, dst=inside)

    touched = 2 * 3 * int((corners[:, 2:] - corners[:, :2]).prod(axis=1).sum())
    return _trial(set_mib, ours, definition, (opencv, 2), touched)


# ---- a heat map ---------------------------------------------------------------------------------


def _heat(set_mib: int) -> Trial:
    heat = np.random.default_rng(11).random(_HEAT_HW, np.float32)
    colors = heat_colors()
    levels = np.empty((_HEIGHT, _WIDTH), np.uint8)
    over = np.empty((_HEIGHT, _WIDTH, 3), np.uint8)

    def ours(picture: Array) -> None:
        _core.overlay_heat(picture, heat, (0, 0, _WIDTH, _HEIGHT), colors, _HALF)

    def definition(picture: Array) -> None:
        picture[:] = _blended(picture, colors[_levels(heat)], _HALF)

    def opencv(picture: Array) -> None:
        share = _HALF / 255
        resized = cv2.resize(heat, (_WIDTH, _HEIGHT))
        cv2.convertScaleAbs(resized, dst=levels, alpha=255)
        cv2.applyColorMap(levels, cv2.COLORMAP_TURBO, dst=over)
        cv2.addWeighted(over, share, picture, 1 - share, 0, dst=picture)

    return _trial(set_mib, ours, definition, (opencv, 8), 2 * 3 * _HEIGHT * _WIDTH)


def _levels(heat: Array) -> Array:
    """Return the heat resized to the picture, 0..255; see ``csrc/kernels/overlay.h``."""
    first, next_, fraction = _neighbours(heat.shape[1], _WIDTH)
    rows = heat[:, first] + (heat[:, next_] - heat[:, first]) * fraction
    first, next_, fraction = _neighbours(heat.shape[0], _HEIGHT)
    values = rows[first] + (rows[next_] - rows[first]) * fraction[:, np.newaxis]
    whole = np.floor(values * np.float32(255) + np.float32(0.5))
    return np.asarray(whole, np.uint8)


def _neighbours(count: int, size: int) -> tuple[Array, Array, Array]:
    """Return between which two of ``count`` each of ``size`` lies, and how near to the second."""
    ratio, half = np.float32(count) / np.float32(size), np.float32(0.5)
    at = ((np.arange(size, dtype=np.float32) + half) * ratio - half).clip(0, count - 1)
    first = at.astype(np.int64)
    return first, np.minimum(first + 1, count - 1), at - first.astype(np.float32)
