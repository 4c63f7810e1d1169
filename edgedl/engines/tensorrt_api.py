"""The one file that talks to TensorRT: the subset that 10.x, 11.x and TensorRT-RTX share.

What years of version differences teach:

- Names are looked up, numbers never used: STRONGLY_TYPED is 1 in one version and 0 in another.
- Networks are always strongly typed; the precision is in the ONNX graph. The builder flags and
  calibrators that once chose it are gone from TensorRT 11.
- Every call that answers None, False or -1 is checked: TensorRT does not raise, it logs. The
  lines logged meanwhile are part of the error.
- TensorRT keeps the first logger of a process for good, so there is exactly one here.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from edgedl.deps import explain_missing
from edgedl.errors import BundleError, MachineError, UsageError

Package = Literal["tensorrt", "tensorrt_rtx"]
Progress = Callable[[float], None]
Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

API: Mapping[str, tuple[str, ...]] = {
    "Builder": (
        "build_serialized_network",
        "create_builder_config",
        "create_network",
        "create_optimization_profile",
    ),
    "IBuilderConfig": (
        "add_optimization_profile",
        "builder_optimization_level",
        "progress_monitor",
        "set_memory_pool_limit",
    ),
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
    "ILogger": ("log",),
    "INetworkDefinition": ("get_input", "get_output", "num_inputs", "num_layers", "num_outputs"),
    "IOptimizationProfile": ("set_shape",),
    "IProgressMonitor": ("phase_finish", "phase_start", "step_complete"),
    "ITensor": ("dtype", "name", "shape"),
    "MemoryPoolType": ("WORKSPACE",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "OnnxParser": ("get_error", "num_errors", "parse"),
    "ParserError": ("desc", "node_name", "node_operator"),
    "Runtime": ("deserialize_cuda_engine",),
    "TensorIOMode": ("INPUT",),
}
"""All that is used of every flavour, here and to run engines (``edgedl/runtime/trt_session.py``);
the tests hold it against recorded versions."""

RTX_API: Mapping[str, tuple[str, ...]] = {
    "ComputeCapability": ("SM80", "SM86", "SM89", "SM120"),
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
}
"""What is used of TensorRT-RTX only: it builds for GPUs that are not there."""

_ERRORS = ("ERROR", "INTERNAL_ERROR")
_DRIVERLESS_NOISE = "catchCudaError"  # two such lines follow every error where no driver is
_PACKAGE_NAMES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}


@dataclass(frozen=True, slots=True)
class TensorRT:
    """One installed flavour.

    Attributes:
        module: The imported package.
        package: ``tensorrt`` or ``tensorrt_rtx``.
        version: As the package says it: ``1.7.1.116``.
    """

    module: Any
    package: Package
    version: str

    @property
    def is_rtx(self) -> bool:
        """Whether engines can be built for GPUs that are not in this machine."""
        return self.package == "tensorrt_rtx"

    @property
    def short_version(self) -> str:
        """Return ``1.7`` of ``1.7.1.116``: what an engine's compatibility hangs on."""
        return ".".join(self.version.split(".")[:2])

    def __str__(self) -> str:
        return f"{_PACKAGE_NAMES[self.package]} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """How a graph becomes an engine.

    Attributes:
        batch: Smallest, most frequent and largest size of a dynamic first axis.
        compute_capabilities: GPUs to build for, e.g. ``("8.6", "8.9")``; TensorRT-RTX only. Empty:
            what TensorRT-RTX takes as default, all of 8.0, 8.6, 8.9, 12.0 and later.
        workspace_mib: Limit of scratch memory; None leaves TensorRT's own.
        optimization_level: 0 (fast build) to 5 (fast engine); None leaves TensorRT's own.
    """

    batch: tuple[int, ...] = (1, 1, 8)
    compute_capabilities: tuple[str, ...] = ()
    workspace_mib: int | None = None
    optimization_level: int | None = None

    def __post_init__(self) -> None:
        if len(self.batch) != 3 or not 1 <= self.batch[0] <= self.batch[1] <= self.batch[2]:
            msg = f"[engine] batch must be three sizes 1 <= min <= opt <= max; got {self.batch}"
            raise UsageError("E110", msg)


@dataclass(frozen=True, slots=True)
class Built:
    """An engine and what is known about it.

    Attributes:
        plan: The serialised engine.
        num_layers: Layers of the network as TensorRT parsed it.
        inputs: Name, dtype and shape of each input; -1 is the dynamic axis.
        outputs: The same of each output.
        profiles: Input name to (min, opt, max) shape.
        warnings: What TensorRT warned about.
    """

    plan: bytes
    num_layers: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    profiles: dict[str, Shapes]
    warnings: list[str]


@dataclass(frozen=True, slots=True, eq=False)
class Capture:
    """What TensorRT logged inside one ``captured`` block.

    Attributes:
        logger: The one logger of the process, for whatever is created in the block.
        lines: Severity and text of each line.
    """

    logger: Any
    lines: list[tuple[str, str]] = field(default_factory=list)
    thread: int = field(default_factory=threading.get_ident)

    def reasons(self, details: Sequence[str] = ()) -> str:
        """Return ``details`` and the errors that were logged, on one line."""
        lines = [*details, *(text for severity, text in self.lines if severity in _ERRORS)]
        return "; ".join(dict.fromkeys(lines[:4])) or "TensorRT gave no reason"


@dataclass
class _Log:
    """The one logger of a flavour, and the blocks that listen to it."""

    logger: Any = None
    captures: list[Capture] = field(default_factory=list)

    def write(self, severity: str, text: str) -> None:
        """Hand a line to the blocks of this thread; TensorRT's own threads belong to all."""
        mine = [c for c in self.captures if c.thread == threading.get_ident()]
        for capture in mine or list(self.captures):
            capture.lines.append((severity, text))


