"""Boxes, labels and heat maps drawn into a picture, in place.

A picture is NumPy's or whatever else lends memory of the host through DLPack.
Colours are three bytes in the order of the picture's own channels. An opacity of 0 leaves the
picture as it is, 1 covers it: a byte becomes round((a · over + (255 - a) · under) / 255) with
a = round(255 · opacity).
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.errors import UsageError
from edgedl.runtime.host_array import shape_of

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.runtime.detection import Detections
    from edgedl.runtime.host_array import HostArray

Color = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)
_FAR_PX = 2**30
_LONGEST_SIDE_PX = 32768
_LARGEST_TEXT_PX = 1024


def draw_boxes(
    picture: HostArray,
    boxes_xyxy: npt.ArrayLike,
    colors: Color | Sequence[Color] | npt.NDArray[np.uint8],
    *,
    thickness_px: int = 2,
    opacity: float = 1.0,
) -> None:
    """Draw outlines, or filled boxes, one after another.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        boxes_xyxy: (K, 4): left, top, right, bottom in pixels, each rounded to the nearest edge
            between pixels. What lies beyond the picture is not drawn.
        colors: One for all boxes, or one for each.
        thickness_px: Of the outline, which lies within its box; 0 fills the box.
        opacity: In [0, 1].

    Raises:
        UsageError: E110 an argument has another type, shape or range, or a box is not finite.
    """
    corners = np.asarray(boxes_xyxy, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 4 or not np.isfinite(corners).all():
        _refuse("draw_boxes", f"boxes_xyxy must be (K, 4) and finite; got {corners.shape}")
    shades = np.asarray(colors)
    _check_colors("draw_boxes", shades, (len(corners), 3))
    _core.overlay_boxes(
        picture,
        np.rint(corners).clip(-_FAR_PX, _FAR_PX).astype(np.int32),
        np.ascontiguousarray(np.broadcast_to(shades, (len(corners), 3)), np.uint8),
        thickness_px,
        _alpha("draw_boxes", opacity),
    )


def draw_detections(
    picture: HostArray,
    detections: Detections,
    labels: Sequence[str] = (),
    *,
    thickness_px: int = 2,
    text_px: int = 20,
) -> None:
    """Draw what a detector found: each box in the colour of its class, its label and its score.

    Args:
        picture: uint8, (H, W, 3), the one that the boxes belong to; rows may be padded.
        detections: As ``decode_yolo`` and ``decode_ssd`` return them.
        labels: Names of the classes; a class without one is told by its number.
        thickness_px: Of the outlines.
        text_px: Height of the labels, 0 for none.
    """
    # the best one comes first: it is drawn last, on top
    boxes, scores = detections.boxes_xyxy[::-1], detections.scores[::-1]
    classes = [int(index) for index in detections.classes[::-1]]
    colors = np.array([class_color(index) for index in classes], int).reshape(-1, 3)
    draw_boxes(picture, boxes, colors, thickness_px=thickness_px)
    if text_px == 0:
        return
    for box, score, index in zip(boxes, scores, classes, strict=True):
        name = labels[index] if index < len(labels) else str(index)
        color = class_color(index)
        left, top = round(float(box[0])), round(float(box[1]))
        draw_text(
            picture,
            f"{name} {score:.2f}",
            (left, top - text_px if top >= text_px else top),
            height_px=text_px,
            color=_BLACK if sum(color) > 3 * 110 else _WHITE,
            background=color,
        )


def draw_text(
    picture: HostArray,
    text: str,
    at_xy: tuple[int, int],
    *,
    height_px: int = 20,
    color: Color = _WHITE,
    background: Color | None = None,
) -> None:
    """Write one line of text, on a rectangle of opacity 0.75 if it has a background.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        text: Printable ASCII; other characters become a question mark.
        at_xy: Left top corner of the line, in pixels; it may lie beyond the picture.
        height_px: Of the line, with room for letters that reach below; in 1..1024.
        color: Of the letters.
        background: Colour of the rectangle, None for none.

    Raises:
        UsageError: E110 an argument has another type, shape or range.
    """
    if not 1 <= height_px <= _LARGEST_TEXT_PX:
        _refuse("draw_text", f"height_px must be in 1..{_LARGEST_TEXT_PX}; got {height_px}")
    _check_colors("draw_text", np.asarray(color), (3,))
    mask = text_mask(drawable(text), height_px)
    left, top = (max(-_FAR_PX, min(_FAR_PX, at)) for at in at_xy)
    if background is not None:
        box = [(left, top, left + mask.shape[1], top + mask.shape[0])]
        draw_boxes(picture, box, background, thickness_px=0, opacity=0.75)
    _core.overlay_mask(picture, mask, (left, top), color, 255)


def draw_heat_map(
    picture: HostArray,
    heat: HostArray,
    *,
    region_xywh: tuple[int, int, int, int] | None = None,
    colors: HostArray | None = None,
    opacity: float = 0.5,
) -> None:
    """Lay a heat map, such as where a captioner looked, over a picture.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        heat: float32, contiguous, (h, w), resized bilinearly. 0..1; what is beyond is cut, NaN
            counts as 0. Attention is mostly far below 1: divide it by its maximum.
        region_xywh: Where in the picture, in pixels, it may reach beyond; None for all of it.
        colors: uint8, (256, 3), for the values 0/255 .. 255/255; None for ``heat_colors()``.
        opacity: In [0, 1].

    Raises:
        UsageError: E110 an argument has another type, shape or range.
    """
    alpha = _alpha("draw_heat_map", opacity)
    if region_xywh is None:
        shape = shape_of(picture, "[draw_heat_map] picture must be (H, W, 3) uint8")
        height, width = shape[:2] if len(shape) == 3 else (1, 1)
        region_xywh = (0, 0, max(1, width), max(1, height))
    table = heat_colors() if colors is None else colors
    _core.overlay_heat(picture, heat, region_xywh, table, alpha)


@lru_cache(maxsize=2)
def heat_colors(pixel_format: Literal["bgr8", "rgb8"] = "bgr8") -> npt.NDArray[np.uint8]:
    """Return OpenCV's "turbo" colours, dark blue over green to dark red: uint8, (256, 3)."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    bgr = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.uint8).reshape(256, 3)
    table = bgr.copy() if pixel_format == "bgr8" else bgr[:, ::-1].copy()
    table.flags.writeable = False
    return table


