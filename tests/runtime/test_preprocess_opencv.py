"""The same promises checked against OpenCV, which shares no code with us."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor

pytestmark = pytest.mark.usefixtures("target")
RNG = np.random.default_rng(21)
FLAGS = {
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "nearest": cv2.INTER_NEAREST,
}
SIDES_HW = [(1, 1), (1, 7), (7, 1), (2, 2), (3, 5), (17, 31), (49, 98), (64, 64), (65, 97)]
SIZES = [
    *product(SIDES_HW, SIDES_HW),
    ((480, 640), (224, 224)),
    ((720, 1280), (224, 224)),
    ((1080, 1920), (256, 256)),
    ((240, 320), (640, 640)),
    ((120, 320), (200, 320)),
    ((120, 322), (60, 161)),
]


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def as_bytes(size_hw: tuple[int, int], resize: str = "bilinear", **options: str) -> ImageSpec:
    return ImageSpec(
        size_hw=size_hw,
        resize=resize,
        pixel_format="bgr8",
        layout="NHWC",
        dtype="uint8",
        **options,
    )


def cv2_resize(image: np.ndarray, size_hw: tuple[int, int], resize: str) -> np.ndarray:
    return cv2.resize(image, size_hw[::-1], interpolation=FLAGS[resize])


@pytest.mark.parametrize("resize", ["bilinear", "nearest"])
@pytest.mark.parametrize(("source_hw", "target_hw"), SIZES)
def test_equals_opencv(resize: str, source_hw: tuple[int, int], target_hw: tuple[int, int]) -> None:
    padded = noise(source_hw[0], source_hw[1] + 3, 3)[:, : source_hw[1]]
    out = Preprocessor(as_bytes(target_hw, resize))(padded)[0]
    assert np.array_equal(out, cv2_resize(np.ascontiguousarray(padded), target_hw, resize))


@pytest.mark.parametrize(("source_hw", "target_hw"), SIZES)
def test_area_equals_opencv_within_a_level(
    source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> None:
    image = noise(*source_hw, 3)
    out = Preprocessor(as_bytes(target_hw, "area"))(image)[0]
    difference = np.abs(out.astype(int) - cv2_resize(image, target_hw, "area"))
    # OpenCV may fuse multiplications with additions on some machines; on x86 it does not.
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.02


@pytest.mark.parametrize("target_hw", [(60, 90), (24, 36), (77, 131), (120, 180)])
@pytest.mark.parametrize(
    ("source_format", "code"),
    [("nv12", cv2.COLOR_YUV2BGR_NV12), ("i420", cv2.COLOR_YUV2BGR_I420)],
)
def test_yuv_equals_convert_then_resize(
    source_format: str, code: int, target_hw: tuple[int, int]
) -> None:
    packed = noise(90, 90)
    for resize in ("bilinear", "nearest"):
        out = Preprocessor(as_bytes(target_hw, resize), source_format)(packed)[0]
        assert np.array_equal(out, cv2_resize(cv2.cvtColor(packed, code), target_hw, resize))


def test_yuyv_equals_convert_then_resize() -> None:
    pixels = noise(60, 90, 2)
    bgr = cv2.cvtColor(pixels, cv2.COLOR_YUV2BGR_YUY2)
    out = Preprocessor(as_bytes((32, 48)), "yuyv")(pixels)[0]
    assert np.array_equal(out, cv2_resize(bgr, (32, 48), "bilinear"))


def test_gray_equals_convert_then_resize() -> None:
    image = noise(60, 90, 3)
    spec = ImageSpec(size_hw=(32, 48), pixel_format="gray8", mean=(0.0,), std=(1.0,), dtype="uint8")
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    assert np.array_equal(Preprocessor(spec)(image)[0, 0], cv2_resize(gray, (32, 48), "bilinear"))
    rgb = np.ascontiguousarray(image[:, :, ::-1])
    assert np.array_equal(Preprocessor(spec, "rgb8")(rgb), Preprocessor(spec)(image))


def test_letterbox_equals_resize_then_pad() -> None:
    image = noise(50, 100, 3)
    out = Preprocessor(as_bytes((64, 64), fit="letterbox"))(image)[0]
    inside = cv2_resize(image, (32, 64), "bilinear")
    expected = cv2.copyMakeBorder(inside, 16, 16, 0, 0, cv2.BORDER_CONSTANT, value=(114,) * 3)
    assert np.array_equal(out, expected)


def test_crop_equals_slice_then_resize() -> None:
    image = noise(51, 100, 3)
    out = Preprocessor(as_bytes((32, 32), fit="crop"))(image)[0]
    inside = np.ascontiguousarray(image[:, 24:75])
    assert np.array_equal(out, cv2_resize(inside, (32, 32), "bilinear"))


def test_the_usual_chain() -> None:
    image = noise(120, 160, 3)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    out = Preprocessor(ImageSpec(size_hw=(56, 56), mean=mean, std=std))(image)
    rgb = cv2.cvtColor(cv2_resize(image, (56, 56), "bilinear"), cv2.COLOR_BGR2RGB)
    chain = ((rgb / 255.0 - mean) / std).transpose(2, 0, 1)[np.newaxis]
    assert np.abs(out - chain).max() < 1e-6