_logs: dict[str, _Log] = {}
_one_at_a_time = threading.Lock()


def load(package: Package) -> TensorRT:
    """Import a flavour of TensorRT.

    Raises:
        MissingDependencyError: E600, it is not installed.
        MachineError: E602, it is installed but does not load, or is not a version we know.
    """
    doing = f"building {_PACKAGE_NAMES[package]} engines"
    try:
        with explain_missing(doing):
            if package == "tensorrt_rtx":
                import tensorrt_rtx as module
            else:
                import tensorrt as module
    except (ModuleNotFoundError, MachineError):
        raise
    except (ImportError, OSError, RuntimeError) as err:
        msg = f"{doing}: {package} is installed but does not load ({err}); reinstall it"
        raise MachineError("E602", msg) from err
    return checked(TensorRT(module, package, str(module.__version__)))


def checked(trt: TensorRT) -> TensorRT:
    """Return ``trt`` if its version is one this adapter was written for.

    Raises:
        MachineError: E602 otherwise, or when a name of the interface is missing.
    """
    major = trt.version.partition(".")[0]
    if not trt.is_rtx and major not in ("10", "11"):
        msg = f"TensorRT 10 or 11 is needed; {trt.version} is installed"
        raise MachineError("E602", msg)
    tables = (API, RTX_API) if trt.is_rtx else (API,)
    for table in tables:
        for owner, names in table.items():
            for name in names:
                if not hasattr(getattr(trt.module, owner, None), name):
                    msg = f"{trt} has no {owner}.{name}; supported: TensorRT 10, 11, RTX 1"
                    raise MachineError("E602", msg)
    return trt


