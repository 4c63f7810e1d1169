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

ARRAYS = ("features", "h", "c", "logits")
MAX_SAMPLES = 64
_MAX_PIXELS = 1 << 25
_MAX_ARRAY_BYTES = 256 << 20
_PNG = b"\x89PNG\r\n\x1a\n"

F32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Expected:
    """What one precision must give for one picture.

    Attributes:
        text: The caption.
        log_prob: Sum of the natural log-probabilities of its tokens, ``<eos>`` included.
        arrays: ``features`` (P, D), ``h`` (H,), ``c`` (H,), ``logits`` (V,), all float32.
    """

    text: str
    log_prob: float
    arrays: Mapping[str, F32Array]


@dataclass(frozen=True, slots=True)
class GoldenSample:
    """One picture and what it must give.

    Attributes:
        name: A file name without ending.
        picture: (H, W, 3) uint8, ``bgr8``.
        input_sha256: ``tensor_sha256`` of the pre-processed picture.
        expected: Precision name to expectation.
    """

    name: str
    picture: U8Image
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
        done, png = cv2.imencode(".png", sample.picture)
        assert done, sample.name
        write_file(folder / f"{sample.name}.png", png.tobytes())
        arrays = {
            f"{precision}.{key}": np.ascontiguousarray(array, np.float32)
            for precision, expected in sample.expected.items()
            for key, array in expected.arrays.items()
        }
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


def _to_table(sample: GoldenSample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "input_sha256": sample.input_sha256,
        "expected": {
            precision: {"text": expected.text, "log_prob": expected.log_prob}
            for precision, expected in sample.expected.items()
        },
    }


def _read_sample(row: dict[str, Any], read: Callable[[str], bytes]) -> GoldenSample:
    name = safe_name(row["name"])
    arrays = _read_arrays(read(f"{name}.npz"))
    expected = {
        precision: Expected(
            text=str(item["text"]),
            log_prob=float(item["log_prob"]),
            arrays={key: arrays[f"{precision}.{key}"] for key in ARRAYS},
        )
        for precision, item in row["expected"].items()
    }
    picture = _read_png(read(f"{name}.png"), f"{name}.png")
    return GoldenSample(name, picture, str(row["input_sha256"]), expected)


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
        return {key: np.asarray(arrays[key], np.float32) for key in arrays.files}
