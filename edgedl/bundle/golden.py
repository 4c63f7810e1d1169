"""The golden set: pictures with the outputs they must give, so that a device can prove itself.

On disk, in the folder ``golden/`` of a bundle:

- ``golden.json``: ``{"samples": [{"name", "input_sha256", "expected": {PRECISION: {"text",
  "log_prob"}}}]}``
- ``NAME.png``: the picture, 8-bit blue green red as OpenCV reads it (``bgr8``), lossless
- ``NAME.npz``: for each precision ``PRECISION.features`` (P, D), ``PRECISION.h`` and
  ``PRECISION.c`` (H,) as the encoder gives them, ``PRECISION.logits`` (V,) of the first step
  after ``<bos>``; float32, uncompressed, never pickled

The expected values of a precision were computed by that precision's own graphs.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.bundle.files import safe_name, write_file
from edgedl.errors import BundleError, EdgedlError

if TYPE_CHECKING:
    from edgedl.frame import U8Image

MAX_SAMPLES = 64
MAX_PICTURES = 4096
_MAX_PIXELS = 1 << 25
_MAX_ARRAY_BYTES = 256 << 20
_PNG = b"\x89PNG\r\n\x1a\n"

F32Array = npt.NDArray[np.float32]
Output = Mapping[str, str | float]


@dataclass(frozen=True, slots=True)
class Given:
    """What a user hands to a model; which of it is there depends on the task.

    Attributes:
        pictures: (H, W, 3) uint8 ``bgr8`` each: one picture, or the frames of a clip in order.
        text: A text, or the beginning of one.
        window: (T, F) float32, rows of a table in its own units.
    """

    pictures: tuple[U8Image, ...] = ()
    text: str | None = None
    window: F32Array | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What one precision must answer.

    Attributes:
        output: The answer in words and numbers, e.g. ``text`` and ``log_prob``, or ``label`` and
            ``probability``; texts are compared.
        arrays: Outputs of the graphs by name, float32, without batch axis.
    """

    output: Output
    arrays: Mapping[str, F32Array]

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


def tensor_sha256(tensor: npt.NDArray[Any]) -> str:
    """Return the digest of a tensor's dtype, shape and little-endian bytes in C order."""
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
        arrays = {
            f"{precision}.{key}": np.ascontiguousarray(array, np.float32)
            for precision, expected in sample.expected.items()
            for key, array in expected.arrays.items()
        }
        if sample.given.window is not None:
            arrays[_WINDOW] = np.ascontiguousarray(sample.given.window, np.float32)
        npz = io.BytesIO()
        np.savez(npz, allow_pickle=False, **arrays)
        write_file(folder / f"{sample.name}.npz", npz.getvalue())
    table = {"samples": [_to_table(sample) for sample in samples]}
    write_file(folder / "golden.json", json.dumps(table, indent=1, allow_nan=False) + "\n")


def read_golden(folder: Path) -> tuple[GoldenSample, ...]:
    """Read what ``write_golden`` wrote, digests unchecked; ``Bundle.golden`` checks them.

    Raises:
        BundleError: E418 it is no golden set.
    """
    return parse_golden(lambda name: (folder / name).read_bytes())


def parse_golden(read: Callable[[str], bytes]) -> tuple[GoldenSample, ...]:
    """Read a golden set through ``read``, which returns the bytes of a file of the folder.

    Raises:
        BundleError: E418 it is no golden set.
    """
    try:
        rows = json.loads(read("golden.json"))["samples"]
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_SAMPLES:
            msg = f"1 to {MAX_SAMPLES} samples are expected"
            raise ValueError(msg)
        return tuple(_read_sample(row, read) for row in rows)
    except EdgedlError:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError, zipfile.BadZipFile) as err:
        msg = f"golden set cannot be read: {err}; export the bundle again"
        raise BundleError("E418", msg) from err


_WINDOW = "window"


def _png_names(sample: GoldenSample) -> list[str]:
    return _png_names_of(sample.name, len(sample.given.pictures))


def _png_names_of(name: str, count: int) -> list[str]:
    return [f"{name}.png"] if count == 1 else [f"{name}.{i:03}.png" for i in range(count)]


def _to_table(sample: GoldenSample) -> dict[str, Any]:
    given = {"pictures": len(sample.given.pictures), "text": sample.given.text}
    return {
        "name": sample.name,
        "given": {key: value for key, value in given.items() if value},
        "input_sha256": sample.input_sha256,
        "expected": {p: dict(expected.output) for p, expected in sample.expected.items()},
    }


def _read_sample(row: dict[str, Any], read: Callable[[str], bytes]) -> GoldenSample:
    name, given = safe_name(row["name"]), row["given"]
    arrays = _read_arrays(read(f"{name}.npz"))
    count, text = given.get("pictures", 0), given.get("text")
    if type(count) is not int or not 0 <= count <= MAX_PICTURES or not isinstance(text, str | None):
        msg = f"sample {name!r} has wrong values in 'given'"
        raise ValueError(msg)
    pictures = tuple(_read_png(read(file), file) for file in _png_names_of(name, count))
    expected = {
        precision: Expected(
            output={str(key): _word_or_number(value) for key, value in output.items()},
            arrays=_of_precision(arrays, precision),
        )
        for precision, output in row["expected"].items()
    }
    whole = Given(pictures, text, arrays.get(_WINDOW))
    return GoldenSample(name, whole, str(row["input_sha256"]), expected)


def _of_precision(arrays: Mapping[str, F32Array], precision: str) -> dict[str, F32Array]:
    start = f"{precision}."
    found = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
    if not found:
        msg = f"no arrays of {precision}"
        raise ValueError(msg)
    return found


def _word_or_number(value: object) -> str | float:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return float(value)
    raise TypeError(value)


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


def _read_arrays(raw: bytes) -> dict[str, F32Array]:
    """Read an NPZ whose stored size was checked first."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        if sum(item.file_size for item in archive.infolist()) > _MAX_ARRAY_BYTES:
            msg = f"arrays of more than {_MAX_ARRAY_BYTES} bytes"
            raise ValueError(msg)
    with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
        found = {key: np.asarray(arrays[key], np.float32) for key in arrays.files}
    for key, array in found.items():
        if not np.isfinite(array).all():
            msg = f"{key} has NaN or infinity"
            raise ValueError(msg)
    return found
