"""What is refused, with which words, and that nothing is written then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor
from edgedl.errors import UsageError

SPEC = ImageSpec(size_hw=(4, 4))


def zeros(*shape: int, dtype: Any = np.uint8) -> np.ndarray:
    return np.zeros(shape, dtype)


def refusal(pixels: Any, source_format: str = "bgr8") -> str:
    pre = Preprocessor(SPEC, source_format)
    out = np.full(SPEC.shape, 7, np.float32)
    with pytest.raises(UsageError) as caught:
        pre.into(pixels, out)
    assert caught.value.code == "E110"
    assert caught.value.exit_code == 2
    assert (out == 7).all()
    return str(caught.value)


def test_the_whole_text() -> None:
    text = refusal(zeros(8, 8))
    assert text == "[preprocess] image must be (H, W, 3) uint8; got (8, 8) uint8"


@pytest.mark.parametrize(
    ("source_format", "pixels", "part"),
    [
        ("bgr8", [[1, 2, 3]], "image must be (H, W, 3) uint8; got list"),
        ("bgr8", None, "got NoneType"),
        ("bgr8", zeros(8, 8, 3, dtype=np.float32), "got (8, 8, 3) float32"),
        ("bgr8", zeros(8, 8, 3, dtype=bool), "got (8, 8, 3) bool"),
        ("rgb8", zeros(8, 8, 4), "got (8, 8, 4) uint8"),
        ("bgr8", zeros(0, 8, 3), "sides must be in 1..8192 pixels; got (0, 8, 3)"),
        ("bgr8", zeros(8193, 1, 3), "sides must be in 1..8192 pixels; got height 8193"),
        ("bgr8", zeros(1, 8193, 3), "sides must be in 1..8192 pixels; got (1, 8193, 3)"),
        ("bgr8", zeros(8, 16, 3)[:, ::2], "pixels of a row must lie side by side"),
        ("bgr8", zeros(8, 8, 3)[:, :, ::-1], "numpy.ascontiguousarray"),
        ("bgr8", zeros(8, 8, 3).transpose(1, 0, 2), "got strides (3, 24, 1)"),
        ("gray8", zeros(8, 8, 1), "gray image must be (H, W) uint8"),
        ("yuyv", zeros(8, 8, 3), "yuyv image must be (H, W, 2) uint8"),
        ("yuyv", zeros(8, 7, 2), "width must be even"),
        ("nv12", zeros(8, 8, 3), "one packed (H*3/2, W) uint8 array or a tuple of planes"),
        ("nv12", zeros(10, 8), "H*3/2 rows"),
        ("nv12", zeros(12, 7), "even width"),
        ("nv12", (zeros(8, 8),), "a tuple of planes must have 2 (Y, UV); got 1"),
        ("i420", (zeros(8, 8), zeros(4, 4)), "a tuple of planes must have 3 (Y, U, V); got 2"),
        ("i420", (zeros(8, 8), zeros(4, 4), zeros(4, 3)), "the V plane must have half as many"),
        ("i420", (zeros(8, 8), zeros(4, 4), 5), "the V plane must be (H/2, W/2) uint8; got int"),
        ("nv12", (zeros(8, 8), zeros(4, 4)), "the UV plane must have half as many"),
        ("nv12", (zeros(8, 8), zeros(4, 3, 2)), "the UV plane must have half as many"),
        ("nv12", (zeros(8, 8, 1), zeros(4, 4)), "the Y plane must be (H, W) uint8"),
        ("nv12", (zeros(7, 8), zeros(4, 8)), "height and width of nv12 and i420 must be even"),
    ],
)
def test_pixels(source_format: str, pixels: Any, part: str) -> None:
    text = refusal(pixels, source_format)
    assert text.startswith("[preprocess] ")
    assert part in text


def read_only() -> np.ndarray:
    out = np.zeros(SPEC.shape, np.float32)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize(
    "out",
    [
        np.zeros(SPEC.shape, np.float64),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((1, 3, 4, 5), np.float32)[..., :4],
        np.zeros(SPEC.shape, ">f4"),
        read_only(),
        np.zeros(193, np.uint8)[1:].view(np.float32).reshape(SPEC.shape),
        None,
    ],
)
def test_out(out: Any) -> None:
    with pytest.raises(
        UsageError, match=r"out must be a writable, aligned, contiguous \(1, 3, 4, 4\)"
    ):
        Preprocessor(SPEC).into(zeros(8, 8, 3), out)


def test_names() -> None:
    with pytest.raises(UsageError, match=r"source_format must be one of bgr8, .*; got 'bgra'"):
        Preprocessor(SPEC, "bgra")
    with pytest.raises(UsageError, match="matrix must be one of bt601, bt709; got 'bt2020'"):
        Preprocessor(SPEC, "nv12", "bt2020")
    with pytest.raises(UsageError, match="range must be one of limited, full; got 'wide'"):
        Preprocessor(SPEC, "nv12", "bt601", "wide")


def test_types_that_need_no_mean() -> None:
    with pytest.raises(UsageError, match="mean must be 0 and std 1 for a uint8 tensor"):
        Preprocessor(ImageSpec(size_hw=(4, 4), dtype="uint8", mean=(0.5, 0.5, 0.5)))
