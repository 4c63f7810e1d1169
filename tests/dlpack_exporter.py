"""An array that is lent through DLPack, made by hand: of both kinds, and with any fault."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


NAMES = (b"dltensor", b"dltensor_versioned")
DELETER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", DELETER)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", DELETER),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


class Exporter:
    """An array with DLPack, of the old or the new kind, that counts what is done with it."""

    def __init__(
        self, array: np.ndarray, *, version: int, device: tuple[int, int] = (2, 0), flags: int = 0
    ) -> None:
        self.array, self.version, self.device, self.flags = array, version, device, flags
        self.deleted = 0
        self.streams: list[int | None] = []
        self._given: dict[int, Any] = {}
        self.major = 1
        self.lanes = 1
        self.changes: dict[str, Any] = {}
        """Fields of the tensor that shall say something else."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: int | None = None, **options: Any) -> Any:
        if options and self.version == 0:
            msg = "unexpected keyword argument 'max_version'"
            raise TypeError(msg)
        self.streams.append(stream)
        array = self.array
        axes = ctypes.c_int64 * array.ndim
        shape, strides = axes(*array.shape), axes(*(s // array.itemsize for s in array.strides))
        code = {"i": 0, "u": 1, "f": 2, "b": 6}[array.dtype.kind]
        tensor = Tensor(array.ctypes.data, *self.device, array.ndim, code, array.itemsize * 8)
        tensor.lanes, tensor.shape, tensor.strides = self.lanes, shape, strides
        for name, value in self.changes.items():
            setattr(tensor, name, value)
        deleter = DELETER(self._delete)
        managed: Managed | Versioned = Managed(tensor, None, deleter)
        version = self.version if "max_version" in options else 0  # who asks for none is an old one
        if version == 1:
            managed = Versioned(self.major, 0, None, deleter, self.flags, tensor)
        self._given[ctypes.addressof(managed)] = (managed, shape, strides, deleter)
        new = ctypes.pythonapi.PyCapsule_New
        new.restype = ctypes.py_object
        new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        return new(ctypes.addressof(managed), NAMES[version], None)

    def _delete(self, address: int) -> None:
        assert address in self._given
        self.deleted += 1
