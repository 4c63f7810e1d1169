"""Memory and one stream of a GPU, whichever package provides them, and arrays that lie there.

What a session needs of CUDA is little: bytes on the device, page-locked bytes on the host, copies
in a stream's order. ``cuda.core`` provides it, or pycuda where that is what is installed. Both use
the device's primary context, which is the one of torch and of the CUDA runtime.

Not yet run on a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgedl.deps import explain_missing
from edgedl.engines.driver import gpu_problem
from edgedl.errors import MachineError, MissingDependencyError

_CUDA_DEVICES = (2, 13)  # kDLCUDA and kDLCUDAManaged of dlpack.h
_DLPACK_KINDS = {0: "int", 1: "uint", 2: "float", 6: "bool"}


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Bytes that were allocated, on the device or page-locked on the host.

    Attributes:
        address: Where they begin.
        num_bytes: How many they are, >= 1.
        owner: What the provider frees them with.
    """

    address: int
    num_bytes: int
    owner: Any


class DeviceMemory(Protocol):
    """Memory of one GPU, and one stream in whose order everything happens.

    Attributes:
        device: Number of the GPU.
        stream: The ``cudaStream_t`` as a number.
    """

    device: int
    stream: int

    def current(self) -> AbstractContextManager[None]:
        """Make the GPU the calling thread's within the block; all below is called inside one."""

    def allocate(self, num_bytes: int) -> Block:
        """Allocate on the device."""

    def allocate_pinned(self, num_bytes: int) -> Block:
        """Allocate page-locked memory on the host; ``host_bytes`` shows it."""

    def upload(self, pinned: Block, block: Block, num_bytes: int) -> None:
        """Begin to copy to the device."""

    def download(self, block: Block, pinned: Block, num_bytes: int) -> None:
        """Begin to copy to the host."""

    def free(self, block: Block) -> None:
        """Give a block back, which no work that is under way may use."""

    def synchronize(self) -> None:
        """Wait until all that was begun on the stream has ended."""

    def synchronize_device(self) -> None:
        """Wait until all streams of the device are idle, also those of others."""

    def close(self) -> None:
        """Give back every block and the stream; calling it twice is fine."""


def require_gpu(doing: str) -> None:
    """Check that there is a driver and a GPU, before anything of TensorRT is created.

    Args:
        doing: What was attempted, as the start of a sentence: ``"running x.engine"``.

    Raises:
        MachineError: E601 there is none.
    """
    if problem := gpu_problem():
        msg = f"{doing} needs an NVIDIA GPU: {problem}; without one use: --backend onnxruntime"
        raise MachineError("E601", msg)


def open_device_memory(device: int = 0) -> DeviceMemory:
    """Return memory and a stream of a GPU, from cuda.core or, where that is missing, pycuda.

    Raises:
        MachineError: E601 no GPU can be used, E602 a package is there but does not load.
        MissingDependencyError: E600 neither package is installed.
    """
    require_gpu("memory of a GPU")
    try:
        try:
            return CudaCoreMemory(device)
        except MissingDependencyError as err:
            try:
                return PycudaMemory(device)
            except MissingDependencyError:
                raise err from None
    except MachineError:
        raise
    except Exception as err:  # the exceptions of CUDA's packages share no base
        msg = f"GPU {device} cannot be used: {' '.join(str(err).split())[:400]}; see: nvidia-smi"
        raise MachineError("E601", msg) from err


def host_bytes(pinned: Block) -> npt.NDArray[np.uint8]:
    """Return page-locked memory as a writable array; it must not outlive the block."""
    return np.ctypeslib.as_array((ctypes.c_uint8 * pinned.num_bytes).from_address(pinned.address))


