"""What needs a CUDA device: skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from edgedl.engines import tensorrt_api
from edgedl.engines.driver import gpu_problem
from edgedl.errors import MachineError
from edgedl.runtime.device_memory import DeviceMemory, open_device_memory

if TYPE_CHECKING:
    from edgedl.engines.tensorrt_api import Package, TensorRT


@pytest.fixture(autouse=True)
def gpu() -> None:
    if problem := gpu_problem():
        pytest.skip(problem)


@pytest.fixture
def memory(gpu: None) -> Iterator[DeviceMemory]:
    del gpu
    try:
        made = open_device_memory()
    except MachineError as err:
        pytest.skip(str(err))
    yield made
    made.close()


@pytest.fixture(params=["tensorrt", "tensorrt_rtx"])
def trt(request: pytest.FixtureRequest, memory: DeviceMemory) -> TensorRT:
    del memory
    package: Package = request.param
    try:
        return tensorrt_api.load(package)
    except MachineError as err:
        pytest.skip(str(err))
