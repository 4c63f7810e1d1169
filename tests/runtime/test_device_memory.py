"""Memory of a GPU by two packages that are not installed: what they are asked for, and given back.

The fakes have the names and signatures of cuda.core 0.5 and of pycuda 2024 that are used, and no
others. Neither package has been run on a GPU by these tests.
"""

from __future__ import annotations

import ctypes
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from runtime.fake_cuda import CudaArray, DlpackArray, FakeMemory

from edgedl.errors import MachineError, MissingDependencyError
from edgedl.runtime import device_memory
from edgedl.runtime.device_memory import (
    CudaCoreMemory,
    DeviceMemory,
    PycudaMemory,
    find_device_array,
    host_bytes,
    open_device_memory,
    require_gpu,
)


class Driver:
    """What both fakes stand on: blocks of this process, contexts and streams, all counted."""

    def __init__(self) -> None:
        self.live: dict[int, Any] = {}
        self.contexts = 0
        self.streams = 0
        self.waited: list[str] = []

    def allocate(self, num_bytes: int) -> int:
        assert self.contexts, "no context is current"
        assert num_bytes > 0, "num_bytes"
        raw = np.zeros(num_bytes, np.uint8)
        self.live[raw.ctypes.data] = raw
        return int(raw.ctypes.data)

    def free(self, address: int) -> None:
        assert self.contexts
        del self.live[address]

    def copy(self, source: int, target: int, num_bytes: int) -> None:
        assert self.contexts
        ctypes.memmove(target, source, num_bytes)


def fake_cuda_core(driver: Driver) -> types.ModuleType:  # noqa: C901 - many small classes
    class Stream:
        handle = 0xBEEF

        def sync(self) -> None:
            driver.waited.append("stream")

        def close(self) -> None:
            driver.streams -= 1

    class Buffer:
        def __init__(self, address: int, size: int, is_ours: bool) -> None:
            self.handle, self.size, self._is_ours = address, size, is_ours

        @staticmethod
        def from_handle(address: int, size: int) -> Buffer:
            return Buffer(address, size, False)

        def copy_to(self, target: Buffer, *, stream: Stream) -> None:
            assert self.size == target.size, "sizes must match"
            assert isinstance(stream, Stream)
            driver.copy(self.handle, target.handle, self.size)

        def close(self) -> None:
            assert self._is_ours
            driver.free(self.handle)

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        def set_current(self) -> None:
            driver.contexts = 1

        def create_stream(self) -> Stream:
            driver.streams += 1
            return Stream()

        def allocate(self, size: int, *, stream: Stream) -> Buffer:
            assert isinstance(stream, Stream)
            return Buffer(driver.allocate(size), size, True)

        def sync(self) -> None:
            driver.waited.append("device")

    class LegacyPinnedMemoryResource:
        def allocate(self, size: int) -> Buffer:
            return Buffer(driver.allocate(size), size, True)

    core = types.ModuleType("cuda.core")
    for one in (Buffer, Device, LegacyPinnedMemoryResource):
        setattr(core, one.__name__, one)
    return core


