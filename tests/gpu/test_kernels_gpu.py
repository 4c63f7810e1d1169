"""The CUDA kernels that follow a network against the CPU's code, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedl import _core
from edgedl.runtime.draw_cuda import draw_boxes_cuda, draw_heat_map_cuda, draw_mask_cuda
from edgedl.runtime.postprocess import denormalize
from edgedl.runtime.postprocess_cuda import (
    CudaBeamStep,
    CudaBestClass,
    CudaNms,
    beam_step_workspace_bytes,
    denormalize_cuda,
    nms_workspace_bytes,
    softmax_top_k_cuda,
    softmax_top_k_workspace_bytes,
)
from edgedl.stream.motion_cuda import CudaFrameDifference

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 9), (32, 65), (31, 65), (64, 64), (517, 301)])
@pytest.mark.parametrize("channels", [1, 3])
def test_denormalize(size_hw: tuple[int, int], channels: int, device: Any) -> None:
    images = RNG.normal(0, 1, (3, channels, *size_hw)).astype(np.float32)
    images.reshape(-1)[:1] = np.nan
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.4)[:channels]
    for pixel_format in ("rgb8", "bgr8"):
        expected = denormalize(images, mean, std, pixel_format)
        out = device.poisoned(expected.shape, "uint8")
        denormalize_cuda(device.upload(images), out, mean, std, pixel_format, device.stream)
        np.testing.assert_array_equal(device.download(out), expected)


@pytest.mark.parametrize(("rows", "width", "count"), [(1, 1, 1), (5, 33, 4), (2, 10_000, 64)])
def test_softmax_top_k(rows: int, width: int, count: int, device: Any) -> None:
    logits = RNG.normal(0, 5, (rows, width)).astype(np.float32)
    expected = np.zeros((rows, count), np.float32), np.zeros((rows, count), np.int64)
    _core.softmax_top_k(logits, *expected)
    found = device.poisoned((rows, count), "float32"), device.poisoned((rows, count), "int64")
    space = device.poisoned((softmax_top_k_workspace_bytes(rows, width, count),), "uint8")
    softmax_top_k_cuda(device.upload(logits), *found, space, device.stream)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(device.download(one), wanted)


@pytest.mark.parametrize(("boxes", "limit"), [(1, 4), (300, 64), (25_200, 1000)])
@pytest.mark.parametrize("has_groups", [False, True])
def test_nms(boxes: int, limit: int, has_groups: bool, device: Any) -> None:
    corner = RNG.uniform(0, 600, (boxes, 2))
    corners = np.hstack([corner, corner + RNG.uniform(5, 90, (boxes, 2))]).astype(np.float32)
    scores = RNG.uniform(0, 1, boxes).astype(np.float32)
    groups = RNG.integers(0, 5, boxes).astype(np.int32) if has_groups else None
    expected = _core.nms(corners, scores, groups, 0.45, 0.2, limit)
    kept, count = device.poisoned((limit,), "int32"), device.poisoned((1,), "int32")
    space = device.poisoned((nms_workspace_bytes(boxes, limit),), "uint8")
    held = [None if a is None else device.upload(a) for a in (corners, scores, groups)]
    CudaNms(0.45, 0.2, device.stream).into((held[0], held[1], held[2]), kept, count, space)
    number = int(device.download(count)[0])
    np.testing.assert_array_equal(device.download(kept)[:number], expected)


@pytest.mark.parametrize("objectness", [-1, 4])
@pytest.mark.parametrize("anchors_are_rows", [False, True])
def test_best_class(anchors_are_rows: bool, objectness: int, device: Any) -> None:
    predictions = RNG.uniform(0, 1, (84, 8400)).astype(np.float32)
    if anchors_are_rows:
        predictions = np.ascontiguousarray(predictions.T)
    job: Any = {"anchors_are_rows": anchors_are_rows, "first_class": 5, "objectness": objectness}
    expected = _core.best_class(predictions, **job, threshold=0.3)
    found = device.poisoned((8400,), "float32"), device.poisoned((8400,), "int32")
    held = device.upload(predictions)
    CudaBestClass(**job, threshold=0.3, stream=device.stream).into(held, *found)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(device.download(one), wanted)


@pytest.mark.parametrize(("searches", "beams", "width"), [(1, 1, 5), (3, 4, 333), (2, 5, 10_000)])
def test_beam_step(searches: int, beams: int, width: int, device: Any) -> None:
    rows, shape = searches * beams, (searches, beams)
    row = np.arange(rows).reshape(shape)
    row[:, 1:2] = -1  # complete
    given = (
        RNG.normal(0, 3, (rows, width)).astype(np.float32),
        RNG.integers(0, width, (rows, 4)),
        row,
        np.log(RNG.uniform(0.1, 1, shape)),
        -RNG.uniform(0, 3, shape),
    )
    dtypes = ("int64", "int64", "float64", "float64")
    expected = tuple(np.zeros(shape, dtype) for dtype in dtypes)
    options: dict[str, Any] = {"end": 2, "no_repeat": 2, "may_end": False, "penalty": 1.5}
    _core.beam_step(*given, *expected, **options)
    held = tuple(device.upload(array) for array in given)
    found = tuple(device.poisoned(shape, dtype) for dtype in dtypes)
    space = device.poisoned((beam_step_workspace_bytes(rows, beams),), "uint8")
    CudaBeamStep(**options, stream=device.stream).into((*held,), (*found,), space)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(device.download(one), wanted)


@pytest.mark.parametrize(("height", "width", "box"), [(5, 7, 2), (300, 520, 256), (1080, 1920, 12)])
@pytest.mark.parametrize("has_previous", [False, True])
def test_frame_difference(
    height: int, width: int, box: int, has_previous: bool, device: Any
) -> None:
    pixels = RNG.integers(0, 256, (height, width, 3), np.uint8)
    small, weights = (height // box, width // box), (3735, 19235, 9798)
    previous = RNG.integers(90, 160, small, np.uint8) if has_previous else None
    expected = _core.frame_difference(pixels, previous, box, weights, 9, 1)
    found = [device.poisoned(small, "uint8") for _ in range(2)]
    space = device.poisoned((2 * small[0] * small[1],), "uint8")
    earlier = None if previous is None else device.upload(previous)
    compare = CudaFrameDifference(box, weights, threshold=9, stream=device.stream)
    compare.into(device.upload(pixels), earlier, *found, space)
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(device.download(one), wanted)


@pytest.mark.parametrize("size_hw", [(1, 1), (23, 131), (517, 301)])
def test_drawing(size_hw: tuple[int, int], device: Any) -> None:
    height, width = size_hw
    picture = RNG.integers(0, 256, (height, width, 3), np.uint8)
    boxes = RNG.integers(-9, [width + 9, height + 9] * 2, (600, 4)).astype(np.int32)
    shades = RNG.integers(0, 256, (600, 3), np.uint8)
    mask = RNG.integers(0, 256, (11, 70), np.uint8)
    heat, table = RNG.random((7, 9), np.float32), RNG.integers(0, 256, (256, 3), np.uint8)
    on_gpu = device.upload(picture)
    held = [device.upload(array) for array in (boxes, shades, mask, heat, table)]
    stream = device.stream
    draw_boxes_cuda(on_gpu, held[0], held[1], thickness_px=3, alpha=90, stream=stream)
    draw_mask_cuda(on_gpu, held[2], (-4, 3), (250, 3, 77), alpha=200, stream=stream)
    draw_heat_map_cuda(on_gpu, held[3], held[4], (-3, 2, width, height), alpha=99, stream=stream)
    _core.overlay_boxes(picture, boxes, shades, 3, 90)
    _core.overlay_mask(picture, mask, (-4, 3), (250, 3, 77), 200)
    _core.overlay_heat(picture, heat, (-3, 2, width, height), table, 99)
    np.testing.assert_array_equal(device.download(on_gpu), picture)