class CudaCoreMemory:
    """``DeviceMemory`` by cuda.core 0.5 and newer."""

    def __init__(self, device: int) -> None:
        with _loading("cuda.core"):
            import cuda.core as core
        self._core = core
        self.device = device
        self._blocks: set[Block] = set()
        with self.current():
            self._stream: Any = core.Device(device).create_stream()
            self._pinned = core.LegacyPinnedMemoryResource()
        self.stream = int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU the calling thread's; the primary context stays, as in the CUDA runtime."""
        self._core.Device(self.device).set_current()
        yield

    def allocate(self, num_bytes: int) -> Block:
        """Allocate on the device."""
        device = self._core.Device(self.device)
        return self._kept(device.allocate(num_bytes, stream=self._stream), num_bytes)

    def allocate_pinned(self, num_bytes: int) -> Block:
        """Allocate page-locked memory on the host."""
        return self._kept(self._pinned.allocate(num_bytes), num_bytes)

    def upload(self, pinned: Block, block: Block, num_bytes: int) -> None:
        """Begin to copy to the device."""
        self._copy(pinned, block, num_bytes)

    def download(self, block: Block, pinned: Block, num_bytes: int) -> None:
        """Begin to copy to the host."""
        self._copy(block, pinned, num_bytes)

    def free(self, block: Block) -> None:
        """Give a block back."""
        self._blocks.discard(block)
        block.owner.close()

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.sync()

    def synchronize_device(self) -> None:
        """Wait for all streams of the device."""
        self._core.Device(self.device).sync()

    def close(self) -> None:
        """Give back every block and the stream; calling it twice is fine."""
        if self._stream is None:
            return
        with self.current():
            while self._blocks:
                self._blocks.pop().owner.close()
            self._stream.close()
        self._stream = None

    def _kept(self, buffer: Any, num_bytes: int) -> Block:
        block = Block(int(buffer.handle), num_bytes, buffer)
        self._blocks.add(block)
        return block

    def _copy(self, source: Block, target: Block, num_bytes: int) -> None:
        view = self._core.Buffer.from_handle
        view(source.address, num_bytes).copy_to(
            view(target.address, num_bytes), stream=self._stream
        )


class PycudaMemory:
    """``DeviceMemory`` by pycuda."""

    def __init__(self, device: int) -> None:
        with _loading("pycuda"):
            import pycuda.driver as driver
        driver.init()
        self._driver = driver
        self.device = device
        self._context: Any = driver.Device(device).retain_primary_context()
        self._blocks: set[Block] = set()
        with self.current():
            self._stream: Any = driver.Stream()
        self.stream = int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU the calling thread's within the block."""
        self._context.push()
        try:
            yield
        finally:
            self._driver.Context.pop()

    def allocate(self, num_bytes: int) -> Block:
        """Allocate on the device."""
        owner = self._driver.mem_alloc(num_bytes)
        return self._kept(Block(int(owner), num_bytes, owner))

    def allocate_pinned(self, num_bytes: int) -> Block:
        """Allocate page-locked memory on the host."""
        array = self._driver.pagelocked_empty(num_bytes, np.uint8)
        return self._kept(Block(array.ctypes.data, num_bytes, array.base))

    def upload(self, pinned: Block, block: Block, num_bytes: int) -> None:
        """Begin to copy to the device."""
        source = host_bytes(pinned)[:num_bytes]
        self._driver.memcpy_htod_async(block.address, source, self._stream)

    def download(self, block: Block, pinned: Block, num_bytes: int) -> None:
        """Begin to copy to the host."""
        target = host_bytes(pinned)[:num_bytes]
        self._driver.memcpy_dtoh_async(target, block.address, self._stream)

    def free(self, block: Block) -> None:
        """Give a block back."""
        self._blocks.discard(block)
        block.owner.free()

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()

    def synchronize_device(self) -> None:
        """Wait for all streams of the device."""
        self._driver.Context.synchronize()

    def close(self) -> None:
        """Give back every block, the stream and the context; calling it twice is fine."""
        if self._context is None:
            return
        with self.current():
            while self._blocks:
                self._blocks.pop().owner.free()
            self._stream = None
        self._context.detach()
        self._context = None

    def _kept(self, block: Block) -> Block:
        self._blocks.add(block)
        return block


