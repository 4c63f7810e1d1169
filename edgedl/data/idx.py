"""IDX files, the format of MNIST and of the sets made like it.

A magic number (two zero bytes, 0x08 for unsigned bytes, the number of axes), the size of each axis
as 32-bit big-endian numbers, then the bytes. See the description by LeCun, Cortes and Burges.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgedl.data.picture_list import Pictures
from edgedl.errors import DataError

if TYPE_CHECKING:
    from edgedl.data.problems import Problems

MAX_BYTES = 8 << 30

_FASHION_LABELS = ("25c81989df183df01b3e8a0aad5dffbe", "bb300cfdad3c16e7a12a480ee83cd310")
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag",
    "Ankle boot",
)  # fmt: skip
_SPLITS = {"train": "train", "t10k": "test", "test": "test", "val": "val", "valid": "val"}


def image_files(folder: Path) -> list[Path]:
    """Return the files of a folder that hold pictures, by their names; of twins the unpacked."""
    found = {f for f in folder.iterdir() if "images" in f.name and _is_idx(f, 3)}
    return sorted(f for f in found if f.suffix != ".gz" or f.with_suffix("") not in found)


def read_set(folder: Path, problems: Problems) -> tuple[tuple[str, ...], dict[str, Pictures]]:
    """Read all pairs of picture and label files of a folder.

    Returns:
        Names of the classes, and split to its pictures.

    Raises:
        DataError: E356 there are two sets.
    """
    splits: dict[str, Pictures] = {}
    names: tuple[str, ...] = ()
    for split, file in _by_split(folder).items():
        labels_file = _labels_of(file)
        try:
            if labels_file is None:
                problems.add(str(file), "there is no file of labels beside it")
                continue
            pictures, labels = read_idx(file, 3), read_idx(labels_file, 1)
        except DataError as err:
            where, _, why = str(err).partition(": ")
            problems.add(where, why)
            continue
        if len(pictures) != len(labels):
            why = f"{len(labels)} labels for {len(pictures)} pictures of {file.name}"
            problems.add(str(labels_file), why)
            continue
        rows = [f"{file.name}[{i}]" for i in range(len(labels))]
        splits[split] = Pictures(pictures, labels.astype(np.int64), rows)
        if hashlib.md5(labels_file.read_bytes(), usedforsecurity=False).hexdigest() in (
            _FASHION_LABELS
        ):
            names = _FASHION
    count = 1 + max((int(part.labels.max()) for part in splits.values() if len(part)), default=-1)
    return names or tuple(map(str, range(count))), splits


def _by_split(folder: Path) -> dict[str, Path]:
    """Return split to its file of pictures.

    Raises:
        DataError: E356 a split has two, as in a folder of several sets.
    """
    found: dict[str, Path] = {}
    for file in image_files(folder):
        split = next((s for word, s in _SPLITS.items() if word in file.name.lower()), "train")
        if split in found:
            msg = (
                f"{folder} holds two files of pictures for {split}, {found[split].name} and "
                f"{file.name}; give each set a folder of its own"
            )
            raise DataError("E356", msg)
        found[split] = file
    return found


def read_idx(path: Path, axes: int) -> npt.NDArray[np.uint8]:
    """Read one file, ``.gz`` or plain.

    Raises:
        DataError: E355 another magic number or length, or damaged.
    """
    raw = _bytes(path)
    magic = 0x0800 | axes
    if len(raw) < 4 + 4 * axes:
        msg = f"{path}: {len(raw)} bytes are too few for IDX"
        raise DataError("E355", msg)
    found, *sizes = struct.unpack(f">{1 + axes}I", raw[: 4 + 4 * axes])
    if found != magic:
        msg = f"{path}: wrong IDX magic: 0x{magic:08x} expected, got 0x{found:08x}"
        raise DataError("E355", msg)
    wanted = math.prod(sizes)
    got = len(raw) - 4 - 4 * axes
    if got != wanted or not wanted:
        shape = " × ".join(map(str, sizes))
        msg = f"{path}: wrong IDX length: {shape} = {wanted} bytes expected, got {got}"
        raise DataError("E355", msg)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(sizes)


def _bytes(path: Path) -> bytes:
    try:
        if path.suffix != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read(MAX_BYTES)
    except (OSError, EOFError, zlib.error) as err:
        msg = f"{path}: damaged or unreadable: {err}"
        raise DataError("E355", msg) from err


def _is_idx(path: Path, axes: int) -> bool:
    name = path.name.removesuffix(".gz")
    return path.is_file() and (f"idx{axes}" in name or name.endswith(".idx"))


def _labels_of(file: Path) -> Path | None:
    """Return the file of labels that belongs to a file of pictures, packed or not."""
    name = file.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    places = (file.with_name(name + ".gz"), file.with_name(name))
    return next((place for place in places if place.is_file()), None)
