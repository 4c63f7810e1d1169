"""CIFAR-10 as its authors publish it: batches as Python pickles, or as plain binary files.

A pickle is a program; it is never run here. Its instructions are read one by one, and only those
that make up dictionaries, lists, texts, numbers and byte arrays are understood.
"""

from __future__ import annotations

import io
import pickletools
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgedl.data.archive import UNREADABLE, tar_files
from edgedl.data.picture_list import Pictures
from edgedl.errors import DataError

if TYPE_CHECKING:
    from edgedl.data.problems import Problems

LABELS = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
SIDE = 32
MAX_BATCH_BYTES = 256 << 20

_RECORD = 1 + 3 * SIDE * SIDE
_PICKLED = {f"data_batch_{i}": "train" for i in range(1, 6)} | {"test_batch": "test"}
_BINARY = {f"{name}.bin": split for name, split in _PICKLED.items()}
_ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")


def is_here(path: Path) -> bool:
    """Return whether a folder or archive holds CIFAR-10's batches."""
    if path.is_file():
        return path.name in _ARCHIVES
    known = (*_PICKLED, *_BINARY, *_ARCHIVES)
    inner = ("cifar-10-batches-py", "cifar-10-batches-bin")
    return any((path / name).is_file() for name in known) or any(
        (path / name).is_dir() for name in inner
    )


def read_set(path: Path, problems: Problems) -> tuple[tuple[str, ...], dict[str, Pictures]]:
    """Read the batches of a folder or archive.

    Returns:
        Names of the classes, and split to its pictures, (n, 32, 32, 3) bgr8.
    """
    parts: dict[str, list[Pictures]] = {}
    for where, name, raw in _batches(path):
        try:
            pixels, labels = _binary(raw, where) if name in _BINARY else _pickled(raw, where)
        except DataError as err:
            place, _, why = str(err).partition(": ")
            problems.add(place, why)
            continue
        names = [f"{name}[{i}]" for i in range(len(labels))]
        split = (_PICKLED | _BINARY)[name]
        parts.setdefault(split, []).append(Pictures(pixels, labels, names))
    splits = {}
    for split, some in parts.items():
        pictures = np.concatenate([np.asarray(part.pictures) for part in some])
        labels = np.concatenate([part.labels for part in some])
        splits[split] = Pictures(pictures, labels, [name for part in some for name in part.names])
    return LABELS, splits


