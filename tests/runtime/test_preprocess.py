"""The compiled executors against the NumPy definition, bit for bit, for every option."""

from __future__ import annotations

import threading
from itertools import product
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor, _core
from edgedl.runtime.preprocess_reference import preprocess_reference

pytestmark = pytest.mark.usefixtures("target")
RNG = np.random.default_rng(20)
FORMATS = ("bgr8", "rgb8", "gray8", "yuyv", "nv12", "i420")
RESIZES = ("bilinear", "area", "nearest")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SOURCES_HW = [(2, 2), (5, 3), (18, 26), (33, 21), (47, 71), (48, 64)]
TARGETS_HW = [(1, 1), (3, 2), (8, 9), (16, 16), (24, 32), (37, 41)]


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, np.uint8)


def picture(source_format: str, height: int, width: int) -> np.ndarray:
    """Noise of this size, or one pixel more where a format needs even sides."""
    if source_format in ("yuyv", "nv12", "i420"):
        height, width = height + height % 2, width + width % 2
    shapes = {
        "bgr8": (height, width, 3),
        "rgb8": (height, width, 3),
        "gray8": (height, width),
        "yuyv": (height, width, 2),
        "nv12": (height * 3 // 2, width),
        "i420": (height * 3 // 2, width),
    }
    return noise(*shapes[source_format])


def spec_of(**options: Any) -> ImageSpec:
    """A uint8 or gray spec gets the mean and std that fit it, unless they are given."""
    if options.get("pixel_format") == "gray8":
        options = {"mean": (0.0,), "std": (1.0,), **options}
    return ImageSpec(**options)


def poisoned(spec: ImageSpec) -> np.ndarray:
    out = np.empty(spec.shape, spec.dtype)
    out.view(np.uint8)[...] = 0xA5
    return out


def check(
    spec: ImageSpec, pixels: Any, source_format: str = "bgr8", *colour: str, definition: Any = None
) -> None:
    """Both executors must fill all of a poisoned output with the bits of the definition."""
    like = pixels if definition is None else definition
    expected = preprocess_reference(spec, like, source_format, *colour)
    assert expected.shape == spec.shape
    assert expected.dtype == spec.dtype
    pre = Preprocessor(spec, source_format, *colour)
    out = poisoned(spec)
    pre.into(pixels, out)
    assert np.array_equal(out.view(np.uint8), expected.view(np.uint8))
    out = poisoned(spec)
    _core.preprocess_emulated(pre._plan, pixels, out, 3)
    assert np.array_equal(out.view(np.uint8), expected.view(np.uint8))


@pytest.mark.parametrize("source_hw", SOURCES_HW)
@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("source_format", FORMATS)
def test_every_source_resize_and_size(
    source_format: str, resize: str, source_hw: tuple[int, int]
) -> None:
    for target_hw, fit in product(TARGETS_HW, ("stretch", "letterbox", "crop")):
        spec = ImageSpec(size_hw=target_hw, resize=resize, fit=fit, fill=77, **IMAGENET)
        check(spec, picture(source_format, *source_hw), source_format)


@pytest.mark.parametrize("pixel_format", ["rgb8", "bgr8", "gray8"])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8"])
@pytest.mark.parametrize("source_format", FORMATS)
def test_every_output(source_format: str, dtype: str, layout: str, pixel_format: str) -> None:
    for resize, fit in product(RESIZES, ("stretch", "letterbox")):
        spec = spec_of(
            size_hw=(13, 18),
            resize=resize,
            fit=fit,
            pixel_format=pixel_format,
            layout=layout,
            dtype=dtype,
        )
        check(spec, picture(source_format, 20, 36), source_format)


def check_guarded(spec: ImageSpec, pixels: Any, source_format: str) -> None:
    """The bits of the definition, and nothing written before or behind them."""
    expected = preprocess_reference(spec, pixels, source_format).view(np.uint8).ravel()
    guard = 256
    around = np.full(expected.size + 2 * guard, 0xA5, np.uint8)
    out = around[guard:-guard].view(spec.dtype).reshape(spec.shape)
    Preprocessor(spec, source_format).into(pixels, out)
    assert np.array_equal(around[guard:-guard], expected)
    assert (around[:guard] == 0xA5).all()
    assert (around[-guard:] == 0xA5).all()


@pytest.mark.parametrize("width", [15, 31, 32, 33, 48, 63, 64, 65, 95, 96, 127, 130])
@pytest.mark.parametrize("source_format", ["bgr8", "rgb8", "gray8", "nv12"])
def test_pixels_in_turn_and_pairs_of_them(source_format: str, width: int) -> None:
    """Rows as wide as the tensor's, and twice as wide, have kernels of their own."""
    gray = {"pixel_format": "gray8"} if source_format == "gray8" else {}
    sources = [(4, width), (6, width), (8, 2 * width), (4, 2 * width)]
    dtypes = ("float32", "float16", "uint8")
    for (height, wide), dtype, layout in product(sources, dtypes, ("NCHW", "NHWC")):
        pixels = picture(source_format, height, wide)
        for resize in ("bilinear", "area"):
            spec = spec_of(size_hw=(4, width), resize=resize, dtype=dtype, layout=layout, **gray)
            check_guarded(spec, pixels, source_format)


@pytest.mark.parametrize("width", [7, 16, 31, 63, 64, 65, 100])
@pytest.mark.parametrize("source_format", ["bgr8", "nv12", "i420"])
def test_wide_sources(source_format: str, width: int) -> None:
    """Few pixels of each row are needed; the last of them lie at its end."""
    for times, (dtype, layout) in product(
        (2.3, 5, 8.57), (("float32", "NCHW"), ("float32", "NHWC"), ("uint8", "NCHW"))
    ):
        for fit in ("stretch", "letterbox"):
            spec = ImageSpec(
                size_hw=(6, width),
                fit=fit,
                dtype=dtype,
                layout=layout,
                **(IMAGENET if dtype == "float32" else {}),
            )
            check_guarded(spec, picture(source_format, 14, round(width * times)), source_format)


def test_two_weights_that_do_not_add_up() -> None:
    """The 216th of these columns rounds its weights to 1024 and 1023, where others have 2048."""
    pixels = np.full((64, 38), 255, np.uint8)
    pixels[:, 1] = np.arange(0, 256, 4)
    check(spec_of(size_hw=(64, 8191), pixel_format="gray8"), pixels, "gray8")


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("range_name", ["limited", "full"])
@pytest.mark.parametrize("source_format", ["yuyv", "nv12", "i420"])
def test_every_matrix_and_range(source_format: str, matrix: str, range_name: str) -> None:
    spec = ImageSpec(size_hw=(64, 64), dtype="uint8")
    check(spec, picture(source_format, 64, 64), source_format, matrix, range_name)


@pytest.mark.parametrize(
    ("matrix", "red", "blue"), [("bt601", 0.299, 0.114), ("bt709", 0.2126, 0.0722)]
)
@pytest.mark.parametrize("range_name", ["limited", "full"])
def test_colours_survive_a_trip_through_the_standards_formula(
    matrix: str, red: float, blue: float, range_name: str
) -> None:
    rgb = noise(64, 64, 3).astype(np.float64)
    y = rgb @ (red, 1 - red - blue, blue)
    u, v = (rgb[..., 2] - y) / (2 * (1 - blue)), (rgb[..., 0] - y) / (2 * (1 - red))
    low, luma, chroma = (16, 219 / 255, 224 / 255) if range_name == "limited" else (0, 1, 1)
    planes = [low + y * luma, 128 + u * chroma, 128 + v * chroma]
    y8, u8, v8 = (np.rint(p).clip(0, 255).astype(np.uint8) for p in planes)
    whole = np.repeat(y8, 2, axis=0).repeat(2, axis=1)  # each chroma value has its own block
    pre = Preprocessor(
        ImageSpec(size_hw=whole.shape, layout="NHWC", dtype="uint8"), "i420", matrix, range_name
    )
    back = pre((whole, u8, v8))[0, ::2, ::2]
    assert np.abs(back - rgb).max() <= 3


@pytest.mark.parametrize("source_format", FORMATS)
@pytest.mark.parametrize("height", [8, 10])
def test_padded_rows(source_format: str, height: int) -> None:
    tight = picture(source_format, height, 12)
    padded = noise(tight.shape[0], tight.shape[1] + 5, *tight.shape[2:])[:, : tight.shape[1]]
    padded[...] = tight
    for resize in RESIZES:
        spec = ImageSpec(size_hw=(7, 9), resize=resize)
        check(spec, padded, source_format, definition=tight)
        upside_down = padded[::-1]
        check(spec, upside_down, source_format, definition=np.ascontiguousarray(upside_down))


@pytest.mark.parametrize("height", [8, 10])
def test_planes_with_their_own_strides(height: int) -> None:
    tight = noise(height * 3 // 2, 12)
    y = noise(height, 20)[:, :12]
    y[...] = tight[:height]
    chroma = tight[height:].reshape(2, height // 2, 6)
    u, v = noise(height // 2, 11)[:, :6], noise(height // 2, 17)[:, 3:9]
    u[...], v[...] = chroma
    spec = ImageSpec(size_hw=(7, 9))
    check(spec, (y, u, v), "i420", definition=tight)
    flat = noise(height // 2, 31)[:, :12]
    flat[...] = tight[height:]
    check(spec, (y, flat), "nv12", definition=tight)
    pairs = noise(height // 2, 9, 2)[:, :6]
    pairs[...] = flat.reshape(height // 2, 6, 2)
    check(spec, (y, pairs), "nv12", definition=tight)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (1, 8192), (8192, 1)])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
def test_one_pixel_and_largest_sides(height: int, width: int, fit: str) -> None:
    for resize, target_hw in product(RESIZES, [(1, 1), (5, 7), (32, 16)]):
        spec = ImageSpec(size_hw=target_hw, resize=resize, fit=fit)
        check(spec, noise(height, width, 3))


def test_extremes_do_not_overflow() -> None:
    for value, resize in product((0, 255), RESIZES):
        spec = ImageSpec(size_hw=(3, 5), resize=resize, dtype="uint8")
        for source_hw in ((2048, 1023), (2, 3), (6, 10)):
            out = Preprocessor(spec)(np.full((*source_hw, 3), value, np.uint8))
            assert (out == value).all()


def test_all_yuv_values() -> None:
    """Every Y with every U and every fourth V, through both ranges of both matrices."""
    y, u = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    image = np.empty((256, 512, 2), np.uint8)
    image[:, ::2, 0] = image[:, 1::2, 0] = y
    image[:, ::2, 1] = u
    for v, matrix, range_name in product(
        (0, 16, 127, 128, 240, 255), ("bt601", "bt709"), ("limited", "full")
    ):
        image[:, 1::2, 1] = v
        spec = ImageSpec(size_hw=(256, 512), resize="nearest", layout="NHWC", dtype="uint8")
        expected = preprocess_reference(spec, image, "yuyv", matrix, range_name)
        got = Preprocessor(spec, "yuyv", matrix, range_name)(image)
        assert np.array_equal(got, expected)


def test_float16_equals_numpy_for_every_value_and_magnitude() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 256)
    for exponent in range(-30, 17):
        spec = ImageSpec(
            size_hw=(1, 256),
            pixel_format="gray8",
            mean=(0.31,),
            std=(2.0**exponent * 1.1,),
            dtype="float16",
        )
        with np.errstate(over="ignore"):
            expected = preprocess_reference(spec, ramp, "gray8")
        got = Preprocessor(spec, "gray8")(ramp)
        assert np.array_equal(got.view(np.uint16), expected.view(np.uint16))


def test_range_of_the_output() -> None:
    pre = Preprocessor(ImageSpec(size_hw=(1, 2), mean=(0.5,) * 3, std=(0.5,) * 3))
    out = pre(np.array([[[0] * 3, [255] * 3]], np.uint8))
    assert out.min() == -1
    assert out.max() == 1


def test_call_returns_a_new_array() -> None:
    pre = Preprocessor(ImageSpec(size_hw=(4, 4)))
    first, second = pre(noise(8, 8, 3)), pre(noise(8, 8, 3))
    assert first.shape == (1, 3, 4, 4)
    assert first.dtype == np.float32
    assert not np.shares_memory(first, second)


def test_read_only_pixels_are_accepted() -> None:
    image = noise(8, 8, 3)
    image.flags.writeable = False
    check(ImageSpec(size_hw=(4, 4)), image)


def test_one_preprocessor_in_many_threads() -> None:
    pre = Preprocessor(ImageSpec(size_hw=(32, 32), fit="letterbox", dtype="float16"))
    images = [noise(40 + i, 50, 3) for i in range(4)]
    expected = [pre(image) for image in images]
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(50):
            if not np.array_equal(pre(images[k]), expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not wrong
