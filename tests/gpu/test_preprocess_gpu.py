"""The CUDA kernels of pre-processing against the CPU's code, bit for bit."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor
from edgedl.frame import Mounting
from edgedl.runtime.device_memory import open_device_memory
from edgedl.runtime.preprocess_cuda import CudaPreprocessor

RNG = np.random.default_rng(7)
UPRIGHT = Mounting()
FITS = ("stretch", "letterbox", "crop")
RESIZES = ("bilinear", "area", "nearest")
FORMATS = ("bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420")
SOURCES_HW = ((2, 2), (18, 26), (48, 64), (98, 182))
TARGETS_HW = ((1, 1), (24, 32), (37, 41), (16, 224))


def rows(height: int, *row: int, padding: int) -> np.ndarray:
    """Noise whose rows are so many bytes apart from one another."""
    width = int(np.prod(row))
    whole = RNG.integers(0, 256, (height, width + padding), np.uint8)
    return whole[:, :width].reshape(height, *row)


def picture(source_format: str, height: int, width: int, padding: int = 0) -> Any:
    if source_format in ("bgr8", "rgb8"):
        return rows(height, width, 3, padding=padding)
    if source_format == "yuyv":
        return rows(height, width, 2, padding=padding)
    y = rows(height, width, padding=padding)
    if source_format == "gray8":
        return y
    if source_format == "nv12":
        return (y, rows(height // 2, width, padding=padding))
    return (y, *(rows(height // 2, width // 2, padding=padding) for _ in range(2)))


def upload(device: Any, pixels: Any) -> Any:
    if isinstance(pixels, tuple):
        return tuple(device.upload(plane) for plane in pixels)
    return device.upload(pixels)


def check(
    device: Any,
    spec: ImageSpec,
    source_format: Any,
    batch: list[Any],
    *,
    mounting: Mounting = UPRIGHT,
    rois: Any = None,
) -> None:
    host = Preprocessor(spec, source_format, mounting=mounting)
    regions = rois or [None] * len(batch)
    expected = np.concatenate([host(*one) for one in zip(batch, regions, strict=True)])
    out = device.poisoned(expected.shape, spec.dtype)
    pre = CudaPreprocessor(spec, source_format, stream=device.stream, mounting=mounting)
    pre.into([upload(device, pixels) for pixels in batch], out, rois)
    found = device.download(out)
    np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int8"])
@pytest.mark.parametrize("source_format", FORMATS)
def test_every_option(source_format: str, dtype: Any, device: Any) -> None:
    scaling: dict[str, Any] = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}
    scaling = {} if dtype == "uint8" else scaling
    scaling |= {"scale": 0.0171} if dtype == "int8" else {}
    for source_hw, target_hw, fit, resize, layout in product(
        SOURCES_HW, TARGETS_HW, FITS, RESIZES, ("NCHW", "NHWC")
    ):
        spec: Any = ImageSpec(
            size_hw=target_hw, fit=fit, resize=resize, dtype=dtype, layout=layout, **scaling
        )
        check(device, spec, source_format, [picture(source_format, *source_hw)])


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("padding", [1, 2, 3, 61])
def test_padded_rows_and_gray(source_format: str, padding: int, device: Any) -> None:
    spec = ImageSpec(size_hw=(20, 30), pixel_format="gray8", mean=(0.5,), std=(0.25,))
    check(device, spec, source_format, [picture(source_format, 42, 86, padding)])
    spec = ImageSpec(size_hw=(20, 30), pixel_format="bgr8")
    check(device, spec, source_format, [picture(source_format, 42, 86, padding)])


@pytest.mark.parametrize("odd_hw", [(1, 1), (7, 5), (33, 31), (479, 641)])
def test_odd_sizes(odd_hw: tuple[int, int], device: Any) -> None:
    for resize, target_hw in product(RESIZES, ((31, 33), (224, 224))):
        spec: Any = ImageSpec(size_hw=target_hw, resize=resize)
        check(device, spec, "bgr8", [picture("bgr8", *odd_hw)])


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("source_format", FORMATS)
def test_regions_of_turned_pictures(source_format: str, rotate: int, device: Any) -> None:
    pixels = picture(source_format, 36, 50, 3)
    rois = [(0, 0, 50, 36), (2, 4, 44, 30), (48, 34, 2, 2)]
    for resize, flip in product(RESIZES, ("none", "horizontal", "vertical")):
        spec: Any = ImageSpec(size_hw=(11, 19), resize=resize, fit="letterbox")
        mounting = Mounting(rotate=rotate, flip=flip)
        check(device, spec, source_format, [pixels] * 3, mounting=mounting, rois=rois)


@pytest.mark.parametrize("source_hw", [(6, 8192), (600, 70), (94, 2700), (64, 96)])
@pytest.mark.parametrize("target_hw", [(2, 4), (5, 35), (32, 48)])
def test_cells_of_every_size(
    source_hw: tuple[int, int], target_hw: tuple[int, int], device: Any
) -> None:
    spec = ImageSpec(size_hw=target_hw, resize="area")
    check(device, spec, "bgr8", [picture("bgr8", *source_hw)])


@pytest.mark.parametrize("resize", RESIZES)
def test_a_batch_of_many_sizes(resize: Any, device: Any) -> None:
    """More pictures than one launch takes, and neighbours that other methods resize."""
    spec = ImageSpec(size_hw=(32, 48), resize=resize, fit="letterbox")
    sizes = [(30 + 7 * i, 40 + 2 * i) for i in range(47)]
    check(device, spec, "bgr8", [picture("bgr8", *size) for size in sizes])


def test_full_hd(device: Any) -> None:
    for source_format, resize in product(("bgr8", "nv12"), RESIZES):
        spec: Any = ImageSpec(size_hw=(224, 224), resize=resize)
        check(device, spec, source_format, [picture(source_format, 1080, 1920)])


@pytest.mark.gpu
def test_two_streams_do_not_mix(real_device: Any) -> None:
    other = open_device_memory()
    try:
        second = type(real_device)(other)
        spec = ImageSpec(size_hw=(64, 64))
        pictures = [picture("bgr8", 480, 640) for _ in range(2)]
        both = []
        for one, pixels in zip((real_device, second), pictures, strict=True):
            held, out = upload(one, pixels), one.poisoned(spec.shape, "float32")
            pre = CudaPreprocessor(spec, stream=one.stream)
            for _ in range(20):
                pre.into(held, out)
            both.append((held, out))
        for one, pixels, (_, out) in zip((real_device, second), pictures, both, strict=True):
            np.testing.assert_array_equal(one.download(out), Preprocessor(spec)(pixels))
    finally:
        other.close()


@pytest.mark.gpu
@pytest.mark.parametrize("package", ["torch", "cupy"])
def test_arrays_of_packages(package: str, real_device: Any) -> None:
    module = pytest.importorskip(package)
    if package == "torch" and not module.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    spec, pixels = ImageSpec(size_hw=(32, 32)), picture("bgr8", 48, 64)
    if package == "torch":
        held = module.from_numpy(np.ascontiguousarray(pixels)).cuda()
        out = module.zeros(spec.shape, device="cuda")
    else:
        held, out = module.asarray(pixels), module.zeros(spec.shape, "float32")
    CudaPreprocessor(spec, stream=real_device.stream).into(held, out)
    real_device.memory.synchronize()
    found = out.cpu().numpy() if package == "torch" else out.get()
    np.testing.assert_array_equal(found, Preprocessor(spec)(pixels))
