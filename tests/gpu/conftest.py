"""What needs a CUDA device: skipped, with the reason, where there is none.

Tests of kernels run a second time, everywhere, with the kernels' code on the host: so the tests
themselves are known to work before they meet a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from emulated_gpu import EmulatedGpu, emulate

from edgedl import _core
from edgedl.engines import tensorrt_api
from edgedl.engines.driver import gpu_problem
from edgedl.errors import MachineError
from edgedl.runtime.device_array import DeviceArrayView
from edgedl.runtime.device_memory import Block, DeviceMemory, host_bytes, open_device_memory

if TYPE_CHECKING:
    from edgedl.engines.tensorrt_api import Package, TensorRT


@pytest.fixture
def gpu() -> None:
    if problem := gpu_problem():
        pytest.skip(problem)


@pytest.fixture(autouse=True)
def gpu_where_it_is_asked_for(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("gpu"):
        request.getfixturevalue("gpu")


@pytest.fixture
def memory(gpu: None) -> Iterator[DeviceMemory]:
    del gpu
    try:
        made = open_device_memory()
    except MachineError as err:
        pytest.skip(str(err))
    yield made
    made.close()


class Gpu:
    """Copies arrays to a GPU and back, with room around each result that nobody may touch."""

    POISON = 0xA5
    ROOM = 256

    def __init__(self, memory: DeviceMemory) -> None:
        self.memory = memory
        self.stream = memory.stream

    def upload(self, array: np.ndarray) -> DeviceArrayView:
        """The same bytes on the GPU, padding between rows included."""
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        content = np.ascontiguousarray(base)
        block = self._filled(content.reshape(-1).view(np.uint8))
        offset = array.ctypes.data - base.ctypes.data
        address = block.address + self.ROOM + offset
        return DeviceArrayView(address, array.shape, array.dtype.name, array.strides, owner=block)

    def poisoned(self, shape: tuple[int, ...], dtype: str) -> DeviceArrayView:
        """A result that nothing has written yet."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        block = self._filled(np.full(size, self.POISON, np.uint8))
        return DeviceArrayView(block.address + self.ROOM, shape, dtype, owner=block)

    def download(self, view: DeviceArrayView) -> np.ndarray:
        """What has been written; the room around it must be as it was."""
        block = view.owner
        pinned = self.memory.allocate_pinned(block.num_bytes)
        self.memory.download(block, pinned, block.num_bytes)
        self.memory.synchronize()
        found = host_bytes(pinned).copy()
        size = math.prod(view.shape) * np.dtype(view.dtype).itemsize
        end = self.ROOM + size
        assert np.all(found[: self.ROOM] == self.POISON)
        assert np.all(found[end:] == self.POISON)
        return found[self.ROOM : end].view(view.dtype).reshape(view.shape)

    def _filled(self, content: np.ndarray) -> Block:
        size = content.size + 2 * self.ROOM
        block, pinned = self.memory.allocate(size), self.memory.allocate_pinned(size)
        staged = host_bytes(pinned)
        staged[:] = self.POISON
        staged[self.ROOM : self.ROOM + content.size] = content
        self.memory.upload(pinned, block, size)
        return block


@pytest.fixture
def real_device(memory: DeviceMemory) -> Iterator[Gpu]:
    if not _core.built_with_cuda():
        pytest.skip("this edgedl was built without CUDA; see: tools/gpu_check --build")
    with memory.current():
        yield Gpu(memory)
        memory.synchronize()


@pytest.fixture(params=["emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gpu | EmulatedGpu:
    if request.param == "gpu":
        return request.getfixturevalue("real_device")  # type: ignore[no-any-return]
    emulate(monkeypatch)
    return EmulatedGpu()


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def trt(request: pytest.FixtureRequest, memory: DeviceMemory) -> TensorRT:
    del memory
    package: Package = request.param
    try:
        return tensorrt_api.load(package)
    except MachineError as err:
        pytest.skip(str(err))