def class_color(index: int) -> Color:
    """Return the colour of a class; neighbouring numbers are far apart in hue."""
    hue = index * 0.618034 % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, 0.95)
    return round(255 * blue), round(255 * green), round(255 * red)


def drawable(text: str) -> str:
    """Replace what the font has no letter for; any run of white space becomes one space."""
    return "".join(c if " " <= c <= "~" else "?" for c in " ".join(text.split()))


@lru_cache(maxsize=64)
def text_mask(text: str, height_px: int) -> U8Image:
    """Return how much each pixel of a line of text is covered.

    Args:
        text: Printable ASCII.
        height_px: Height of the line.

    Returns:
        uint8, (height_px, width), 0..255, read-only: it is kept for the next time.

    Raises:
        UsageError: E110 the line would be wider than 32768 pixels.
    """
    scale, thickness = height_px / 32, max(1, height_px // 18)
    width = int(cv2.getTextSize(text, FONT, scale, thickness)[0][0]) + 2 * thickness
    if width > _LONGEST_SIDE_PX:
        rule = f"a line of text must be at most {_LONGEST_SIDE_PX} pixels wide; got {width}"
        _refuse("draw_text", f"{rule} at a height of {height_px}; shorten it")
    mask = np.zeros((height_px, width), np.uint8)
    baseline = (thickness, round(0.75 * height_px))
    cv2.putText(mask, text, baseline, FONT, scale, 255, thickness, cv2.LINE_AA)
    mask.flags.writeable = False
    return mask


def _alpha(operation: str, opacity: float) -> int:
    if not 0 <= opacity <= 1:
        _refuse(operation, f"an opacity must be in [0, 1]; got {opacity}")
    return round(255 * opacity)


def _check_colors(operation: str, colors: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    is_color = colors.shape in ((3,), shape) and colors.dtype.kind in "iu"
    if not is_color or (colors < 0).any() or (colors > 255).any():
        rule = "a colour must be three whole numbers in 0..255"
        _refuse(operation, f"{rule}; got {colors.tolist() if colors.size < 9 else colors.shape}")


def _refuse(operation: str, text: str) -> None:
    msg = f"[{operation}] {text}"
    raise UsageError("E110", msg)