def _batches(path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield where, name and bytes of each batch, the training batches in their order.

    Raises:
        DataError: E356 there are none, or the archive is damaged.
    """
    known = (*_PICKLED, *_BINARY)
    if path.is_dir():
        for inner in (path, path / "cifar-10-batches-py", path / "cifar-10-batches-bin"):
            files = [inner / name for name in known if (inner / name).is_file()]
            if files:
                yield from ((str(file), file.name, file.read_bytes()) for file in files)
                return
        found = [path / name for name in _ARCHIVES if (path / name).is_file()]
        if not found:
            msg = (
                f"{path} holds no CIFAR-10: data_batch_1 and so on, or {_ARCHIVES[0]}, is expected"
            )
            raise DataError("E356", msg)
        path = found[0]
    try:
        with tarfile.open(path) as archive:
            members = {PurePosixPath(m.name).name: m for m in tar_files(archive)}
            for name in known:
                if name in members and members[name].size <= MAX_BATCH_BYTES:
                    file = archive.extractfile(members[name])
                    assert file is not None
                    yield f"{path}:{members[name].name}", name, file.read()
    except UNREADABLE as err:
        msg = f"{path} cannot be read: {err}; load it again"
        raise DataError("E356", msg) from err


def _binary(raw: bytes, where: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    if not raw or len(raw) % _RECORD:
        msg = f"{where}: wrong length: a multiple of {_RECORD} bytes expected, got {len(raw)}"
        raise DataError("E355", msg)
    rows = np.frombuffer(raw, np.uint8).reshape(-1, _RECORD)
    return _pixels(rows[:, 1:]), _checked(rows[:, 0].astype(np.int64), where)


def _pickled(raw: bytes, where: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    table = read_pickle(raw, where)
    try:
        data, labels = table["data"], table["labels"]
        rows = np.frombuffer(data.raw, np.uint8).reshape(data.shape)
        if rows.shape != (len(labels), _RECORD - 1):
            raise ValueError(rows.shape)
        numbers = np.array(labels, np.int64)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        msg = f"{where}: no batch of CIFAR-10: data (n, {_RECORD - 1}) and n labels are expected"
        raise DataError("E355", msg) from err
    return _pixels(rows), _checked(numbers, where)


def _pixels(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return planes of red, green and blue (n, 3072) as bgr8 (n, 32, 32, 3)."""
    return np.ascontiguousarray(rows.reshape(-1, 3, SIDE, SIDE)[:, ::-1].transpose(0, 2, 3, 1))


def _checked(labels: npt.NDArray[np.int64], where: str) -> npt.NDArray[np.int64]:
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(LABELS):
        wrong = labels[(labels < 0) | (labels >= len(LABELS))]
        msg = f"{where}: wrong label: 0..9 expected, got {wrong[0]} ({len(wrong)} of {len(labels)})"
        raise DataError("E355", msg)
    return labels


@dataclass(slots=True)
class _Array:
    """What a pickle says of a NumPy array."""

    shape: tuple[int, ...] = ()
    raw: bytes = b""


_ARRAY, _DTYPE, _ENCODE = "array", "dtype", "encode"
_GLOBALS = {
    "numpy.core.multiarray _reconstruct": _ARRAY,
    "numpy._core.multiarray _reconstruct": _ARRAY,
    "numpy ndarray": "ndarray",
    "numpy dtype": _DTYPE,
    "_codecs encode": _ENCODE,
}


def read_pickle(raw: bytes, where: str) -> Mapping[str, Any]:
    """Return the dictionary in a pickle, its keys as texts, arrays of bytes as ``_Array``.

    Raises:
        DataError: E355 anything else is in it.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(raw)):
            if opcode.name == "STOP":
                break
            machine.step(opcode.name, argument)
        table = machine.stack[-1]
        return {_text(key): value for key, value in table.items()}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError) as err:
        msg = f"{where}: not a pickle that is safe to read: {err}"
        raise DataError("E355", msg) from err


class _Machine:
    """Does what the few instructions say that plain data needs."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._made: Mapping[str, Callable[[], Any]] = {
            "EMPTY_DICT": dict,
            "EMPTY_LIST": list,
            "EMPTY_TUPLE": tuple,
            "NONE": lambda: None,
            "NEWTRUE": lambda: True,
            "NEWFALSE": lambda: False,
        }

    def step(self, name: str, argument: Any) -> None:
        """Do one instruction."""
        if name in ("PROTO", "FRAME"):
            return
        if name in self._made:
            self.stack.append(self._made[name]())
        elif name.startswith(("BININT", "LONG", "INT")) or "STRING" in name or "UNICODE" in name:
            if name.startswith("LONG_BIN"):
                self._remember(name, argument)
            else:
                self.stack.append(argument)
        elif "BINBYTES" in name:
            self.stack.append(argument)
        elif name in ("BINPUT", "BINGET", "MEMOIZE"):
            self._remember(name, argument)
        else:
            self._build(name, argument)

    def _remember(self, name: str, argument: Any) -> None:
        if name.endswith("GET"):
            self.stack.append(self._memo[argument])
        else:
            self._memo[len(self._memo) if name == "MEMOIZE" else argument] = self.stack[-1]

    def _build(self, name: str, argument: Any) -> None:
        if name == "MARK":
            self._marks.append(len(self.stack))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self._join(len(self.stack) - int(name[-1]))
        elif name == "TUPLE":
            self._join(self._marks.pop())
        elif name in ("APPEND", "APPENDS"):
            items = self._pop(len(self.stack) - 1 if name == "APPEND" else self._marks.pop())
            self.stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self._pop(len(self.stack) - 2 if name == "SETITEM" else self._marks.pop())
            self.stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name == "GLOBAL":
            if argument not in _GLOBALS:
                msg = f"it calls {argument!r}"
                raise ValueError(msg)
            self.stack.append(_GLOBALS[argument])
        elif name == "REDUCE":
            self._call()
        elif name == "BUILD":
            self._fill()
        else:
            msg = f"it holds the instruction {name}"
            raise ValueError(msg)

    def _pop(self, start: int) -> list[Any]:
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _join(self, start: int) -> None:
        self.stack.append(tuple(self._pop(start)))

    def _call(self) -> None:
        function, arguments = self._pop(len(self.stack) - 2)
        if function == _ARRAY:
            self.stack.append(_Array())
        elif function == _DTYPE and _text(arguments[0]) == "u1":
            self.stack.append(_DTYPE)
        elif function == _ENCODE and arguments[1] == "latin1":
            self.stack.append(arguments[0].encode("latin1"))
        else:
            msg = f"it calls {function} with {arguments[:1]}"
            raise ValueError(msg)

    def _fill(self) -> None:
        (state,) = self._pop(len(self.stack) - 1)
        target = self.stack[-1]
        if target == _DTYPE:
            return
        _, target.shape, dtype, is_fortran, raw = state
        if dtype != _DTYPE or is_fortran:
            msg = "an array is not of bytes in C order"
            raise ValueError(msg)
        target.raw = raw if isinstance(raw, bytes) else raw.encode("latin1")


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
