"""The CUDA kernel against the same formula on the host, bit for bit."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, _core
from edgedl.runtime.device_memory import DeviceMemory, host_bytes

pytestmark = pytest.mark.gpu

RNG = np.random.default_rng(7)
FITS = ("stretch", "letterbox", "crop")
RESIZES = ("bilinear", "area", "nearest")
FORMATS = ("bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420")


def planes_of(source_format: str, height: int, width: int) -> list[np.ndarray]:
    shapes = {
        "bgr8": [(height, width * 3)],
        "rgb8": [(height, width * 3)],
        "gray8": [(height, width)],
        "yuyv": [(height, width * 2)],
        "nv12": [(height, width), (height // 2, width)],
        "i420": [(height, width), (height // 2, width // 2), (height // 2, width // 2)],
    }[source_format]
    return [RNG.integers(0, 256, shape, np.uint8) for shape in shapes]


def pixels_of(source_format: str, planes: list[np.ndarray]) -> Any:
    """Return what ``preprocess_cpu`` takes for these planes."""
    if len(planes) > 1:
        return tuple(planes)
    last = {"bgr8": 3, "rgb8": 3, "yuyv": 2}.get(source_format)
    plane = planes[0]
    return plane if last is None else plane.reshape(len(plane), -1, last)


def on_gpu(
    memory: DeviceMemory, plan: Any, size_hw: tuple[int, int], planes: list[np.ndarray], out: Any
) -> None:
    """Upload the planes, run the kernel, fill ``out``."""
    with memory.current():
        uploaded = []
        for plane in planes:
            block, pinned = memory.allocate(plane.size), memory.allocate_pinned(plane.size)
            host_bytes(pinned)[:] = plane.reshape(-1)
            memory.upload(pinned, block, plane.size)
            uploaded.append((block.address, plane.shape[1]))
        result, pinned = memory.allocate(out.nbytes), memory.allocate_pinned(out.nbytes)
        _core.preprocess_cuda(plan, size_hw, uploaded, result.address, memory.stream)
        memory.download(result, pinned, out.nbytes)
        memory.synchronize()
        out[...] = host_bytes(pinned).view(out.dtype).reshape(out.shape)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("source_format", FORMATS)
def test_kernel(source_format: str, dtype: Any, memory: DeviceMemory) -> None:
    if not _core.built_with_cuda():
        pytest.skip("this edgedl was built without CUDA; see: tools/gpu_check --build")
    for size_hw, target_hw, fit, resize in itertools.product(
        ((48, 64), (18, 26)), ((24, 32), (37, 41)), FITS, RESIZES
    ):
        scaling = {} if dtype == "uint8" else {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.25)}
        spec = ImageSpec(size_hw=target_hw, fit=fit, resize=resize, dtype=dtype, **scaling)
        plan = _core.PreprocessPlan(spec, source_format, "bt601", "limited")
        planes = planes_of(source_format, *size_hw)
        expected, found = np.zeros(spec.shape, dtype), np.ones(spec.shape, dtype)
        _core.preprocess_cpu(plan, pixels_of(source_format, planes), expected)
        on_gpu(memory, plan, size_hw, planes, found)
        np.testing.assert_array_equal(found.view(np.uint8), expected.view(np.uint8))
