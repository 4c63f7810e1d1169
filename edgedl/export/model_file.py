"""The file of an ONNX model: read without running code of its own, or why it is none."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import onnx

from edgedl.bundle.onnx_bytes import scan_onnx
from edgedl.errors import BundleError, IntegrityError
from edgedl.export.tools import one_line, pickled

MAX_BYTES = (1 << 31) - 1
"""Of a protobuf message, and so of an ONNX file."""

_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib")
_LFS = b"version https://git-lfs"
_BEGINNING = 100  # bytes, that tell a text


def read_file(path: Path) -> bytes:
    """Return the bytes of a model's file.

    Raises:
        BundleError: E403 it cannot be read, E451 it is too large for a model.
    """
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror}"
        raise BundleError("E403", msg) from err
    if size > MAX_BYTES:
        msg = (
            f"{path} has {size} bytes; an ONNX file ends at {MAX_BYTES}: take a smaller model, or "
            "copy it again if it was smaller"
        )
        raise BundleError("E451", msg)
    return raw


def parsed(raw: bytes, path: Path) -> onnx.ModelProto:
    """Read an ONNX model, and no other file it names.

    Raises:
        BundleError: E410 it is none or was cut off, E450 it is a pickle.
    """
    _refuse_pickle(raw, path)
    try:
        with contextlib.suppress(IntegrityError):  # of data in other files
            scan_onnx(raw, str(path))
        return onnx.load_from_string(raw)
    except Exception as err:  # protobuf's exceptions depend on how it was built
        why = _what_instead(raw)
        if why is None and isinstance(err, BundleError):
            msg = f"{err}; copy the file again, or export it again"
        else:
            why = why or f"{one_line(err)}; export it again"
            msg = f"{path} is not an ONNX model: {why}"
        raise BundleError("E410", msg) from err


def _refuse_pickle(raw: bytes, path: Path) -> None:
    """Raise when a file is a pickle, by its content or by a name that promises one.

    Raises:
        BundleError: E450.
    """
    is_pickle = raw[:1] == b"\x80" and raw[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if raw[:2] == b"PK":
        with contextlib.suppress(zipfile.BadZipFile):
            names = zipfile.ZipFile(io.BytesIO(raw)).namelist()
            is_pickle = any(name.endswith(".pkl") for name in names)
    if is_pickle or path.suffix.lower() in _PICKLES:
        raise pickled(path, "is a pickle")


def _what_instead(raw: bytes) -> str | None:
    """Return what a file is that people have instead of a model, and the mend; None if unknown."""
    if raw.startswith(_LFS):
        return "it is Git LFS's note of where the model lies; fetch it: git lfs pull"
    start = raw[:_BEGINNING].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page; load the file itself, not the page about it"
    text = raw[:_BEGINNING].decode(errors="ignore")
    if text.strip() and all(c.isprintable() or c.isspace() for c in text):
        return "it is a text; load it or export it again"
    return None
