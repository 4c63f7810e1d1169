"""What follows a network, for arrays on the host: NumPy's, or whatever else has DLPack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.errors import UsageError
from edgedl.runtime.host_array import shape_of

if TYPE_CHECKING:
    from edgedl.runtime.host_array import HostArray

Floats = npt.NDArray[np.float32]
U8Images = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def softmax_top_k(logits: HostArray, count: int) -> tuple[Floats, Indices]:
    """Find the likeliest entries of each row of ``logits``, with their probabilities.

    Computed in float32, the same bits on every CPU and GPU; see ``csrc/kernels/softmax_top_k.h``.

    Args:
        logits: float32, contiguous, (N, C).
        count: K, in 1..C.

    Returns:
        The softmax, float32, (N, K), largest first, and where it is, int64, (N, K); of equal
        logits the lower index first. A row that has a NaN, or whose largest logit is not finite,
        gets NaN and -1.

    Raises:
        UsageError: E110 ``logits`` has another type or shape, or ``count`` is out of its range.
    """
    rule = "[softmax_top_k] logits must be a contiguous (N, C) float32 array"
    rows, width = _sizes_of(logits, 2, rule)
    if type(count) is not int or not 1 <= count <= width:
        msg = f"[softmax_top_k] count must be a whole number in 1..{width}; got {count!r}"
        raise UsageError("E110", msg)
    probabilities, indices = np.empty((rows, count), np.float32), np.empty((rows, count), np.int64)
    _core.softmax_top_k(logits, probabilities, indices)
    return probabilities, indices


def denormalize(
    images: HostArray,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    pixel_format: Literal["rgb8", "bgr8"] = "rgb8",
) -> U8Images:
    """Undo the normalisation y = (x/255 - mean) / std: round(y · 255 std + 255 mean).

    With mean and std 0.5 that is [-1, 1] to [0, 255], with 0 and 1 it is [0, 1] to [0, 255].

    Args:
        images: float32, contiguous, (N, 3, H, W) with the channels R, G, B, or (N, 1, H, W).
        mean: One value per channel of ``images``, in units of x/255.
        std: One value per channel of ``images``.
        pixel_format: Order of the channels of the result; one channel stays as it is.

    Returns:
        uint8, (N, H, W, C). Values beyond 0..255 are cut, halves go to the even neighbour, NaN
        becomes 0.

    Raises:
        UsageError: E110 an array has another type or shape, a list another length, or mean or std
            a value that no picture was normalised with.
    """
    if pixel_format not in ("rgb8", "bgr8"):
        msg = f"[denormalize] pixel_format must be rgb8 or bgr8; got {pixel_format!r}"
        raise UsageError("E110", msg)
    rule = "[denormalize] images must be a contiguous (N, C, H, W) float32 array"
    count, channels, height, width = _sizes_of(images, 4, rule)
    if channels not in (1, 3):
        msg = f"[denormalize] images must have 1 or 3 channels; got {channels}"
        raise UsageError("E110", msg)
    out = np.empty((count, height, width, channels), np.uint8)
    scale, bias = scale_and_bias("denormalize", channels, mean, std)
    _core.denormalize(images, out, scale, bias, pixel_format == "bgr8")
    return out


def scale_and_bias(
    operation: str, channels: int, mean: Sequence[float], std: Sequence[float]
) -> tuple[list[float], list[float]]:
    """Return what the values of each channel are multiplied by and what is added then.

    Raises:
        UsageError: E110 there is not one finite mean and one finite std > 0 for each channel.
    """
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            msg = f"[{operation}] {name} must have {channels} values; got {len(values)}"
            raise UsageError("E110", msg)
    if not np.isfinite([*mean, *std]).all() or min(std) <= 0:
        msg = f"[{operation}] mean must be finite and std finite and > 0; got {mean} and {std}"
        raise UsageError("E110", msg)
    return [255 * s for s in std], [255 * m for m in mean]


def _sizes_of(array: HostArray, axes: int, rule: str) -> tuple[int, ...]:
    shape = shape_of(array, rule)
    if len(shape) != axes:
        raise UsageError("E110", f"{rule}; got {tuple(shape)}")
    return shape
