"""Images of a network as pictures, logits as the likeliest entries."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.errors import UsageError
from edgedl.runtime.postprocess import denormalize, softmax_top_k
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


def test_the_likeliest_entries() -> None:
    logits = RNG.normal(0, 3, (4, 50)).astype(np.float32)
    logits[2, 7] = np.nan
    probabilities, indices = softmax_top_k(logits, 3)
    exact = np.exp(logits.astype(np.float64))
    exact /= exact.sum(axis=1, keepdims=True)
    for row in (0, 1, 3):
        order = np.argsort(-logits[row], kind="stable")[:3]
        assert np.array_equal(indices[row], order)
        np.testing.assert_allclose(probabilities[row], exact[row, order], rtol=1e-6)
    assert np.isnan(probabilities[2]).all()
    assert indices[2].tolist() == [-1, -1, -1]
    assert (probabilities.dtype, indices.dtype) == (np.float32, np.int64)
    assert softmax_top_k(logits[:0], 3)[0].shape == (0, 3)


def test_wrong_logits_are_named() -> None:
    logits = np.zeros((2, 6), np.float32)
    for wrong, got in (
        (logits[0], r"\(6,\)"),
        ([1.0], "list"),
        (logits.astype(np.float64), r"\(2, 6\) float64"),
        (logits[:, ::2], r"strides \(24, 8\)"),
    ):
        with pytest.raises(UsageError, match=r"^\[softmax_top_k\] logits must be .*; got " + got):
            softmax_top_k(wrong, 2)
    for count in (0, 7, -1, 2.0, None, True):
        text = rf"^\[softmax_top_k\] count must be a whole number in 1\.\.6; got {count}"
        with pytest.raises(UsageError, match=text):
            softmax_top_k(logits, count)
