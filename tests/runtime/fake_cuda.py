"""A GPU and a TensorRT that are not there: they keep account, and compute real values.

``FakeMemory`` does what it is told only when it is waited for, as a stream may: who reads too early
or writes too soon gets wrong values here as well. Its blocks are memory of this process; one that
was given back is gone, and every use of it is an error.

``fake_tensorrt`` makes a module whose engines are ONNX files, run by ONNX Runtime. Of each class it
has those names only that all recorded versions of TensorRT have.
"""

from __future__ import annotations

import json
import time
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edgedl.runtime.device_memory import Block, host_bytes

SURFACES = Path(__file__).parents[1] / "engines" / "surfaces"
VERSIONS = ("10.3", "10.13", "11.4", "rtx_1.7")
_TYPES = {
    "tensor(float)": "FLOAT",
    "tensor(float16)": "HALF",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}


def recorded(version: str) -> dict[str, set[str]]:
    """Return the names of each class of a recorded version."""
    classes = json.loads((SURFACES / f"{version}.json").read_text())["classes"]
    return {owner: set(names) for owner, names in classes.items()}


COMMON = {
    owner: set.intersection(*(recorded(version)[owner] for version in VERSIONS))
    for owner in ("Runtime", "ICudaEngine", "IExecutionContext", "TensorIOMode", "ILogger")
}


class FakeMemory:
    """A GPU's memory and stream, as ``edgedl.runtime.device_memory.DeviceMemory``.

    Attributes:
        live: Address to content of the blocks that were not given back.
        events: What happened, in order.
        room_bytes: What an allocation may take at most.
    """

    device, stream = 0, 0xBEEF

    def __init__(self) -> None:
        self.live: dict[int, np.ndarray] = {}
        self.events: list[str] = []
        self.room_bytes = 1 << 30
        self.is_current = self.is_closed = False
        self._queue: list[Callable[[], None]] = []

    @contextmanager
    def current(self) -> Iterator[None]:
        assert not self.is_closed, "used after it was closed"
        assert not self.is_current, "used by two threads at once"
        self.is_current = True
        try:
            yield
        finally:
            self.is_current = False

    def allocate(self, num_bytes: int) -> Block:
        return self._allocated(num_bytes, "device")

    def allocate_pinned(self, num_bytes: int) -> Block:
        return self._allocated(num_bytes, "pinned")

    def upload(self, pinned: Block, block: Block, num_bytes: int) -> None:
        self.events.append(f"upload {num_bytes}")
        self.begin(lambda: self._copy(pinned.address, block.address, num_bytes))

    def download(self, block: Block, pinned: Block, num_bytes: int) -> None:
        self.events.append(f"download {num_bytes}")
        self.begin(lambda: self._copy(block.address, pinned.address, num_bytes))

    def free(self, block: Block) -> None:
        assert self.is_current
        assert not self._queue, "given back while work was under way"
        self.live.pop(block.address)[:] = 0xCD
        self.events.append("free")

    def synchronize(self) -> None:
        assert self.is_current
        self.events.append("synchronize")
        queue, self._queue = self._queue, []
        for job in queue:
            job()

    def synchronize_device(self) -> None:
        self.events.append("synchronize device")

    def close(self) -> None:
        self.is_closed = True
        self.events.append("close")

    def begin(self, job: Callable[[], None]) -> None:
        """Do something when somebody waits for the stream."""
        assert self.is_current
        self._queue.append(job)

    def bytes_at(self, address: int, num_bytes: int) -> np.ndarray:
        """Return memory of a block that is live and large enough."""
        raw = self.live[address]
        assert len(raw) >= num_bytes
        return raw[:num_bytes]

    @property
    def is_idle(self) -> bool:
        return not self._queue

    def _allocated(self, num_bytes: int, where: str) -> Block:
        assert self.is_current
        if num_bytes > self.room_bytes:
            raise MemoryError(f"CUDA_ERROR_OUT_OF_MEMORY: {num_bytes} bytes")
        raw = np.full(num_bytes, 0xCD, np.uint8)
        self.live[raw.ctypes.data] = raw
        self.events.append(f"allocate {where} {num_bytes}")
        return Block(raw.ctypes.data, num_bytes, None)

    def _copy(self, source: int, target: int, num_bytes: int) -> None:
        self.bytes_at(target, num_bytes)[:] = self.bytes_at(source, num_bytes)


