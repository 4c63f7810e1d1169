"""Arrays and streams of a GPU, whatever package made them.

Everything here that takes an array on a GPU takes what has DLPack or ``__cuda_array_interface__``:
tensors of torch, arrays of cupy, pycuda, numba. ``DeviceArrayView`` gives that to bare memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgedl.errors import UsageError


@dataclass(frozen=True)
class DeviceArrayView:
    """Memory on a GPU as an array, e.g. ``Buffer`` of cuda.core or a frame of a decoder.

    Attributes:
        address: Of the first element, on the device.
        shape: Sizes of the axes.
        dtype: Name of a NumPy type.
        strides: Bytes from one element of each axis to the next; None for packed rows.
        owner: What keeps the memory alive as long as the view.
        read_only: Refuse it as a result.
    """

    address: int
    shape: tuple[int, ...]
    dtype: str = "uint8"
    strides: tuple[int, ...] | None = None
    owner: Any = None
    read_only: bool = False

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Version 3, without a stream: what fills the memory has been waited for."""
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": np.dtype(self.dtype).str,
            "data": (self.address, self.read_only),
            "strides": self.strides,
            "stream": None,
        }


def stream_number(stream: Any) -> int:
    """Return the ``cudaStream_t`` of a stream of torch, cupy, cuda.core or pycuda as a number.

    Args:
        stream: Such a stream, or the number itself; 0 is the default stream.

    Raises:
        UsageError: E110 it is none of these.
    """
    if hasattr(stream, "__cuda_stream__"):
        protocol = stream.__cuda_stream__
        return int((protocol() if callable(protocol) else protocol)[1])
    for name in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, name):
            return int(getattr(stream, name))
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    msg = f"[stream] must be a CUDA stream or its number; got {_named(stream)}"
    raise UsageError("E110", msg)


def _named(value: Any) -> str:
    return repr(value) if isinstance(value, int | str) else type(value).__name__
