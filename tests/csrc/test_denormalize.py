"""A network's image as a picture, against the definition in NumPy, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl import _core
from edgedl.errors import UsageError

RNG = np.random.default_rng(3)
SIZES = [(1, 1), (2, 7), (3, 8), (5, 9), (1, 63), (31, 65), (32, 65), (64, 64)]
SCALE, BIAS = (70.0, 127.5, 300.0), (127.5, 0.0, -20.0)


def expected(images: np.ndarray, scale: tuple, bias: tuple, *, reversed: bool) -> np.ndarray:
    shape = (1, len(scale), 1, 1)
    values = images * np.float32(scale).reshape(shape) + np.float32(bias).reshape(shape)
    values = np.rint(np.nan_to_num(values, nan=0, posinf=255, neginf=0).clip(0, 255))
    bytes_ = values.astype(np.uint8).transpose(0, 2, 3, 1)
    return bytes_[..., ::-1] if reversed else bytes_


def images_of(n: int, channels: int, height: int, width: int) -> np.ndarray:
    """Noise with everything that a float can be in it."""
    images = RNG.normal(0, 1.5, (n, channels, height, width)).astype(np.float32)
    odd = np.array([np.nan, np.inf, -np.inf, -0.0, 0.5 / 127.5, 1e30], np.float32)
    where = RNG.integers(0, images.size, min(images.size, 6))
    images.reshape(-1)[where] = odd[: len(where)]
    return images


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("reversed_", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size_hw", SIZES)
def test_matches_the_definition(size_hw: tuple[int, int], channels: int, reversed_: bool) -> None:
    images = images_of(2, channels, *size_hw)
    scale, bias = SCALE[:channels], BIAS[:channels]
    for order in (-1, 0, 1, 2, 3):
        out = np.full((2, *size_hw, channels), 0xA5, np.uint8)
        _core.denormalize(images, out, scale, bias, reversed_, order)
        assert np.array_equal(out, expected(images, scale, bias, reversed=reversed_))


def test_wrong_arrays_are_named() -> None:
    images, out = np.zeros((1, 3, 4, 4), np.float32), np.zeros((1, 4, 4, 3), np.uint8)

    def run(images: object, out: object) -> None:
        _core.denormalize(images, out, SCALE, BIAS, False)

    with pytest.raises(UsageError, match=r"\(N, C, H, W\) float32 array; got .* float64"):
        run(images.astype(np.float64), out)
    with pytest.raises(UsageError, match=r"1 or 3 channels; got 2"):
        run(images[:, :2].copy(), out)
    with pytest.raises(UsageError, match=r"got strides \("):
        run(images[:, :, ::2, ::2], out)
    with pytest.raises(UsageError, match=r"\(N, H, W, C\) uint8 array; got \(1, 4, 4, 1\)"):
        run(images, out[..., :1])
    with pytest.raises(UsageError, match=r"got list"):
        run([1.0], out)
    with pytest.raises(UsageError, match=r"sizes must be at most 2\^30; got \(8589934592, 3, 0, 4"):
        run(np.zeros((1 << 33, 3, 0, 4), np.float32), np.zeros((1 << 33, 0, 4, 3), np.uint8))
    with pytest.raises(UsageError, match=r"scale and bias must be finite; got nan and"):
        _core.denormalize(images, out, (np.nan,) * 3, BIAS, False)
    out.flags.writeable = False
    with pytest.raises(UsageError, match=r"read-only"):
        run(images, out)
    shared = np.zeros(192, np.uint8)
    with pytest.raises(UsageError, match=r"must not overlap"):
        run(shared.view(np.float32).reshape(1, 3, 4, 4), shared[:48].reshape(1, 4, 4, 3))