def fake_pycuda(driver: Driver) -> types.ModuleType:  # noqa: C901 - many small classes
    module: Any = types.ModuleType("pycuda.driver")

    class Context:
        def push(self) -> None:
            driver.contexts += 1

        @staticmethod
        def pop() -> None:
            driver.contexts -= 1

        @staticmethod
        def synchronize() -> None:
            driver.waited.append("device")

        def detach(self) -> None:
            driver.waited.append("detach")

    class Device:
        def __init__(self, number: int) -> None:
            assert number == 0

        def retain_primary_context(self) -> Context:
            return Context()

    class Stream:
        handle = 0xBEEF

        def __init__(self) -> None:
            assert driver.contexts
            driver.streams += 1

        def __del__(self) -> None:
            driver.streams -= 1

        def synchronize(self) -> None:
            driver.waited.append("stream")

    class Allocation:
        def __init__(self, address: int) -> None:
            self.address = address

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            driver.free(self.address)

    class Pagelocked(np.ndarray):
        """``base`` of the array frees it, as in pycuda."""

        owner: Allocation

        @property
        def base(self) -> Any:
            return self.owner

    def pagelocked_empty(shape: int, dtype: Any) -> np.ndarray:
        address = driver.allocate(shape)
        array = driver.live[address].view(Pagelocked)
        array.owner = Allocation(address)
        assert dtype == np.uint8
        return array

    def htod(target: int, source: np.ndarray, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        driver.copy(source.ctypes.data, target, source.nbytes)

    def dtoh(target: np.ndarray, source: int, stream: Stream) -> None:
        assert isinstance(stream, Stream)
        driver.copy(source, target.ctypes.data, target.nbytes)

    module.init = lambda: None
    module.mem_alloc = lambda size: Allocation(driver.allocate(size))
    module.pagelocked_empty = pagelocked_empty
    module.memcpy_htod_async, module.memcpy_dtoh_async = htod, dtoh
    module.Context, module.Device, module.Stream = Context, Device, Stream
    return module


def install(monkeypatch: pytest.MonkeyPatch, name: str, module: Any) -> None:
    """Make ``import package.name`` give ``module``; None makes it fail."""
    package, _, child = name.partition(".")
    if module is None:
        monkeypatch.setitem(sys.modules, package, None)
        return
    parent = types.ModuleType(package)
    parent.__path__ = []  # type: ignore[attr-defined]
    setattr(parent, child, module)
    monkeypatch.setitem(sys.modules, package, parent)
    monkeypatch.setitem(sys.modules, name, module)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    made = Driver()
    monkeypatch.setattr(device_memory, "gpu_problem", lambda: None)
    install(monkeypatch, "cuda.core", fake_cuda_core(made))
    install(monkeypatch, "pycuda.driver", fake_pycuda(made))
    yield made
    assert made.live == {}
    assert made.streams == 0


@pytest.mark.parametrize("provider", [CudaCoreMemory, PycudaMemory])
def test_there_and_back(provider: Callable[[int], DeviceMemory], driver: Driver) -> None:
    memory = provider(0)
    assert (memory.device, memory.stream) == (0, 0xBEEF)
    with memory.current():
        block, pinned = memory.allocate(100), memory.allocate_pinned(100)
        assert block.num_bytes == pinned.num_bytes == 100
        host_bytes(pinned)[:] = np.arange(100)
        memory.upload(pinned, block, 60)
        host_bytes(pinned)[:] = 0
        memory.download(block, pinned, 50)
        memory.synchronize()
        memory.synchronize_device()
        assert driver.waited == ["stream", "device"]
        np.testing.assert_array_equal(host_bytes(pinned), [*range(50), *[0] * 50])
        memory.free(block)
        assert len(driver.live) == 1
        memory.allocate(5)
    memory.close()
    memory.close()


def test_a_context_of_pycuda_is_current_within_the_block_only(driver: Driver) -> None:
    memory = PycudaMemory(0)
    assert driver.contexts == 0
    with memory.current():
        assert driver.contexts == 1
    with pytest.raises(AssertionError, match="num_bytes"), memory.current():
        memory.allocate(0)
    assert driver.contexts == 0
    memory.close()
    assert driver.waited == ["detach"]


def test_cuda_core_first_then_pycuda(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    memory: Any = open_device_memory()
    assert isinstance(memory, CudaCoreMemory)
    memory.close()
    install(monkeypatch, "cuda", None)
    memory = open_device_memory()
    assert isinstance(memory, PycudaMemory)
    memory.close()
    del memory
    install(monkeypatch, "pycuda", None)
    with pytest.raises(MissingDependencyError, match=r"needs cuda, .*'edgedl\[cuda\]'") as caught:
        open_device_memory()
    assert caught.value.code == "E600"
    assert driver.live == {}


@pytest.mark.usefixtures("driver")
def test_a_package_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "cuda.core", types.ModuleType("cuda.core"))
    monkeypatch.delitem(sys.modules, "cuda.core")
    monkeypatch.setattr(sys.modules["cuda"], "core", None)

    class Broken:
        def find_spec(self, name: str, _path: Any = None, _target: Any = None) -> None:
            if name == "cuda.core":
                raise ImportError("cuda.bindings 12.x or 13.x must be installed")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MachineError, match=r"does not load \(cuda\.bindings 12\.x") as caught:
        open_device_memory()
    assert caught.value.code == "E602"


