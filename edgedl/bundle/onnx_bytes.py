"""A look into the bytes of an ONNX file, without onnx and before any runtime sees them.

ONNX tensors may name other files that hold their data, and ONNX Runtime up to 1.23 opens whatever
is named there: ``../secret``, absolute paths, links. Bundles therefore never hold such tensors,
and this module walks the protobuf wire format to see that none is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgedl.errors import BundleError, IntegrityError

_MAX_DEPTH = 64
_FLOAT16 = 10
_DATA_TYPE, _EXTERNAL_DATA, _DATA_LOCATION = 2, 13, 14

# Message -> field number -> message in that field, for all ways that lead to a tensor (onnx.proto).
_WAYS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}


@dataclass(slots=True)
class OnnxFacts:
    """What was seen.

    Attributes:
        has_graph: There is a graph at all.
        has_float16: A tensor of the file is half precision.
    """

    has_graph: bool = False
    has_float16: bool = False


def scan_onnx(raw: bytes, name: str) -> OnnxFacts:
    """Check that ``raw`` can be an ONNX model that needs no other file.

    Args:
        raw: All bytes of the file.
        name: Of the file, for errors.

    Raises:
        BundleError: E410 the bytes are no ONNX model, or were cut off.
        IntegrityError: E411 a tensor's data is in another file.
    """
    facts = OnnxFacts()
    try:
        _scan(memoryview(raw), "Model", facts, _MAX_DEPTH)
    except _ExternalDataError as err:
        msg = f"{name} keeps tensor data in another file, which is never opened: export it again"
        raise IntegrityError("E411", msg) from err
    except ValueError as err:
        msg = f"{name} is not an ONNX model: {err}"
        raise BundleError("E410", msg) from err
    if not facts.has_graph:
        msg = f"{name} is not an ONNX model: no graph in its {len(raw)} bytes"
        raise BundleError("E410", msg)
    return facts


class _ExternalDataError(Exception):
    """A tensor's data is in another file."""


def _scan(data: memoryview, message: str, facts: OnnxFacts, depth: int) -> None:
    if depth == 0:
        msg = f"messages nested deeper than {_MAX_DEPTH}"
        raise ValueError(msg)
    for number, value in _fields(data):
        if message == "Tensor":
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                raise _ExternalDataError
            facts.has_float16 |= number == _DATA_TYPE and value == _FLOAT16
            continue
        inner = _WAYS[message].get(number)
        if inner is not None and isinstance(value, memoryview):
            facts.has_graph |= message == "Model" and inner == "Graph"
            _scan(value, inner, facts, depth - 1)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield field number and value of one protobuf message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            msg = f"field number 0 at byte {at}"
            raise ValueError(msg)
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            msg = f"wire type {kind} at byte {at}"
            raise ValueError(msg)
        if at + size > len(data):
            msg = f"cut off: {size} bytes are to follow byte {at}, {len(data) - at} do"
            raise ValueError(msg)
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the number that starts at byte ``at``, and where the next thing starts."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            msg = "cut off inside a number"
            raise ValueError(msg)
        byte = data[at + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + i + 1
    msg = f"number without end at byte {at}"
    raise ValueError(msg)
