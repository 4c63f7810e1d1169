"""Runs engines of TensorRT 10, 11 and TensorRT-RTX: deserialised, fed, and given back in order.

The subset of the runtime's interface that all of them share is ``API``. Every call that answers
None or False is checked: TensorRT does not raise, it logs, and what it logged is in the error.

Not yet run on a GPU.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from edgedl.engines.tensorrt_api import load
from edgedl.engines.trt_log import captured
from edgedl.errors import BundleError, EdgedlError
from edgedl.runtime.device_memory import (
    Block,
    DeviceArray,
    DeviceMemory,
    find_device_array,
    host_bytes,
    open_device_memory,
    require_gpu,
)
from edgedl.spec import TensorSpec

if TYPE_CHECKING:
    from edgedl.engines.tensorrt_api import Package
    from edgedl.runtime.session import Array

API: Mapping[str, tuple[str, ...]] = {
    "ICudaEngine": (
        "create_execution_context",
        "get_tensor_dtype",
        "get_tensor_mode",
        "get_tensor_name",
        "get_tensor_profile_shape",
        "get_tensor_shape",
        "is_shape_inference_io",
        "num_io_tensors",
        "num_optimization_profiles",
    ),
    "IExecutionContext": (
        "execute_async_v3",
        "get_tensor_shape",
        "infer_shapes",
        "set_input_shape",
        "set_optimization_profile_async",
        "set_tensor_address",
    ),
    "Runtime": ("deserialize_cuda_engine",),
    "TensorIOMode": ("INPUT",),
}
"""Everything this file uses of every flavour; the tests hold it against recorded versions."""

_DTYPES = {
    "FLOAT": "float32",
    "HALF": "float16",
    "INT64": "int64",
    "INT32": "int32",
    "INT8": "int8",
    "UINT8": "uint8",
    "BOOL": "bool",
}

Shape = tuple[int, ...]
Profile = Mapping[str, Sequence[Shape]]
"""Smallest, most frequent and largest shape of every dynamic input."""


@dataclass(slots=True)
class _Room:
    """Memory of one input or output on both sides; it grows, and is used again."""

    device: Block | None = None
    pinned: Block | None = None


class TrtSession:
    """One engine, one execution context, one stream; ``run`` may be called from any thread.

    Attributes:
        backend: ``tensorrt`` or ``tensorrt_rtx``.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(
        self, raw: bytes, package: Package, name: str, memory: DeviceMemory | None = None
    ) -> None:
        """Open an engine from its bytes.

        Args:
            raw: A serialised engine. It is code: whoever calls this trusts it.
            package: The flavour it was built with.
            name: Of the engine, for errors.
            memory: The GPU and stream to use, which stay the caller's; None opens the first GPU.

        Raises:
            MachineError: E601 no GPU, E602 TensorRT does not load.
            MissingDependencyError: E600 TensorRT, or what provides GPU memory, is not installed.
            BundleError: E412 TensorRT refused the engine; its log is in the message.
        """
        require_gpu(f"running {name}")
        self.backend: str = package
        self._name = name
        self._trt = load(package)
        self._lock = threading.Lock()
        self._runtime: Any = None
        self._engine: Any = None
        self._context: Any = None
        self._profiles: list[Profile] = []
        self._profile = 0
        self._given: dict[str, Shape] = {}
        self._shapes: dict[str, Shape] = {}
        self._addresses: dict[str, int] = {}
        self._rooms: dict[str, _Room] = {}
        self._is_own_memory = memory is None
        self._memory: DeviceMemory | None = memory or open_device_memory()
        try:
            with self._memory.current(), captured(self._trt.module) as self._log:
                self._open(raw)
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Array]:
        """Return all outputs by name.

        Args:
            feeds: All inputs by name: arrays of the host, or of this GPU (torch tensors, anything
                with DLPack or ``__cuda_array_interface__``), which are read where they lie.

        Returns:
            Arrays of the host, the caller's own.

        Raises:
            BundleError: E413 inputs do not fit the engine, E415 running it failed.
        """
        with self._lock:
            if self._memory is None:
                msg = f"{self._name} was closed"
                raise RuntimeError(msg)
            with self._memory.current(), captured(self._trt.module) as self._log:
                try:
                    return self._run(feeds, self._memory)
                except EdgedlError:
                    raise
                except Exception as err:  # noqa: BLE001 - CUDA's exceptions share no base
                    self._fail("E415", _one_line(err), err)

    @property
    def most_rows(self) -> int | None:
        """The most rows its profiles take at once; None where the first axis of all is fixed."""
        rows = [s.name for s in self.inputs if isinstance(s.shape[0], str)]
        most = [min(profile[name][2][0] for name in rows) for profile in self._profiles if rows]
        return max(most, default=None)

    def close(self) -> None:
        """Give back context, engine and runtime, in this order, then memory; twice is fine."""
        with self._lock:
            memory, self._memory = self._memory, None
            if memory is None:
                return
            with memory.current():
                memory.synchronize()  # a context must not go while it works
                self._context = None
                self._engine = None
                self._runtime = None
                for block in (b for r in self._rooms.values() for b in (r.device, r.pinned)):
                    if block is not None:
                        memory.free(block)
            self._rooms.clear()
            if self._is_own_memory:
                memory.close()

    def _open(self, raw: bytes) -> None:
        """Deserialise, create a context, and read what goes in and out."""
        try:
            self._runtime = self._trt.module.Runtime(self._log.logger)
            self._engine = self._runtime.deserialize_cuda_engine(raw)
            if self._engine is None:
                self._refuse("it is no engine for this version and this GPU")
            self._context = self._engine.create_execution_context()
        except EdgedlError:
            raise
        except Exception as err:  # noqa: BLE001 - pybind11's TypeError where a constructor gave null
            self._refuse(_one_line(err), err)
        if self._context is None:
            self._refuse("it gave no execution context")
        engine = self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        is_input = self._trt.module.TensorIOMode.INPUT
        into = [name for name in names if engine.get_tensor_mode(name) == is_input]
        self.inputs = tuple(map(self._spec, into))
        self.outputs = tuple(self._spec(name) for name in names if name not in into)
        self._rooms = {name: _Room() for name in names}
        dynamic = [s.name for s in self.inputs if any(isinstance(side, str) for side in s.shape)]
        self._profiles = [
            {name: [*map(tuple, engine.get_tensor_profile_shape(name, i))] for name in dynamic}
            for i in range(engine.num_optimization_profiles)
        ]

    def _spec(self, name: str) -> TensorSpec:
        if self._engine.is_shape_inference_io(name):
            self._refuse(f"{name} holds sizes, which edgedl does not feed")
        dtype = self._engine.get_tensor_dtype(name).name
        if dtype not in _DTYPES:
            self._refuse(f"{name} is {dtype}, which NumPy has not")
        sides = enumerate(tuple(self._engine.get_tensor_shape(name)))
        shape = tuple(side if side >= 0 else "?" if axis else "N" for axis, side in sides)
        return TensorSpec(name=name, dtype=_DTYPES[dtype], shape=shape)

    def _run(self, feeds: Mapping[str, Any], memory: DeviceMemory) -> dict[str, Array]:
        arrays = self._checked(feeds, memory)
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        if shapes != self._given:
            self._set_shapes(shapes, memory)
        for spec in self.inputs:
            if not isinstance(arrays[spec.name], DeviceArray):
                self._room(spec, memory)  # grown before anything is under way
        try:
            for spec in self.inputs:
                self._feed(spec, arrays[spec.name], memory)
            if not self._context.execute_async_v3(memory.stream):
                self._fail("E415", "it did not start")
            for spec in self.outputs:
                device, pinned = self._room(spec, memory)
                memory.download(device, pinned, self._size(spec))
        finally:
            memory.synchronize()  # what was begun reads and writes the rooms
        return {spec.name: self._pinned_array(spec, memory).copy() for spec in self.outputs}

    def _checked(
        self, feeds: Mapping[str, Any], memory: DeviceMemory
    ) -> dict[str, Array | DeviceArray]:
        """Return the inputs, each where it lies."""
        wanted = [spec.name for spec in self.inputs]
        if sorted(map(str, feeds)) != sorted(wanted):
            got = ", ".join(map(str, feeds)) or "none"
            self._fail("E413", f"expected inputs {', '.join(wanted)}; got {got}")
        return {s.name: self._checked_input(s, feeds[s.name], memory) for s in self.inputs}

    def _checked_input(
        self, spec: TensorSpec, value: Any, memory: DeviceMemory
    ) -> Array | DeviceArray:
        try:
            found = find_device_array(value, memory.stream)
            array = np.asarray(value) if found is None else found
        except Exception as err:  # noqa: BLE001 - whatever the owner of the array raises
            self._fail("E413", f"{spec.name} cannot be read: {_one_line(err)}", err)
        shape, dtype = tuple(array.shape), str(array.dtype)
        fits = len(shape) == len(spec.shape) and all(
            isinstance(side, str) or side == size
            for side, size in zip(spec.shape, shape, strict=True)
        )
        if not fits or dtype != spec.dtype:
            wanted = f"({', '.join(map(str, spec.shape))}) {spec.dtype}"
            self._fail("E413", f"expected {spec.name} {wanted}; got {shape} {dtype}")
        if isinstance(array, DeviceArray):
            if array.device not in (None, memory.device):
                where = f"on GPU {memory.device}; got GPU {array.device}"
                self._fail("E413", f"expected {spec.name} {where}")
            if not array.is_packed:
                self._fail("E413", f"expected {spec.name} without gaps; call .contiguous() on it")
        return array

    def _set_shapes(self, given: dict[str, Shape], memory: DeviceMemory) -> None:
        """Tell the context what comes, in the profile made for it, and make room for outputs."""
        self._given = {}  # until all of it succeeded
        profile = self._profile_for(given)
        if profile != self._profile:
            if not self._context.set_optimization_profile_async(profile, memory.stream):
                self._fail("E415", f"its profile {profile} cannot be chosen")
            self._profile = profile
            self._addresses.clear()
        for name, shape in given.items():
            if not self._context.set_input_shape(name, shape):
                self._fail("E413", f"{name} of shape {shape} was refused")
        if missing := self._context.infer_shapes():
            self._fail("E415", f"the size of {', '.join(missing)} is not known")
        self._shapes = dict(given)
        for spec in self.outputs:
            shape = tuple(self._context.get_tensor_shape(spec.name))
            if any(side < 0 for side in shape):
                self._fail("E415", f"the size of {spec.name} depends on the data: {shape}")
            self._shapes[spec.name] = shape
            self._set_address(spec.name, self._room(spec, memory)[0].address)
        self._given = given

    def _profile_for(self, given: Mapping[str, Shape]) -> int:
        """Return the profile whose most frequent shapes are nearest, of those that allow these."""
        fitting = [
            (_distance(profile, given), index)
            for index, profile in enumerate(self._profiles)
            if all(_allows(profile[name], given[name]) for name in profile)
        ]
        if not fitting:
            allowed = " or ".join(map(_described, self._profiles))
            got = ", ".join(f"{name} {given[name]}" for name in self._profiles[0])
            self._fail(
                "E413",
                f"the engine was built for {allowed}; got {got}; build another one: "
                "edgedl build X.edge, with --batch or --shapes",
            )
        return min(fitting)[1]

    def _feed(self, spec: TensorSpec, array: Array | DeviceArray, memory: DeviceMemory) -> None:
        """Set where an input lies, after its copy has begun if it needs one."""
        if isinstance(array, DeviceArray):
            if not array.is_ordered:
                memory.synchronize_device()
            self._set_address(spec.name, array.address)
            return
        device, pinned = self._room(spec, memory)
        self._pinned_array(spec, memory)[...] = array
        memory.upload(pinned, device, self._size(spec))
        self._set_address(spec.name, device.address)

    def _set_address(self, name: str, address: int) -> None:
        if self._addresses.get(name) == address:
            return
        if not self._context.set_tensor_address(name, address):
            self._fail("E415", f"the address of {name} was refused")
        self._addresses[name] = address

    def _room(self, spec: TensorSpec, memory: DeviceMemory) -> tuple[Block, Block]:
        """Return memory of the device and of the host for a tensor, grown if it is too small."""
        room, wanted = self._rooms[spec.name], max(self._size(spec), 1)
        if room.device is None or room.device.num_bytes < wanted:
            old, room.device = room.device, None
            if old is not None:
                memory.free(old)
            room.device = memory.allocate(wanted)
        if room.pinned is None or room.pinned.num_bytes < wanted:
            old, room.pinned = room.pinned, None
            if old is not None:
                memory.free(old)
            room.pinned = memory.allocate_pinned(wanted)
        return room.device, room.pinned

    def _pinned_array(self, spec: TensorSpec, memory: DeviceMemory) -> Array:
        """Return the host's side of a tensor, which the next call overwrites."""
        raw = host_bytes(self._room(spec, memory)[1])[: self._size(spec)]
        return raw.view(spec.dtype).reshape(self._shapes[spec.name])

    def _size(self, spec: TensorSpec) -> int:
        return math.prod(self._shapes[spec.name]) * np.dtype(spec.dtype).itemsize

    def _refuse(self, what: str, cause: Exception | None = None) -> NoReturn:
        again = "build it again on this machine: edgedl build"
        reasons = "; ".join([what, *self._log.errors[:4], again])
        raise BundleError("E412", f"{self._name} cannot run on {self._trt}: {reasons}") from cause

    def _fail(self, code: str, what: str, cause: Exception | None = None) -> NoReturn:
        reasons = "; ".join([what, *self._log.errors[:4]])
        raise BundleError(code, f"{self._name} failed to run: {reasons}") from cause


def _allows(limits: Sequence[Shape], shape: Shape) -> bool:
    low, _, high = limits
    return all(a <= size <= b for a, size, b in zip(low, shape, high, strict=True))


def _distance(profile: Profile, shapes: Mapping[str, Shape]) -> int:
    """Return how far shapes are from those a profile was tuned for, in elements."""
    return sum(abs(math.prod(shapes[name]) - math.prod(profile[name][1])) for name in profile)


def _described(profile: Profile) -> str:
    return ", ".join(f"{name} {low} to {high}" for name, (low, _, high) in profile.items())


def _one_line(err: Exception) -> str:
    text = " ".join(str(err).split()) or type(err).__name__
    return text if len(text) <= 400 else text[:400] + "…"
