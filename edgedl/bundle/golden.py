"""The golden set: samples with the answers they must give, so that a device can prove itself.

On disk, in the folder ``golden/`` of a bundle:

- ``golden.json``: ``{"samples": [{"name", "given": {"pictures", "text"}, "input_sha256",
  "expected": {PRECISION: {…}}}]}``; ``given`` and the answers are those of the task
- ``NAME.png``, of a clip ``NAME.000.png`` and so on: the pictures, 8-bit blue green red as OpenCV
  reads it (``bgr8``), lossless
- ``NAME.npz``: for each precision ``PRECISION.OUTPUT``, without batch axis, and ``window`` (T, F)
  where a table is what goes in, ``given.INPUT`` where arrays are; finite numbers, uncompressed,
  never pickled. A tensor model's arrays are as the graph has them, batch axis and all.

The expected values of a precision were computed by that precision's own graphs.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.bundle.files import safe_name, write_file
from edgedl.errors import BundleError, EdgedlError
from edgedl.tokenizer import split

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.spec import ModelSpec

MAX_SAMPLES = 64
MAX_PICTURES = 4096
_MAX_PIXELS = 1 << 25
_MAX_ARRAY_BYTES = 256 << 20
_WINDOW, _GIVEN = "window", "given."
_PNG = b"\x89PNG\r\n\x1a\n"

_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '([<|][fiub][1248])', 'fortran_order': False, "
    rb"'shape': \(([\d, ]*)\), \} *\n",
    re.DOTALL,
)
"""How an array of an NPZ begins: read as it is written, so that nothing has to be evaluated."""
# What files of any content raise: json, zipfile, OpenCV, and what reads their values.
_MALFORMED = (
    OSError, ValueError, KeyError, TypeError, OverflowError, RuntimeError, EOFError,
    zipfile.BadZipFile, cv2.error,
)  # fmt: skip

Array = npt.NDArray[Any]
F32Array = npt.NDArray[np.float32]
Output = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Given:
    """What a user hands to a model; which of it is there depends on the task.

    Attributes:
        pictures: (H, W, 3) uint8 ``bgr8`` each: one picture, or the frames of a clip in order.
        text: A text, or the beginning of one.
        window: (T, F) float32, rows of a table in its own units.
        arrays: Input name to array, of a model of tensors.
    """

    pictures: tuple[U8Image, ...] = ()
    text: str | None = None
    window: F32Array | None = None
    arrays: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expected:
    """What one precision must answer.

    Attributes:
        output: The answer in words and numbers, e.g. ``text`` and ``log_prob``, or ``label`` and
            ``probability``; texts are compared.
        arrays: Outputs of the graphs by name, without batch axis; float32, of a tensor model what
            its graph gives.
    """

    output: Output
    arrays: Mapping[str, Array]

    @property
    def text(self) -> str:
        """The answer in words: the caption, the label, the text; empty where it is numbers."""
        return str(self.output.get("text", self.output.get("label", "")))


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """One sample and what it must give.

    Attributes:
        name: A file name without ending.
        given: The sample as a user would hand it in.
        input_sha256: ``tensor_sha256`` of what the network gets.
        expected: Precision name to expectation.
    """

    name: str
    given: Given
    input_sha256: str
    expected: Mapping[str, Expected]


def tensor_sha256(tensor: Array | Mapping[str, Array]) -> str:
    """Return the digest of a tensor's dtype, shape and little-endian bytes in C order.

    Of several inputs it is that of the lines ``NAME DIGEST``, in the order of the inputs.
    """
    if isinstance(tensor, Mapping):
        lines = "".join(f"{name} {tensor_sha256(one)}\n" for name, one in tensor.items())
        return hashlib.sha256(lines.encode()).hexdigest()
    little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
    head = f"{tensor.dtype.name} {tensor.shape} ".encode()
    return hashlib.sha256(head + little.tobytes()).hexdigest()


def write_golden(folder: Path, samples: Sequence[GoldenSample]) -> None:
    """Write the golden set into ``folder`` (``BUNDLE/golden``), which is made if need be."""
    folder.mkdir(exist_ok=True)
    for sample in samples:
        safe_name(sample.name)
        for name, picture in zip(_png_names(sample), sample.given.pictures, strict=True):
            done, png = cv2.imencode(".png", picture)
            assert done, name
            write_file(folder / name, png.tobytes())
        arrays: dict[str, Any] = {
            f"{precision}.{key}": np.asarray(array, order="C")
            for precision, expected in sample.expected.items()
            for key, array in expected.arrays.items()
        }
        arrays |= {_GIVEN + k: np.asarray(a, order="C") for k, a in sample.given.arrays.items()}
        if sample.given.window is not None:
            arrays[_WINDOW] = np.ascontiguousarray(sample.given.window, np.float32)
        npz = io.BytesIO()
        np.savez(npz, **arrays)
        write_file(folder / f"{sample.name}.npz", npz.getvalue())
    table = {"samples": [_to_table(sample) for sample in samples]}
    write_file(folder / "golden.json", json.dumps(table, indent=1, allow_nan=False) + "\n")


def read_golden(folder: Path) -> tuple[GoldenSample, ...]:
    """Read what ``write_golden`` wrote, digests unchecked; ``Bundle.golden`` checks them.

    Raises:
        BundleError: E418 it is no golden set.
    """
    return parse_golden(lambda name: (folder / name).read_bytes())


def parse_golden(
    read: Callable[[str], bytes], spec: ModelSpec | None = None
) -> tuple[GoldenSample, ...]:
    """Read a golden set.

    Args:
        read: Returns the bytes of a file of the folder.
        spec: Of the model; each sample must give what it takes. None: anything goes.

    Raises:
        BundleError: E418 it is no golden set, or one of another kind of model.
    """
    try:
        rows = json.loads(read("golden.json"))["samples"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_SAMPLES:
            msg = f"1 to {MAX_SAMPLES} samples are expected"
            raise ValueError(msg)
        return tuple(_read_sample(row, read, spec) for row in rows)
    except EdgedlError:
        raise
    except _MALFORMED as err:
        why = " ".join(str(err).split())  # OpenCV's have several lines
        msg = f"golden set cannot be read: {why}; export the bundle again"
        raise BundleError("E418", msg) from err


def _png_names(sample: GoldenSample) -> list[str]:
    return _png_names_of(sample.name, len(sample.given.pictures))


def _png_names_of(name: str, count: int) -> list[str]:
    return [f"{name}.png"] if count == 1 else [f"{name}.{i:03}.png" for i in range(count)]


def _to_table(sample: GoldenSample) -> dict[str, Any]:
    given = {"pictures": len(sample.given.pictures), "text": sample.given.text}
    return {
        "name": sample.name,
        "given": {key: value for key, value in given.items() if value not in (0, None)},
        "input_sha256": sample.input_sha256,
        "expected": {p: dict(expected.output) for p, expected in sample.expected.items()},
    }


def _read_sample(row: Any, read: Callable[[str], bytes], spec: ModelSpec | None) -> GoldenSample:
    if not isinstance(row["name"], str):
        raise TypeError(row["name"])
    name, given = safe_name(row["name"]), _object(row["given"])
    arrays = _read_arrays(read(f"{name}.npz"))
    count, text, window = given.get("pictures", 0), given.get("text"), arrays.get(_WINDOW)
    if type(count) is not int or not 0 <= count <= MAX_PICTURES or not isinstance(text, str | None):
        msg = f"sample {name!r} has wrong values in 'given'"
        raise ValueError(msg)
    if window is not None:
        _check_is_float32(_WINDOW, window)
    given_arrays = _starting_with(_GIVEN, arrays)
    if spec is not None:
        _check_given(spec, count, text, window)
        if bool(given_arrays) != (spec.task == "tensor" and spec.image is None):
            msg = f"a {spec.kind} takes other inputs; got arrays {sorted(given_arrays)}"
            raise ValueError(msg)
    pictures = tuple(_read_png(read(file), file) for file in _png_names_of(name, count))
    expected = {
        precision: Expected(
            output={key: _word_or_number(value) for key, value in _object(output).items()},
            arrays=_of_precision(arrays, precision, spec),
        )
        for precision, output in _object(row["expected"]).items()
    }
    told = Given(pictures, text, window, given_arrays)
    return GoldenSample(name, told, str(row["input_sha256"]), expected)


def _check_given(spec: ModelSpec, count: int, text: str | None, window: F32Array | None) -> None:
    """Compare what a sample gives with what the model takes."""
    pictures = spec.clip.frames if spec.clip else int(spec.image is not None)
    rows = (spec.series.window, len(spec.series.inputs)) if spec.series else None
    shape = None if window is None else window.shape
    has_text = text is not None
    if spec.text and spec.task == "text-generation":  # the first token comes from somewhere
        has_text = bool(split(text or "", spec.text))
    if (count, shape, has_text) != (pictures, rows, spec.text is not None):
        msg = (
            f"a {spec.kind} takes {pictures} pictures, {'a' if spec.text else 'no'} text and "
            f"{rows or 'no'} window; got {count}, {ascii(text)[:40]} and {shape or 'none'}"
        )
        raise ValueError(msg)


def _object(value: Any) -> dict[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, dict):
        msg = f"a JSON object is expected; got {ascii(value)[:40]}"
        raise TypeError(msg)
    return value


def _of_precision(
    arrays: Mapping[str, Array], precision: str, spec: ModelSpec | None
) -> dict[str, Array]:
    found = _starting_with(f"{precision}.", arrays)
    if not found:
        msg = f"no arrays of {precision}"
        raise ValueError(msg)
    if spec is None or spec.task != "tensor":
        for name, array in found.items():
            _check_is_float32(name, array)
    return found


def _starting_with(start: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def _check_is_float32(name: str, array: Array) -> None:
    if array.dtype != np.float32:
        msg = f"{name!a} is no float32 array; got {array.dtype}"
        raise ValueError(msg)


def _word_or_number(value: object) -> str | float:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    msg = f"a text or a finite number is expected; got {ascii(value)[:40]}"
    raise TypeError(msg)


def _read_png(raw: bytes, name: str) -> U8Image:
    """Decode a PNG after its header said that it is not too large."""
    if raw[:8] == _PNG and len(raw) > 24:
        width, height = struct.unpack(">II", raw[16:24])
        if width * height <= _MAX_PIXELS:
            picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
            if picture is not None:
                return np.asarray(picture, np.uint8)
    msg = f"{name} is no PNG of at most {_MAX_PIXELS} pixels"
    raise ValueError(msg)


def _read_arrays(raw: bytes) -> dict[str, Array]:
    """Read an NPZ, whose sizes are checked before anything is read."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        items = archive.infolist()
        if sum(item.file_size for item in items) > _MAX_ARRAY_BYTES:
            msg = f"arrays of more than {_MAX_ARRAY_BYTES} bytes"
            raise ValueError(msg)
        if any(item.compress_type != zipfile.ZIP_STORED for item in items):
            msg = "compressed arrays"
            raise ValueError(msg)
        return {item.filename.removesuffix(".npy"): _read_npy(archive, item) for item in items}


def _read_npy(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> Array:
    """Read one array of finite numbers, as long as its header says."""
    raw = archive.read(item)
    head = _NPY.match(raw)
    if head is None:
        msg = f"{item.filename!a} is no array of numbers"
        raise ValueError(msg)
    kind = np.dtype(head[1].decode())
    shape = tuple(int(size) for size in head[2].replace(b",", b" ").split())
    if math.prod(shape) * kind.itemsize != len(raw) - head.end():
        msg = f"{item.filename!a} is no {kind} array of its size"
        raise ValueError(msg)
    array = np.frombuffer(raw, kind, offset=head.end()).reshape(shape)
    array = array.astype(kind.newbyteorder("="))
    if not np.isfinite(array).all():
        msg = f"{item.filename!a} has NaN or infinity"
        raise ValueError(msg)
    return array
