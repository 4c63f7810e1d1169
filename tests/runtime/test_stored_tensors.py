"""Tensors of a safetensors file, against the library that defines the format."""

from __future__ import annotations

import json
import re
import struct
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from edgedl.runtime.stored_tensors import stored_tensors

RNG = np.random.default_rng(0)
TENSORS: dict[str, Any] = {
    "int8": RNG.integers(-128, 128, (3, 2, 5), np.int8),
    "float": RNG.normal(size=(7, 3)).astype(np.float32),
    "int": RNG.integers(-(2**31), 2**31, 4, np.int32),
    "none": np.zeros((0, 4), np.float32),
    "one": np.array(2.5, np.float32),
}


def test_equals_what_was_saved() -> None:
    found = stored_tensors(save(TENSORS, {"made": "here"}))
    assert found.keys() == TENSORS.keys()
    for name, wanted in TENSORS.items():
        assert (found[name].dtype, found[name].shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(found[name], wanted)
        assert not found[name].flags.writeable


@pytest.mark.parametrize("offset", range(9))
def test_only_what_is_not_aligned_is_copied(offset: int) -> None:
    raw = save(TENSORS)
    where = np.zeros(len(raw) + 16, np.uint8)
    start = offset - where.ctypes.data % 8 + 8 * (where.ctypes.data % 8 > offset)
    where[start : start + len(raw)] = np.frombuffer(raw, np.uint8)
    found = stored_tensors(memoryview(where)[start : start + len(raw)])
    for name, wanted in TENSORS.items():
        np.testing.assert_array_equal(found[name], wanted)
        assert found[name].flags.aligned
        is_view = wanted.size > 0 and (wanted.itemsize == 1 or offset % 4 == 0)
        assert np.shares_memory(found[name], where) == is_view


def test_every_cut_is_noticed() -> None:
    raw = save(TENSORS)
    for keep in range(len(raw)):
        with pytest.raises(ValueError, match=r"header|bytes"):
            stored_tensors(raw[:keep])


def with_header(header: object, data: bytes = bytes(16)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dtype": "F64"}, "x is of 'F64'; expected I8, I32, F32"),
        ({"dtype": ["F32"]}, "does not describe"),
        ({"shape": [3]}, "x should have 12 bytes; they are 0 to 16 of 16"),
        ({"shape": [5], "data_offsets": [0, 20]}, "0 to 20 of 16"),
        ({"shape": [-2, -2]}, r"shape [-2, -2], bytes 0 to 16"),
        ({"shape": ["a" * 1000, 10**12]}, "bytes 0 to 16"),
        ({"shape": [4.0]}, "shape [4.0]"),
        ({"shape": 4}, "does not describe"),
        ({"shape": [2**70, 0], "data_offsets": [0, 0]}, "dimension"),
        ({"shape": [1] * 100 + [4]}, "dimension"),
        ({"shape": [1], "data_offsets": [-4, 0]}, "bytes -4 to 0"),
        ({"shape": [1], "data_offsets": [16, 20]}, "16 to 20 of 16"),
        ({"data_offsets": [16, 0]}, "16 to 0"),
        ({"data_offsets": [0]}, "unpack"),
        ({"data_offsets": None}, "does not describe"),
        ({"more": 1}, "does not describe"),
    ],
)
def test_wrong_headers(changes: dict[str, Any], says: str) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    assert stored_tensors(with_header({"x": entry}))["x"].tolist() == [0] * 4
    with pytest.raises(ValueError, match=re.escape(says)):
        stored_tensors(with_header({"x": entry | changes}))


@pytest.mark.parametrize(
    "header", [[], "x", 1, {"x": 1}, {"x": "dtype"}, {"x": None}, b"{", b"\xff", b"[" * 60000]
)
def test_headers_that_describe_nothing(header: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        stored_tensors(with_header(header))


@pytest.mark.parametrize("length", [2**64 - 1, 2**63, 1 << 20, 17])
def test_headers_that_are_too_long(length: int) -> None:
    with pytest.raises(ValueError, match=f"should have {length} bytes, the file has 24"):
        stored_tensors(struct.pack("<Q", length) + bytes(16))