class Strict:
    """Base of the fake classes: has no name that one of the recorded versions lacks."""

    owner = ""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_"):
            owner = type(self).owner
            assert name in COMMON[owner], f"not all versions have {owner}.{name}"
        return object.__getattribute__(self, name)


class Fake:
    """What a test says about the module, and what the module tells a test.

    Attributes:
        profiles: Of every engine: input name to smallest, most frequent and largest shape.
        answers: ``"Class.method"`` to what it returns instead; a callable is called for it.
        events: Creation and end of each object, and calls that change something.
        module: The module itself.
    """

    def __init__(self, memory: FakeMemory) -> None:
        self.memory = memory
        self.events = memory.events
        self.profiles: Sequence[Mapping[str, Sequence[tuple[int, ...]]]] = ({},)
        self.answers: dict[str, Any] = {}
        self.dtypes: dict[str, str] = {}
        self.logger: Any = None
        self.module = self._module()

    def say(self, text: str, severity: str = "ERROR") -> None:
        """Log a line as TensorRT does."""
        self.logger.log(types.SimpleNamespace(name=severity), text)

    def answer(self, call: str, otherwise: Any) -> Any:
        """Return what the test chose for a call, else ``otherwise``."""
        chosen = self.answers.get(call, otherwise)
        return chosen() if callable(chosen) else chosen

    def _module(self) -> Any:
        module = types.ModuleType("tensorrt")
        mode = types.SimpleNamespace(INPUT="INPUT", OUTPUT="OUTPUT")
        logger = type("ILogger", (), {"__init__": lambda _self: None})
        fake = self

        def runtime(logger: Any) -> _Runtime:
            if "Runtime" in fake.answers:
                fake.answer("Runtime", None)
                raise TypeError("pybind11::init(): factory function returned nullptr")
            return _Runtime(fake, logger)

        table = {"Runtime": runtime, "TensorIOMode": mode, "ILogger": logger}
        for name, value in table.items():
            setattr(module, name, value)
        return module


