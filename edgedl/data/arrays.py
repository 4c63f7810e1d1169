"""Reads arrays from NumPy's files, never unpickling anything."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgedl.errors import DataError

ENDINGS = (".npy", ".npz")
MAX_BYTES = 4 << 30


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name; that of a ``.npy`` file has the name ``""``.

    Raises:
        DataError: E355 it holds no arrays of numbers, or is damaged; E356 it cannot be read, or is
            larger than 4 GiB.
    """
    if path.suffix.lower() not in ENDINGS:
        msg = f"{path} is no array file; {' and '.join(ENDINGS)} are read"
        raise DataError("E356", msg)
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            msg = f"{path} has {size} bytes; at most {MAX_BYTES} are read"
            raise DataError("E356", msg)
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            arrays = {"": found}
        else:
            with found:
                arrays = {name: found[name] for name in found.files}
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror or 'it is damaged'}"
        raise DataError("E356", msg) from err
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as err:
        msg = f"{path} is no file of arrays: {_why(err)}; write it with numpy.save or numpy.savez"
        raise DataError("E355", msg) from err
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            msg = f"{path}: {name or 'the array'} holds {array.dtype}; numbers are expected"
            raise DataError("E355", msg)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            msg = f"{path}: {name or 'the array'} holds NaN or infinity; mend or remove the file"
            raise DataError("E355", msg)
    if not arrays:
        msg = f"{path} holds no array"
        raise DataError("E355", msg)
    return arrays


def _why(err: Exception) -> str:
    """Return what NumPy says, but for its advice to unpickle what it does not know."""
    text = " ".join(str(err).split())
    is_advice = "pickle" in text
    return "it holds something else, or Python objects, which are not read" if is_advice else text
