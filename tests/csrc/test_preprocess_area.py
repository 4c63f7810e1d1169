"""Averaging on every target against the definition, bit for bit, and against OpenCV."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor, _core
from edgedl.frame import Mounting
from edgedl.runtime.preprocess_reference import preprocess_reference

RNG = np.random.default_rng(31)
# around 16 rows and 32 cells, which are averaged together, and around 32 bytes, which are read
SIZES = [
    ((15, 10), (15, 9)),
    ((16, 11), (7, 10)),
    ((17, 33), (16, 31)),
    ((33, 32), (17, 32)),
    ((31, 43), (30, 33)),
    ((47, 97), (11, 65)),
    ((48, 200), (5, 63)),
    ((100, 1), (17, 1)),
    ((1, 500), (1, 64)),
    ((40, 300), (1, 1)),
    ((64, 96), (32, 48)),
    ((51, 99), (17, 33)),
    ((32, 64), (32, 32)),
    ((270, 480), (56, 56)),
]
SHAPES = {"bgr8": (3,), "rgb8": (3,), "gray8": (), "yuyv": (2,)}


def picture(source_format: str, height: int, width: int) -> np.ndarray:
    """Noise whose rows are followed by bytes that must not matter."""
    if source_format in ("nv12", "i420"):
        height, width = (height + 1) // 2 * 3, width + width % 2
    elif source_format == "yuyv":
        width += width % 2
    shape = (height, width + 2, *SHAPES.get(source_format, ()))
    return RNG.integers(0, 256, shape, np.uint8)[:, :width]


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("source_format", ["bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420"])
@pytest.mark.parametrize(("source_hw", "target_hw"), SIZES)
def test_equals_the_definition(
    source_format: str, source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> None:
    for pixel_format, channels in (("rgb8", 3), ("bgr8", 3), ("gray8", 1)):
        spec = ImageSpec(
            size_hw=target_hw,
            resize="area",
            pixel_format=pixel_format,
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            dtype="uint8",
        )
        pixels = picture(source_format, *source_hw)
        out = np.full(spec.shape, 0xA5, np.uint8)
        Preprocessor(spec, source_format).into(pixels, out)
        expected = preprocess_reference(spec, np.ascontiguousarray(pixels), source_format)
        assert np.array_equal(out, expected)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("source_hw", "target_hw"), SIZES)
def test_equals_opencv(source_hw: tuple[int, int], target_hw: tuple[int, int]) -> None:
    image = np.ascontiguousarray(picture("bgr8", *source_hw))
    spec = ImageSpec(
        size_hw=target_hw, resize="area", pixel_format="bgr8", layout="NHWC", dtype="uint8"
    )
    resized = cv2.resize(image, target_hw[::-1], interpolation=cv2.INTER_AREA)
    difference = np.abs(Preprocessor(spec)(image)[0].astype(int) - resized.reshape(*target_hw, 3))
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.02


# CUDA's blocks hold 2560 pixels in at most 16 rows: more columns than that, more rows, both
@pytest.mark.parametrize("order", range(4))
@pytest.mark.parametrize(
    ("source_hw", "target_hw"),
    [
        ((6, 8190), (2, 4)),
        ((6, 8192), (3, 2)),
        ((5, 5198), (4, 40)),
        ((398, 70), (7, 33)),
        ((600, 70), (6, 35)),
        ((94, 2700), (5, 67)),
    ],
)
def test_cuda_blocks_go_through_what_they_cannot_hold(
    source_hw: tuple[int, int], target_hw: tuple[int, int], order: int
) -> None:
    for source_format, pixel_format, mounting in (
        ("bgr8", "rgb8", Mounting()),
        ("nv12", "gray8", Mounting()),
        ("bgr8", "rgb8", Mounting(rotate=180)),
    ):
        if source_format == "nv12" and source_hw[0] % 2:
            continue
        spec = ImageSpec(
            size_hw=target_hw,
            resize="area",
            fit="letterbox" if order % 2 else "stretch",
            pixel_format=pixel_format,
            mean=(0.0,) if pixel_format == "gray8" else (0.0,) * 3,
            std=(1.0,) if pixel_format == "gray8" else (1.0,) * 3,
            dtype="uint8",
        )
        rows = source_hw[0] * 3 // 2 if source_format == "nv12" else source_hw[0]
        shape = (rows, source_hw[1] + 2, *SHAPES.get(source_format, ()))
        pixels = RNG.integers(0, 256, shape, np.uint8)[:, 1:-1]
        pre = Preprocessor(spec, source_format, mounting=mounting)
        out = np.full(spec.shape, 0xA5, np.uint8)
        _core.preprocess_emulated(pre._plan, pixels, out, order)
        assert np.array_equal(out, pre(pixels))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("source_hw", [(8192, 1030), (8191, 1031)])
def test_sums_beyond_32_bits(source_hw: tuple[int, int]) -> None:
    white = np.full(source_hw, 255, np.uint8)
    spec = ImageSpec(
        size_hw=(1, 1), resize="area", pixel_format="gray8", mean=(0.0,), std=(1.0,), dtype="uint8"
    )
    pre = Preprocessor(spec, "gray8")
    assert pre(white).item() == 255
    out = np.zeros(spec.shape, np.uint8)
    _core.preprocess_emulated(pre._plan, white, out, 0)
    assert out.item() == 255
