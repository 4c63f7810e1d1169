"""Images of a network as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.errors import UsageError
from edgedl.runtime.postprocess import denormalize
from edgedl.runtime.preprocess import Preprocessor
from edgedl.spec import ImageSpec

RNG = np.random.default_rng(5)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.mark.parametrize("pixel_format", ["rgb8", "bgr8"])
def test_undoes_what_pre_processing_did(pixel_format: str) -> None:
    picture = RNG.integers(0, 256, (37, 53, 3), np.uint8)
    spec = ImageSpec(size_hw=(37, 53), pixel_format="rgb8", **IMAGENET)
    tensor = Preprocessor(spec, pixel_format)(picture)
    (back,) = denormalize(tensor, **IMAGENET, pixel_format=pixel_format)
    assert np.array_equal(back, picture)


def test_both_ends_of_tanh() -> None:
    values = np.float32([-1, 1, 0, -1.5, 1.5, np.nan]).reshape(1, 1, 2, 3)
    got = denormalize(values, (0.5,), (0.5,))
    assert got.reshape(-1).tolist() == [0, 255, 128, 0, 255, 0]  # 127.5 goes to the even 128


def test_wrong_images_are_named() -> None:
    images = np.zeros((2, 3, 4, 5), np.float32)
    with pytest.raises(UsageError, match=r"\(N, C, H, W\) float32 array; got \(3, 4, 5\)"):
        denormalize(images[0])
    with pytest.raises(UsageError, match=r"got list"):
        denormalize([1.0])
    with pytest.raises(UsageError, match=r"got \(2, 3, 4, 5\) float64"):
        denormalize(images.astype(np.float64))
    with pytest.raises(UsageError, match=r"mean must have 3 values; got 1"):
        denormalize(images, (0.5,))
    with pytest.raises(UsageError, match=r"1 or 3 channels; got 2"):
        denormalize(images[:, :2].copy())
    with pytest.raises(UsageError, match=r"rgb8 or bgr8; got 'rgb'"):
        denormalize(images, pixel_format="rgb")
    assert denormalize(images[:0]).shape == (0, 4, 5, 3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.0, -1.0])
def test_what_nothing_was_normalised_with_is_refused(wrong: float) -> None:
    images = np.zeros((1, 3, 4, 5), np.float32)
    with pytest.raises(UsageError, match=r"\[denormalize\] mean must be finite and std finite and"):
        denormalize(images, std=(1.0, wrong, 1.0))
    if not np.isfinite(wrong):
        with pytest.raises(UsageError, match=r"mean must be finite"):
            denormalize(images, mean=(1.0, wrong, 1.0))
    with pytest.raises(UsageError, match=r"scale and bias must be finite; got inf and"):
        denormalize(images, std=(1e300,) * 3)
