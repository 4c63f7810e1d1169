"""Pictures as a network gets them, in a quarter of the memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.runtime.preprocess_reference import gain_and_bias

if TYPE_CHECKING:
    from edgedl.spec import ImageSpec

    Array = npt.NDArray[Any]


class Prepared:
    """Tensors (n, …) of pictures, by the definition that cameras use; rows of it are arrays.

    Of a network that takes float32 the resized pixels are kept as bytes, and become floats when
    their rows are asked for: thousands of photos would not fit otherwise.

    Args:
        spec: What the network wants.
        pictures: uint8, bgr8 (H, W, 3) or gray8 (H, W) each.

    Attributes:
        shape: (n, …).
    """

    def __init__(self, spec: ImageSpec, pictures: Sequence[Any] | npt.NDArray[np.uint8]) -> None:
        self.shape = (len(pictures), *spec.shape[1:])
        self._affine: tuple[Array, Array] | None = None
        if spec.dtype == "float32":
            gain, bias = gain_and_bias(spec)
            per_channel = (-1, 1, 1) if spec.layout == "NCHW" else (-1,)
            self._affine = gain.reshape(per_channel), bias.reshape(per_channel)
            zero, one = (0.0,) * spec.channels, (1.0,) * spec.channels
            spec = dataclasses.replace(spec, dtype="uint8", mean=zero, std=one)
        preprocess = FramePreprocessor(spec)
        self._kept = np.empty(self.shape, spec.dtype)
        for index, picture in enumerate(pictures):
            self._kept[index] = preprocess(picture)[0]

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, rows: int | slice) -> Array:
        kept = self._kept[rows]
        if self._affine is None:
            return kept
        gain, bias = self._affine
        floats = kept.astype(np.float32)
        floats *= gain
        floats += bias
        return floats

    def __iter__(self) -> Iterator[Array]:
        return (self[row] for row in range(len(self)))
