"""What is drawn into a picture of 1080p, in place: the cases of overlays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edgedl import _core
from edgedl.runtime.draw import heat_colors
from edgedl.runtime.draw_cuda import draw_boxes_cuda, draw_heat_map_cuda
from gpu_cases.case import HD_HW, Array, Case, Device, Trial, sector_bytes, waves


def drawing_cases() -> list[Case]:
    """Return the cases of overlays."""
    return [
        Case("overlay outlines 1080p", partial(_boxes, 3, 255)),
        Case("overlay filled 1080p", partial(_boxes, 0, 128)),
        Case("overlay heat 1080p", _heat),
    ]


def _drawing(
    device: Device, draw: Callable[[Any], object], definition: Callable[[Array], object]
) -> tuple[Any, Any, dict[str, Any]]:
    """Return two pictures on the device, one for each way, and what all trials of drawing have."""
    clean = waves(*HD_HW, 3, 0)
    expected = clean.copy()
    definition(expected)
    given, picture, other = (device.upload(clean) for _ in range(3))

    def restore() -> None:
        picture.copy_(given)
        other.copy_(given)

    common = {
        "ours": lambda: draw(picture),
        "results": [picture],
        "expected": [expected],
        "restore": restore,
    }
    return picture, other, common


def _boxes(thickness: int, alpha: int, device: Device) -> Trial:
    rng = np.random.default_rng(10)
    size = rng.integers(60, 400, (20, 2))
    first = rng.integers(0, np.array(HD_HW[::-1]) - size)
    corners = np.concatenate([first, first + size], axis=1).astype(np.int32)
    colors = rng.integers(0, 256, (len(corners), 3), np.uint8)
    held = device.upload(corners), device.upload(colors)
    options: Any = {"thickness_px": thickness, "alpha": alpha, "stream": device.stream}
    _, other, common = _drawing(
        device,
        lambda picture: draw_boxes_cuda(picture, *held, **options),
        lambda picture: _core.overlay_boxes(picture, corners, colors, thickness, alpha),
    )
    shades = [device.upload(color.astype(np.float32)) for color in colors]
    areas = [_areas(box, thickness) for box in corners.tolist()]

    def torch_way() -> Sequence[Any]:
        share = alpha / 255
        for parts, shade in zip(areas, shades, strict=True):
            for rows, columns in parts:
                part = other[rows, columns]
                blended = shade * share + part.float() * (1 - share)
                part.copy_(blended.round().to(device.torch.uint8))
        return [other]

    touched = np.zeros((*HD_HW, 3), bool)
    for parts in areas:
        for rows, columns in parts:
            touched[rows, columns] = True
    times = 1 if alpha == 255 else 2  # what is covered need not be read
    return Trial(
        **common,
        bytes=times * sector_bytes(touched) + corners.nbytes + colors.nbytes,
        torch=torch_way,
        distance=len(corners),  # it rounds at each box
    )


def _areas(box: list[int], thickness: int) -> list[tuple[slice, slice]]:
    """Return the rectangles that a box or its outline consists of, none twice."""
    left, top, right, bottom = box
    t = thickness
    if t == 0:
        return [(slice(top, bottom), slice(left, right))]
    sides = slice(top + t, bottom - t)
    return [
        (slice(top, top + t), slice(left, right)),
        (slice(bottom - t, bottom), slice(left, right)),
        (sides, slice(left, left + t)),
        (sides, slice(right - t, right)),
    ]


def _heat(device: Device) -> Trial:
    heat = np.random.default_rng(11).random((14, 14), np.float32)
    colors = heat_colors()
    held = device.upload(heat), device.upload(colors)
    place = (0, 0, HD_HW[1], HD_HW[0])
    _, other, common = _drawing(
        device,
        lambda picture: draw_heat_map_cuda(picture, *held, place, alpha=128, stream=device.stream),
        lambda picture: _core.overlay_heat(picture, heat, place, colors, 128),
    )

    def torch_way() -> Sequence[Any]:
        whole = device.torch.nn.functional.interpolate(
            held[0][None, None], HD_HW, mode="bilinear", align_corners=False
        )[0, 0]
        over = held[1][(whole.clamp(0, 1) * 255).round().long()].float()
        share = 128 / 255
        other.copy_((over * share + other.float() * (1 - share)).round().to(device.torch.uint8))
        return [other]

    picture_bytes = 3 * HD_HW[0] * HD_HW[1]
    return Trial(
        **common,
        bytes=2 * picture_bytes + heat.nbytes + colors.nbytes,
        torch=torch_way,
        distance=8,  # neighbours in the table of colours
    )