@contextmanager
def _loading(package: str) -> Iterator[None]:
    """Tell a package that is missing from one that is broken."""
    doing = "memory of a GPU"
    try:
        with explain_missing(doing):
            yield
    except MissingDependencyError:
        raise
    except ImportError as err:
        msg = f"{doing}: {package} is installed but does not load ({err}); reinstall it"
        raise MachineError("E602", msg) from err


@dataclass(frozen=True, slots=True)
class DeviceArray:
    """An array of somebody else's that lies on a GPU.

    Attributes:
        address: Of its first element.
        dtype: A NumPy dtype name, or what the array calls a type that NumPy lacks.
        shape: Its sizes.
        is_packed: Its elements lie in row-major order without gaps.
        is_ordered: Its owner has let our stream wait for the work that fills it.
        device: Number of the GPU; None where the array does not say.
        owner: Keeps it alive.
    """

    address: int
    dtype: str
    shape: tuple[int, ...]
    is_packed: bool
    is_ordered: bool
    device: int | None
    owner: Any


def find_device_array(value: Any, stream: int) -> DeviceArray | None:
    """Return what lies on a GPU in ``value``, or None where it lies on the host.

    Args:
        value: Anything; torch tensors and what else offers DLPack or
            ``__cuda_array_interface__`` may lie on a GPU.
        stream: The ``cudaStream_t`` in which it will be read.

    Raises:
        Exception: Whatever its owner raises, e.g. of a tensor that needs gradients.
    """
    if isinstance(value, np.ndarray | np.generic):
        return None
    if hasattr(value, "__dlpack_device__"):
        if value.__dlpack_device__()[0] not in _CUDA_DEVICES:
            return None
        return _from_dlpack(value.__dlpack__(stream=stream))
    if (interface := getattr(value, "__cuda_array_interface__", None)) is not None:
        return _from_interface(value, interface)
    return None


def _from_interface(value: Any, interface: Any) -> DeviceArray:
    shape = tuple(interface["shape"])
    dtype = np.dtype(interface["typestr"])
    strides = interface.get("strides")
    counts = None if strides is None else [stride // dtype.itemsize for stride in strides]
    is_packed = counts is None or _is_packed(shape, counts)
    return DeviceArray(
        interface["data"][0], dtype.name, shape, is_packed, False, device=None, owner=value
    )


class _DLTensor(ctypes.Structure):
    """DLTensor of dlpack.h, with which the content of a capsule named ``dltensor`` begins."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("kind", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


def _from_dlpack(capsule: Any) -> DeviceArray:
    """Read a capsule without taking it over: it frees its tensor when it is dropped."""
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype = ctypes.c_void_p
    pointer_of.argtypes = [ctypes.py_object, ctypes.c_char_p]
    tensor = _DLTensor.from_address(pointer_of(capsule, b"dltensor"))
    shape = tuple(tensor.shape[: tensor.ndim])
    counts = list(tensor.strides[: tensor.ndim]) if tensor.strides else None
    kind = _DLPACK_KINDS.get(tensor.kind, f"kind {tensor.kind} of ")
    dtype = kind if kind == "bool" else f"{kind}{tensor.bits}"
    return DeviceArray(
        (tensor.data or 0) + tensor.byte_offset,
        dtype if tensor.lanes == 1 else f"{dtype} in {tensor.lanes} lanes",
        shape,
        counts is None or _is_packed(shape, counts),
        True,
        tensor.device_id,
        capsule,
    )


def _is_packed(shape: tuple[int, ...], strides: list[int]) -> bool:
    """Whether strides, in elements, are those of a row-major array; axes of size 1 have any."""
    if 0 in shape:
        return True
    wanted = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return all(size == 1 or a == b for size, a, b in zip(shape, strides, wanted, strict=True))
