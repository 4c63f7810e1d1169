"""Regions, rotated and flipped sources, int8, batches and threads, on every target."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor, _core
from edgedl.errors import UsageError
from edgedl.frame import Mounting
from edgedl.runtime.preprocess_reference import preprocess_reference, to_rgb

RNG = np.random.default_rng(32)
FORMATS = ("bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420")
MOUNTINGS = [
    Mounting(rotate=rotate, flip=flip)
    for rotate, flip in product((0, 90, 180, 270), ("none", "horizontal", "vertical"))
]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SPEC = ImageSpec(size_hw=(4, 4))
ORDERS = range(4)


def picture(source_format: str, height: int, width: int) -> np.ndarray:
    """Noise whose rows are followed by bytes that must not matter."""
    last = {"bgr8": (3,), "rgb8": (3,), "yuyv": (2,)}.get(source_format, ())
    rows = height * 3 // 2 if source_format in ("nv12", "i420") else height
    return RNG.integers(0, 256, (rows, width + 4, *last), np.uint8)[:, :width]


def filled(spec: ImageSpec, images: int = 1) -> np.ndarray:
    out = np.empty((images, *spec.shape[1:]), spec.dtype)
    out.view(np.uint8)[...] = 0xA5
    return out


def check(pre: Preprocessor, pixels: Any, expected: np.ndarray, roi: Any = None) -> None:
    """The host's code and the GPU's must fill all of ``out`` with the expected bits."""
    out = filled(pre.spec)
    pre.into(pixels, out, roi)
    assert np.array_equal(out.view(np.uint8), expected.view(np.uint8))
    out = filled(pre.spec)
    _core.preprocess_emulated(pre._plan, pixels, out, 3, roi and [roi])
    assert np.array_equal(out.view(np.uint8), expected.view(np.uint8))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("mounting", MOUNTINGS, ids=str)
@pytest.mark.parametrize("source_format", FORMATS)
def test_mountings(source_format: str, mounting: Mounting) -> None:
    pixels = picture(source_format, 22, 38)
    tight = np.ascontiguousarray(pixels)
    for resize, fit, size_hw in product(
        ("bilinear", "area", "nearest"),
        ("stretch", "letterbox", "crop"),
        ((9, 14), (11, 19), (38, 70), (1, 1)),
    ):
        spec = ImageSpec(size_hw=size_hw, resize=resize, fit=fit, dtype="uint8")
        expected = preprocess_reference(spec, tight, source_format, mounting=mounting)
        check(Preprocessor(spec, source_format, mounting=mounting), pixels, expected)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("pixel_format", ["bgr8", "gray8"])
@pytest.mark.parametrize("source_format", FORMATS)
def test_mountings_of_other_tensors(source_format: str, pixel_format: str) -> None:
    pixels = picture(source_format, 12, 70)
    tight = np.ascontiguousarray(pixels)
    channels = 1 if pixel_format == "gray8" else 3
    for mounting, layout in product(MOUNTINGS, ("NCHW", "NHWC")):
        spec = ImageSpec(
            size_hw=(12, 13),
            pixel_format=pixel_format,
            layout=layout,
            mean=(0.4,) * channels,
            std=(0.3,) * channels,
        )
        expected = preprocess_reference(spec, tight, source_format, mounting=mounting)
        check(Preprocessor(spec, source_format, mounting=mounting), pixels, expected)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("source_format", FORMATS)
def test_regions(source_format: str) -> None:
    pixels = picture(source_format, 36, 50)
    rgb = to_rgb(np.ascontiguousarray(pixels), source_format, "bt601", "limited")
    for roi, resize, mounting in product(
        [(0, 0, 50, 36), (2, 2, 8, 6), (4, 6, 44, 30), (48, 34, 2, 2)],
        ("bilinear", "area", "nearest"),
        (Mounting(), Mounting(rotate=90), Mounting(flip="horizontal"), Mounting(flip="vertical")),
    ):
        x, y, width, height = roi
        spec = ImageSpec(size_hw=(7, 9), resize=resize, fit="letterbox", **IMAGENET)
        part = np.ascontiguousarray(rgb[y : y + height, x : x + width])
        expected = preprocess_reference(spec, part, "rgb8", mounting=mounting)
        check(Preprocessor(spec, source_format, mounting=mounting), pixels, expected, roi)


def test_odd_regions_where_pixels_have_their_own_colour() -> None:
    pixels = picture("bgr8", 36, 50)
    expected = Preprocessor(SPEC)(np.ascontiguousarray(pixels[5:12, 3:20]))
    assert np.array_equal(Preprocessor(SPEC)(pixels, (3, 5, 17, 7)), expected)


def test_regions_of_planes() -> None:
    y, u, v = picture("gray8", 20, 24), picture("gray8", 10, 12), picture("gray8", 10, 12)
    part = (y[6:16, 2:14], u[3:8, 1:7], v[3:8, 1:7])
    pre = Preprocessor(SPEC, "i420")
    assert np.array_equal(pre((y, u, v), (2, 6, 12, 10)), pre(part))


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("scale", [0.02, 0.0171, 1 / 127, 4.0])
def test_int8(scale: float, layout: str) -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(4, 64, 3)
    spec = ImageSpec(size_hw=(4, 64), dtype="int8", scale=scale, layout=layout, **IMAGENET)
    check(Preprocessor(spec, "rgb8"), ramp, preprocess_reference(spec, ramp, "rgb8"))
    exact = (ramp / 255 - IMAGENET["mean"]) / IMAGENET["std"] / scale
    got = Preprocessor(spec, "rgb8")(ramp)[0]
    got = got.transpose(1, 2, 0) if layout == "NCHW" else got
    assert np.abs(got - exact.clip(-128, 127)).max() <= 0.5 + 1e-4


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("threads", [1, 2, 3, 100])
@pytest.mark.parametrize("resize", ["bilinear", "area", "nearest"])
def test_batches_and_threads(resize: str, threads: int) -> None:
    spec = ImageSpec(size_hw=(11, 14), resize=resize, fit="letterbox", **IMAGENET)
    one = Preprocessor(spec, "nv12")
    pre = Preprocessor(spec, "nv12", threads=threads)
    pictures = [picture("nv12", 36, 50), picture("nv12", 36, 50), picture("nv12", 20, 80)]
    expected = np.concatenate([one(pixels) for pixels in pictures])
    out = filled(spec, 3)
    assert pre.batch(pictures, into=out) is out
    assert np.array_equal(out, expected)
    assert np.array_equal(pre.batch(tuple(pictures)), expected)
    assert np.array_equal(pre(pictures[0]), one(pictures[0]))
    rois = [(0, 0, 8, 8), (10, 20, 30, 4), (48, 34, 2, 2)]
    regions = pre.batch([pictures[0]] * 3, rois=rois)
    assert np.array_equal(regions, np.concatenate([one(pictures[0], roi) for roi in rois]))


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        call(*args, **options)
    assert caught.value.code == "E110"
    return str(caught.value)


@pytest.mark.parametrize(
    ("source_format", "roi", "part"),
    [
        ("bgr8", (0, 0, 9, 8), "must lie in the picture of width 8, height 8; got (0, 0, 9, 8)"),
        ("bgr8", (-1, 0, 4, 4), "got (-1, 0, 4, 4)"),
        ("bgr8", (0, 5, 4, 4), "got (0, 5, 4, 4)"),
        ("bgr8", (0, 0, 0, 4), "got (0, 0, 0, 4)"),
        ("bgr8", (2**31 - 1, 0, 4, 4), "got (2147483647, 0, 4, 4)"),
        (
            "bgr8",
            (0, 0, 4),
            "a region, (x, y, width, height), must be 4 values, each a whole number",
        ),
        ("bgr8", (0.5, 0, 4, 4), "got (0.5, 0, 4, 4)"),
        ("bgr8", (2**40, 0, 4, 4), "a region, (x, y, width, height), must be 4 values"),
        ("bgr8", "all", "got 'all'"),
        ("yuyv", (1, 0, 4, 4), "x and width of a region must be even"),
        ("yuyv", (0, 0, 3, 4), "x and width of a region must be even"),
        ("nv12", (0, 1, 4, 4), "y and height of a region must be even"),
        ("i420", (0, 0, 4, 3), "y and height of a region must be even"),
    ],
)
def test_regions_that_are_refused(source_format: str, roi: Any, part: str) -> None:
    pre = Preprocessor(SPEC, source_format)
    out = np.full(SPEC.shape, 7, np.float32)
    text = refusal(pre.into, picture(source_format, 8, 8), out, roi)
    assert text.startswith("[preprocess] ")
    assert part in text
    assert (out == 7).all()


def test_batches_that_are_refused() -> None:
    pre, pixels = Preprocessor(SPEC), picture("bgr8", 8, 8)
    assert "at least one picture; got none" in refusal(pre.batch, [])
    text = refusal(pre.batch, [pixels], rois=[(0, 0, 2, 2)] * 2)
    assert "one region for each picture; got 2 regions for 1 pictures" in text
    assert "image must be (H, W, 3)" in refusal(pre.batch, [pixels, pixels[0]])
    assert "(2, 3, 4, 4)" in refusal(pre.batch, [pixels] * 2, into=np.zeros(SPEC.shape))
    shared = np.zeros(2 * 4 * 4 * 3 * 4, np.uint8)
    out = shared.view(np.float32).reshape(2, 3, 4, 4)
    inside = shared[-48:].reshape(4, 4, 3)
    assert "overlap" in refusal(pre.batch, [pixels, inside], into=out)


def test_arguments_that_are_refused() -> None:
    for threads in (0, 1025, 1.5, "2", None):
        text = f"threads must be a whole number in 1..1024; got {threads!r}"
        assert text in refusal(Preprocessor, SPEC, threads=threads)
    text = refusal(Preprocessor, SPEC, mounting=Mounting(rotate=45))
    assert "rotate must be one of 0, 90, 180, 270; got 45" in text
    text = refusal(Preprocessor, SPEC, mounting=Mounting(flip="both"))
    assert "flip must be one of none, horizontal, vertical; got 'both'" in text
