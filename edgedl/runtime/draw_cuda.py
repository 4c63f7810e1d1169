"""Boxes, masks and heat maps drawn into a picture on a GPU: the same bytes as on the CPU.

Arrays are whatever has DLPack or ``__cuda_array_interface__``. All must live until the stream has
done the work. Compiled by nvcc; its code is tested on the host. Not yet run on a GPU.
"""

from __future__ import annotations

from typing import Any

from edgedl import _core
from edgedl.runtime.device_array import stream_number


def draw_boxes_cuda(
    picture: Any,
    boxes_xyxy: Any,
    colors: Any,
    *,
    thickness_px: int = 2,
    alpha: int = 255,
    stream: Any = 0,
) -> None:
    """Begin to draw outlines, or filled boxes, one after another; see ``draw.draw_boxes``.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        boxes_xyxy: int32, contiguous, (K, 4): left, top, right, bottom in pixels, right and bottom
            excluded. What lies beyond the picture is not drawn.
        colors: uint8, contiguous, (K, 3), in the order of the picture's channels.
        thickness_px: Of the outline, which lies within its box; 0 fills the box.
        alpha: Opacity, 0..255.
        stream: In whose order the work is done; 0 is the default stream.

    Raises:
        UsageError: E110 an argument has another type, shape or range, or lies elsewhere.
    """
    number = stream_number(stream)
    _core.overlay_boxes_cuda(picture, boxes_xyxy, colors, thickness_px, alpha, number)


def draw_mask_cuda(
    picture: Any,
    mask: Any,
    at_xy: tuple[int, int],
    color: tuple[int, int, int],
    *,
    alpha: int = 255,
    stream: Any = 0,
) -> None:
    """Begin to draw one colour where a mask, such as ``draw.text_mask``, covers the picture.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        mask: uint8, contiguous, (h, w): how much each pixel is covered, 0..255.
        at_xy: Where its left top corner lies, in pixels; it may lie beyond the picture.
        color: In the order of the picture's channels.
        alpha: Opacity of what is fully covered, 0..255.
        stream: In whose order the work is done; 0 is the default stream.

    Raises:
        UsageError: E110 an argument has another type, shape or range, or lies elsewhere.
    """
    _core.overlay_mask_cuda(picture, mask, at_xy, color, alpha, stream_number(stream))


def draw_heat_map_cuda(
    picture: Any,
    heat: Any,
    colors: Any,
    region_xywh: tuple[int, int, int, int],
    *,
    alpha: int = 128,
    stream: Any = 0,
) -> None:
    """Begin to lay a heat map over a picture; see ``draw.draw_heat_map``.

    Args:
        picture: uint8, (H, W, 3); rows may be padded.
        heat: float32, contiguous, (h, w), resized bilinearly. 0..1; what is beyond is cut, NaN
            counts as 0.
        colors: uint8, contiguous, (256, 3), such as ``draw.heat_colors()``.
        region_xywh: Where in the picture, in pixels; it may reach beyond.
        alpha: Opacity, 0..255.
        stream: In whose order the work is done; 0 is the default stream.

    Raises:
        UsageError: E110 an argument has another type, shape or range, or lies elsewhere.
    """
    _core.overlay_heat_cuda(picture, heat, region_xywh, colors, alpha, stream_number(stream))
