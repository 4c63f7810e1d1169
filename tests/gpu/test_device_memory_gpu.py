"""Memory of a real GPU, by each package that is installed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edgedl.engines.driver import free_gpu_mib
from edgedl.errors import MissingDependencyError
from edgedl.runtime.device_memory import (
    CudaCoreMemory,
    DeviceMemory,
    PycudaMemory,
    find_device_array,
    host_bytes,
)

pytestmark = pytest.mark.gpu


@pytest.fixture(params=[CudaCoreMemory, PycudaMemory])
def provider(request: pytest.FixtureRequest) -> Callable[[int], DeviceMemory]:
    try:
        request.param(0).close()
    except MissingDependencyError as err:
        pytest.skip(str(err))
    return request.param  # type: ignore[no-any-return]


def test_there_and_back(provider: Callable[[int], DeviceMemory]) -> None:
    memory = provider(0)
    content = np.random.default_rng(1).integers(0, 256, 1 << 22, np.uint8)
    with memory.current():
        block = memory.allocate(content.size)
        up, down = (memory.allocate_pinned(content.size) for _ in range(2))
        host_bytes(up)[:] = content
        memory.upload(up, block, content.size)
        memory.download(block, down, content.size - 1)
        memory.synchronize()
        np.testing.assert_array_equal(host_bytes(down)[:-1], content[:-1])
        memory.synchronize_device()
        for one in (block, up, down):
            memory.free(one)
    memory.close()
    memory.close()


def test_memory_comes_back(provider: Callable[[int], DeviceMemory]) -> None:
    provider(0).close()  # the first context takes memory for good
    before = free_gpu_mib()
    for _ in range(8):
        memory = provider(0)
        with memory.current():
            memory.allocate(64 << 20)
            memory.synchronize()
        memory.close()
    after = free_gpu_mib()
    assert before is not None
    assert after is not None
    assert before - after < 4 * 64  # pools may keep some, not all of it


def test_tensors_of_torch(memory: DeviceMemory) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    for dtype in (torch.float32, torch.float16, torch.int64, torch.int8, torch.bool):
        tensor = torch.ones((4, 3), dtype=dtype, device="cuda")
        found = find_device_array(tensor, memory.stream)
        assert found is not None
        assert found.address == tensor.data_ptr()
        assert (found.shape, found.is_packed) == ((4, 3), True)
        assert found.dtype == str(dtype).removeprefix("torch.")
    gaps = find_device_array(torch.ones((4, 4), device="cuda").T[:, :2], memory.stream)
    assert gaps is not None
    assert not gaps.is_packed