class _Tracked(Strict):
    """An object whose end is noted."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake
        fake.events.append(f"create {type(self).owner}")

    def __del__(self) -> None:
        self._fake.events.append(f"delete {type(self).owner}")


class _Runtime(_Tracked):
    owner = "Runtime"

    def __init__(self, fake: Fake, logger: Any) -> None:
        super().__init__(fake)
        fake.logger = logger

    def deserialize_cuda_engine(self, raw: bytes) -> Any:
        assert self._fake.memory.is_current
        answered = self._fake.answer("Runtime.deserialize_cuda_engine", True)
        return _Engine(self._fake, raw) if answered else None


class _Engine(_Tracked):
    owner = "ICudaEngine"

    def __init__(self, fake: Fake, raw: bytes) -> None:
        super().__init__(fake)
        self._session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
        self._into = {node.name: node for node in self._session.get_inputs()}
        self._out = {node.name: node for node in self._session.get_outputs()}
        self._all = {**self._into, **self._out}

    @property
    def num_io_tensors(self) -> int:
        return len(self._all)

    @property
    def num_optimization_profiles(self) -> int:
        return len(self._fake.profiles)

    def get_tensor_name(self, index: int) -> str:
        return list(self._all)[index]

    def get_tensor_mode(self, name: str) -> str:
        return "INPUT" if name in self._into else "OUTPUT"

    def get_tensor_dtype(self, name: str) -> Any:
        found = self._fake.dtypes.get(name, _TYPES[self._all[name].type])
        return types.SimpleNamespace(name=found)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(side if isinstance(side, int) else -1 for side in self._all[name].shape)

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        return list(self._fake.profiles[index][name])

    def is_shape_inference_io(self, name: str) -> bool:
        return bool(self._fake.answer(f"is_shape_inference_io {name}", False))

    def create_execution_context(self) -> Any:
        answered = self._fake.answer("ICudaEngine.create_execution_context", True)
        parts = types.SimpleNamespace(session=self._session, into=self._into, out=self._out)
        return _Context(self._fake, parts) if answered else None


class _Context(_Tracked):
    owner = "IExecutionContext"

    def __init__(self, fake: Fake, engine: Any) -> None:
        super().__init__(fake)
        self._engine = engine
        self._profile = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def __del__(self) -> None:
        assert self._fake.memory.is_idle, "ended while work was under way"
        super().__del__()

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        assert stream == self._fake.memory.stream
        self._fake.events.append(f"profile {index}")
        self._profile = index
        self._shapes.clear()
        self._addresses.clear()
        return bool(self._fake.answer("IExecutionContext.set_optimization_profile_async", True))

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        assert name in self._engine.into
        limits = self._fake.profiles[self._profile].get(name)
        if limits is not None:
            sides = zip(limits[0], shape, limits[2], strict=True)
            assert all(low <= size <= high for low, size, high in sides)
        self._shapes[name] = shape
        return bool(self._fake.answer("IExecutionContext.set_input_shape", True))

    def infer_shapes(self) -> list[str]:
        missing = [name for name in self._engine.into if name not in self._shapes]
        if not missing:
            zeros = {n: np.zeros(self._shapes[n], _numpy(x)) for n, x in self._engine.into.items()}
            outputs = self._engine.session.run(None, zeros)
            for name, array in zip(self._engine.out, outputs, strict=True):
                self._shapes[name] = array.shape
        return list(self._fake.answer("IExecutionContext.infer_shapes", missing))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._fake.answer(f"get_tensor_shape {name}", self._shapes[name]))

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address != 0
        self._addresses[name] = address
        self._fake.events.append(f"address {name}")
        return bool(self._fake.answer("IExecutionContext.set_tensor_address", True))

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == self._fake.memory.stream
        assert set(self._addresses) == {*self._engine.into, *self._engine.out}, (
            "an address was not set"
        )
        if not self._fake.answer("IExecutionContext.execute_async_v3", True):
            return False
        self._fake.events.append("execute")
        time.sleep(0.001)  # another thread may come in between
        addresses, shapes = dict(self._addresses), dict(self._shapes)
        self._fake.memory.begin(lambda: self._compute(addresses, shapes))
        return True

    def _compute(self, addresses: Mapping[str, int], shapes: Mapping[str, Any]) -> None:
        def view(name: str, node: Any) -> np.ndarray:
            dtype = np.dtype(_numpy(node))
            size = int(np.prod(shapes[name], dtype=np.int64)) * dtype.itemsize
            raw = self._fake.memory.bytes_at(addresses[name], size)
            return raw.view(dtype).reshape(shapes[name])

        engine = self._engine
        feeds = {name: view(name, node).copy() for name, node in engine.into.items()}
        outputs = engine.session.run(None, feeds)
        for (name, node), array in zip(engine.out.items(), outputs, strict=True):
            view(name, node)[...] = array


def _numpy(node: Any) -> type[Any]:
    table = {"FLOAT": np.float32, "HALF": np.float16, "INT64": np.int64, "BOOL": np.bool_}
    return table[_TYPES[node.type]]


class CudaArray:
    """An array of somebody else's on the fake GPU, with ``__cuda_array_interface__``."""

    def __init__(self, memory: FakeMemory, array: np.ndarray, packed: bool = True) -> None:
        with memory.current():
            block = memory.allocate(max(array.nbytes, 1))
        host_bytes(block)[: array.nbytes] = np.frombuffer(array.tobytes(), np.uint8)
        self.__cuda_array_interface__ = {
            "shape": array.shape,
            "typestr": array.dtype.str,
            "data": (block.address, False),
            "strides": None if packed else tuple(2 * s for s in array.strides),
            "version": 3,
            "stream": 1,
        }


class DlpackArray:
    """An array on a GPU that offers DLPack, as a torch tensor does."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (2, 0)) -> None:
        self.array, self.device = array, device
        self.streams: list[int] = []

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, stream: int) -> Any:
        self.streams.append(stream)
        return self.array.__dlpack__()
