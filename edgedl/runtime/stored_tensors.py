"""Tensors of a safetensors file, read where its bytes lie."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgedl.runtime.session import Array

_DTYPES = {"I8": "<i1", "I32": "<i4", "F32": "<f4"}
_MAX_HEADER_BYTES = 1 << 16


def stored_tensors(raw: bytes | memoryview) -> dict[str, Array]:
    """Return all tensors of a safetensors file by name, read-only.

    They are views that keep ``raw``; but those that do not lie as their type wants are copies.

    Args:
        raw: A length (8 bytes, little-endian), so many bytes of JSON, then the tensors' bytes, as
            https://github.com/huggingface/safetensors#format says.

    Raises:
        ValueError: It is no such file, was cut off, or has tensors of other types than int8, int32
            and float32.
    """
    raw = memoryview(raw)
    length = int.from_bytes(raw[:8], "little")
    if length > min(len(raw) - 8, _MAX_HEADER_BYTES):
        msg = f"its header should have {length} bytes, the file has {len(raw)}"
        raise ValueError(msg)
    data = raw[8 + length :]
    try:
        header = json.loads(bytes(raw[8 : 8 + length]))
        header.pop("__metadata__", None)
        return {name: _stored(data, name, **entry) for name, entry in header.items()}
    except (TypeError, AttributeError, RecursionError) as err:
        msg = "its header does not describe tensors"
        raise ValueError(msg) from err


def _stored(
    data: memoryview, name: str, dtype: str, shape: list[int], data_offsets: tuple[int, int]
) -> Array:
    begin, end = data_offsets
    if dtype not in _DTYPES:
        msg = f"{name} is of {dtype!r}; expected {', '.join(_DTYPES)}"
        raise ValueError(msg)
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        msg = f"{name} has the shape {shape}, bytes {begin} to {end}"
        raise ValueError(msg)
    kind = np.dtype(_DTYPES[dtype])
    size = math.prod(shape) * kind.itemsize
    if end > len(data) or end - begin != size:
        msg = f"{name} should have {size} bytes; they are {begin} to {end} of {len(data)}"
        raise ValueError(msg)
    return np.require(np.ndarray(shape, kind, data, begin), requirements="A")