def gpu_problem() -> str | None:
    """Return why no CUDA GPU can be used here, or None where one can.

    Asked before anything of TensorRT is created: without a driver some versions crash the process
    instead of failing.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed (libcuda.so.1 was not found)"
    if (status := cuda.cuInit(0)) != 0:
        return f"the NVIDIA driver does not start (cuInit answered {status})"
    count = ctypes.c_int(0)
    if (status := cuda.cuDeviceGetCount(ctypes.byref(count))) != 0 or count.value == 0:
        return f"the NVIDIA driver sees no GPU (cuDeviceGetCount answered {status})"
    return None


def build(
    trt: TensorRT,
    onnx: bytes,
    options: NetworkOptions,
    progress: Progress | None = None,
) -> Built:
    """Build an engine from the bytes of an ONNX file.

    Args:
        trt: From ``load``. Plain TensorRT builds for the GPU present and needs one;
            TensorRT-RTX needs none.
        onnx: A graph without external data; its dtypes and Q/DQ nodes are the precision.
        options: Profiles, GPUs, limits.
        progress: Called with 0..1; an exception raised in it (also Ctrl-C) stops the build.

    Raises:
        MachineError: E601, plain TensorRT without a GPU.
        BundleError: E425, with what TensorRT logged.
    """
    if not trt.is_rtx and (problem := gpu_problem()):
        msg = f"building with {trt} needs the GPU it will run on: {problem}"
        raise MachineError("E601", msg)
    with _one_at_a_time, captured(trt) as log:
        builder = _made(trt.module.Builder(log.logger), "create a builder", log)
        flag = 1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = _made(builder.create_network(flag), "create a network", log)
        _parse(trt, network, onnx, log)
        config = _made(builder.create_builder_config(), "create a builder config", log)
        _configure(trt, config, options)
        profiles = _add_profile(builder, config, network, options.batch, log)
        monitor = _monitor(trt, progress) if progress else None
        if monitor is not None:
            config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if monitor is not None and monitor.stopped_by is not None:
            raise monitor.stopped_by
        plan = _made(plan, "build the engine", log)
        return Built(
            plan=bytes(plan),
            num_layers=network.num_layers,
            inputs=_describe(network.num_inputs, network.get_input),
            outputs=_describe(network.num_outputs, network.get_output),
            profiles=profiles,
            warnings=[text for severity, text in log.lines if severity == "WARNING"],
        )


@contextmanager
def captured(trt: TensorRT) -> Iterator[Capture]:
    """Collect what TensorRT logs inside the block; several threads may be in one each."""
    log = _logs.setdefault(trt.package, _Log())
    if log.logger is None:
        log.logger = _make_logger(trt, log)
    capture = Capture(log.logger)
    log.captures.append(capture)
    try:
        yield capture
    finally:
        log.captures.remove(capture)


def _make_logger(trt: TensorRT, log: _Log) -> Any:
    class Logger(trt.module.ILogger):  # type: ignore[misc, name-defined]
        """Writes into the blocks that listen."""

        def __init__(self) -> None:
            trt.module.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            """Keep one line; TensorRT calls this, also from threads of its own."""
            if _DRIVERLESS_NOISE not in text:
                log.write(severity.name, text.strip())

    return Logger()


def _made(value: Any, doing: str, log: Capture) -> Any:
    """Return ``value``, or raise with the log when TensorRT answered None."""
    if value is None:
        raise _failed(doing, log)
    return value


def _failed(doing: str, log: Capture, details: Sequence[str] = ()) -> BundleError:
    return BundleError("E425", f"TensorRT could not {doing}: {log.reasons(details)}")


def _parse(trt: TensorRT, network: Any, onnx: bytes, log: Capture) -> None:
    """Fill the network. An empty file parses 'successfully', hence the second condition."""
    parser = _made(trt.module.OnnxParser(network, log.logger), "create an ONNX parser", log)
    if parser.parse(onnx) and network.num_layers > 0 and network.num_outputs > 0:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    details = [f"{e.node_operator()} {e.node_name()!r}: {_first_line(e.desc())}" for e in errors]
    doing = "read the ONNX graph"
    raise _failed(doing, log, details or ["the graph is empty"])


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _configure(trt: TensorRT, config: Any, options: NetworkOptions) -> None:
    if options.workspace_mib is not None:
        pool = trt.module.MemoryPoolType.WORKSPACE
        config.set_memory_pool_limit(pool, options.workspace_mib << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if not options.compute_capabilities:
        return
    if not trt.is_rtx:
        msg = f"{trt} builds for the GPU that is present; leave compute_capabilities empty"
        raise UsageError("E110", msg)
    known = trt.module.ComputeCapability.__members__
    config.num_compute_capabilities = len(options.compute_capabilities)
    for index, wanted in enumerate(options.compute_capabilities):
        capability = known.get("SM" + wanted.replace(".", ""))
        if capability is None or not config.set_compute_capability(capability, index):
            msg = (
                f"{trt} cannot build for compute capability {wanted}; it knows "
                f"{', '.join(name for name in known if name.startswith('SM'))} "
                "(engines for a Jetson are built on the Jetson)"
            )
            raise UsageError("E110", msg)


def _add_profile(
    builder: Any, config: Any, network: Any, batch: Sequence[int], log: Capture
) -> dict[str, Shapes]:
    """Give every input with a dynamic first axis its range of sizes."""
    profile = _made(builder.create_optimization_profile(), "create a profile", log)
    shapes: dict[str, Shapes] = {}
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        first, *rest = tuple(tensor.shape) or (1,)
        if -1 in rest:
            doing = f"choose sizes for input {tensor.name} of shape {tuple(tensor.shape)}"
            raise _failed(doing, log, ["only the first axis may be dynamic"])
        if first == -1:
            low, usual, high = ((size, *rest) for size in batch)
            profile.set_shape(tensor.name, low, usual, high)
            shapes[tensor.name] = (low, usual, high)
    if shapes and config.add_optimization_profile(profile) < 0:
        doing = f"use the profile {shapes}"
        raise _failed(doing, log)
    return shapes


def _describe(count: int, tensor_at: Callable[[int], Any]) -> list[dict[str, Any]]:
    tensors = [tensor_at(index) for index in range(count)]
    return [
        {"name": t.name, "dtype": t.dtype.name.lower(), "shape": list(t.shape)} for t in tensors
    ]


def _monitor(trt: TensorRT, progress: Progress) -> Any:
    class Monitor(trt.module.IProgressMonitor):  # type: ignore[misc, name-defined]
        """Turns the steps of the outermost phase into a fraction."""

        def __init__(self) -> None:
            trt.module.IProgressMonitor.__init__(self)
            self.stopped_by: BaseException | None = None
            self._outermost = ""
            self._steps = math.inf

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            """Remember the outermost phase."""
            if parent is None:
                self._outermost, self._steps = name, max(steps, 1)

        def phase_finish(self, name: str) -> None:
            """Report the end of the outermost phase."""
            if name == self._outermost:
                self.step_complete(name, self._steps)

        def step_complete(self, name: str, step: float) -> bool:
            """Report a step; an exception here must not travel through TensorRT's C++ code."""
            try:
                if name == self._outermost and self.stopped_by is None:
                    progress(min(step / self._steps, 1.0))
            except BaseException as err:  # noqa: BLE001 - raised again by build()
                self.stopped_by = err
            return self.stopped_by is None

    return Monitor()