def test_a_gpu_that_fails(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Any) -> None:
        raise RuntimeError("CUDA_ERROR_ECC_UNCORRECTABLE:\n see the log")

    monkeypatch.setattr(sys.modules["cuda.core"].Device, "create_stream", fail)
    with pytest.raises(MachineError) as caught:
        open_device_memory()
    assert str(caught.value) == (
        "GPU 0 cannot be used: CUDA_ERROR_ECC_UNCORRECTABLE: see the log; see: nvidia-smi"
    )
    assert caught.value.code == "E601"
    assert driver.live == {}


def test_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_memory, "gpu_problem", lambda: "no NVIDIA driver is installed")
    with pytest.raises(MachineError) as caught:
        require_gpu("running x.engine")
    assert str(caught.value) == (
        "running x.engine needs an NVIDIA GPU: no NVIDIA driver is installed; without one use: "
        "--backend onnxruntime"
    )
    with pytest.raises(MachineError, match="no NVIDIA driver"):
        open_device_memory()


def test_what_lies_on_the_host() -> None:
    array = np.zeros((2, 3), np.float32)
    for value in (array, array[0, 0], [1, 2], 3, "a", None, DlpackArray(array, (1, 0))):
        assert find_device_array(value, 1) is None


def test_tensors_of_torch_on_the_host() -> None:
    torch = pytest.importorskip("torch")
    assert find_device_array(torch.zeros(3), 1) is None


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int8", "uint8", "bool"])
def test_dlpack(dtype: str) -> None:
    array = np.ones((4, 2, 3), dtype)
    given = DlpackArray(array[1:])
    found = find_device_array(given, 77)
    assert found is not None
    assert given.streams == [77]
    assert (found.dtype, found.shape, found.device) == (dtype, (3, 2, 3), 0)
    assert found.address == array[1:].ctypes.data
    assert found.is_packed
    assert found.is_ordered


def test_dlpack_that_begins_later() -> None:
    array, shape = np.arange(9, dtype=np.int16), (ctypes.c_int64 * 1)(4)
    tensor = device_memory._DLTensor(
        data=array.ctypes.data, device_type=2, device_id=3, ndim=1, kind=0, bits=16, lanes=1
    )
    tensor.shape, tensor.byte_offset = shape, 6
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = (
        ctypes.py_object,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
    )

    class Given(DlpackArray):
        def __dlpack__(self, stream: int) -> Any:
            assert stream == 1
            return new(ctypes.addressof(tensor), b"dltensor", None)

    found = find_device_array(Given(array), 1)
    assert found is not None
    assert (found.address, found.dtype) == (array[3:].ctypes.data, "int16")
    assert (found.shape, found.device, found.is_packed) == ((4,), 3, True)
    tensor.kind, tensor.lanes = 4, 2
    found = find_device_array(Given(array), 1)
    assert found is not None
    assert found.dtype == "kind 4 of 16 in 2 lanes"


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a,
        lambda a: a[1:2],
        lambda a: a[:, 0:1],
        lambda a: a[:1, 0:1],
        lambda a: a[:, :, ::2],
        lambda a: a.transpose(0, 2, 1),
        lambda a: a[:, :0],
        lambda a: a[:1, :1, :1],
    ],
)
def test_gaps(view: Callable[[np.ndarray], np.ndarray]) -> None:
    array = view(np.zeros((2, 3, 4), np.float32))
    found = find_device_array(DlpackArray(array), 1)
    assert found is not None
    assert found.is_packed == array.flags.c_contiguous


def test_cuda_array_interface() -> None:
    memory = FakeMemory()
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    found = find_device_array(CudaArray(memory, array), 1)
    assert found is not None
    assert (found.dtype, found.shape, found.device) == ("int64", (2, 3), None)
    assert found.is_packed
    assert not found.is_ordered
    assert found.address in memory.live
    gaps = find_device_array(CudaArray(memory, array, packed=False), 1)
    assert gaps is not None
    assert not gaps.is_packed
