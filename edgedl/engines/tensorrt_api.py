"""The one file that builds with TensorRT: the subset that 10.x, 11.x and TensorRT-RTX share.

What years of version differences teach:

- Names are looked up, numbers never used: STRONGLY_TYPED is 1 in one version and 0 in another.
- Networks are always strongly typed; the precision is in the ONNX graph. The builder flags and
  calibrators that once chose it are gone from TensorRT 11.
- Every call that answers None, False or -1 is checked: TensorRT does not raise, it logs. The
  lines logged meanwhile are part of the error.
- An empty file parses "successfully" to a network without layers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgedl.deps import explain_missing
from edgedl.engines.driver import free_gpu_mib
from edgedl.engines.driver import gpu_problem as gpu_problem  # where it has always been found
from edgedl.engines.progress import Progress, make_monitor, stoppable
from edgedl.engines.shapes import Profile, Shapes, check_batch, profiles_of
from edgedl.engines.trt_log import Captured, captured
from edgedl.errors import BundleError, MachineError, UsageError

Package = Literal["tensorrt", "tensorrt_rtx"]

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
    "ILogger": ("log",),
    "INetworkDefinition": ("get_input", "get_output", "num_inputs", "num_layers", "num_outputs"),
    "IOptimizationProfile": ("set_shape",),
    "IProgressMonitor": ("phase_finish", "phase_start", "step_complete"),
    "ITensor": ("dtype", "is_shape_tensor", "name", "shape"),
    "MemoryPoolType": ("WORKSPACE",),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "OnnxParser": ("get_error", "num_errors", "parse"),
    "ParserError": ("desc", "node_name", "node_operator"),
}
"""Everything this package uses of every flavour; the tests hold it against recorded versions."""

RTX_API: Mapping[str, tuple[str, ...]] = {
    "ComputeCapability": ("SM80", "SM86", "SM89", "SM120"),
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
}
"""What is used of TensorRT-RTX only: it builds for GPUs that are not there."""

TRT_API: Mapping[str, tuple[str, ...]] = {
    "IBuilderConfig": ("create_timing_cache", "get_timing_cache", "set_timing_cache"),
    "ITimingCache": ("serialize",),
}
"""What is used of plain TensorRT only: it measures, and what it measured is worth keeping."""

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
        """Return ``1.7`` of ``1.7.1.116``, for names of folders."""
        return ".".join(self.version.split(".")[:2])

    @property
    def api(self) -> tuple[Mapping[str, tuple[str, ...]], ...]:
        """Return the tables of names that are used of this flavour."""
        return API, RTX_API if self.is_rtx else TRT_API

    def __str__(self) -> str:
        return f"{package_name(self.package)} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """How a graph becomes an engine.

    Attributes:
        batches: Smallest, most frequent and largest size of a dynamic first axis; an optimization
            profile for each.
        profiles: Whole profiles instead, input name to (min, opt, max) shape; needed where another
            axis is dynamic.
        compute_capabilities: GPUs to build for, e.g. ``("8.6", "8.9")``; TensorRT-RTX only. Empty:
            what TensorRT-RTX takes as default, all of 8.0, 8.6, 8.9, 12.0 and later.
        workspace_mib: Limit of scratch memory; None takes half of what the GPU has free, and
            leaves TensorRT's own limit where there is no GPU.
        optimization_level: 0 (fast build) to 5 (fast engine); None leaves TensorRT's own.
    """

    batches: tuple[tuple[int, ...], ...] = ((1, 1, 8),)
    profiles: tuple[Profile, ...] = ()
    compute_capabilities: tuple[str, ...] = ()
    workspace_mib: int | None = None
    optimization_level: int | None = None

    def __post_init__(self) -> None:
        for batch in self.batches:
            check_batch(batch)
        if self.optimization_level not in (None, *range(6)):
            msg = f"[engine] optimization_level must be in 0..5; got {self.optimization_level}"
            raise UsageError("E110", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An engine and what is known about it.

    Attributes:
        plan: The serialised engine.
        num_layers: Layers of the network as TensorRT parsed it.
        inputs: Name, dtype and shape of each input; -1 is a dynamic axis.
        outputs: The same of each output.
        profiles: For each optimization profile, input name to (min, opt, max) shape.
        warnings: What TensorRT warned about.
        workspace_mib: The limit of scratch memory that was set, None for TensorRT's own.
        timing_cache: What the builder measured, to make the next build faster; empty with
            TensorRT-RTX, which measures nothing when it builds.
    """

    plan: bytes
    num_layers: int
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    profiles: tuple[dict[str, Shapes], ...]
    warnings: list[str]
    workspace_mib: int | None
    timing_cache: bytes


_one_at_a_time = threading.Lock()


def package_name(package: str) -> str:
    """Return what NVIDIA calls a package: ``TensorRT-RTX``."""
    return _PACKAGE_NAMES.get(package, package)


def load(package: Package) -> TensorRT:
    """Import a flavour of TensorRT.

    Raises:
        MissingDependencyError: E600, it is not installed.
        MachineError: E602, it is installed but does not load, or is not a version we know.
    """
    doing = f"an engine of {_PACKAGE_NAMES[package]}"
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
    for table in trt.api:
        for owner, names in table.items():
            for name in names:
                if not hasattr(getattr(trt.module, owner, None), name):
                    msg = f"{trt} has no {owner}.{name}; supported: TensorRT 10, 11, RTX 1"
                    raise MachineError("E602", msg)
    return trt


def build(
    trt: TensorRT,
    onnx: bytes,
    options: NetworkOptions,
    progress: Progress | None = None,
    timing_cache: bytes = b"",
) -> Built:
    """Build an engine from the bytes of an ONNX file.

    Args:
        trt: From ``load``. Plain TensorRT builds for the GPU present and needs one;
            TensorRT-RTX needs none.
        onnx: A graph without external data; its dtypes and Q/DQ nodes are the precision.
        options: Profiles, GPUs, limits.
        progress: Called with 0..1; an exception raised in it stops the build and is raised here,
            and so does Ctrl-C.
        timing_cache: Of an earlier build on this GPU; one that does not fit is not used.

    Raises:
        MachineError: E601, plain TensorRT without a GPU.
        UsageError: E110, the options do not fit the graph or the flavour.
        BundleError: E425, with what TensorRT logged.
    """
    if not trt.is_rtx and (problem := gpu_problem()):
        msg = f"building with {trt} needs the GPU it will run on: {problem}"
        raise MachineError("E601", msg)
    monitor = make_monitor(trt.module, progress)
    with _one_at_a_time, captured(trt.module) as log, stoppable(monitor):
        builder = _create(trt.module.Builder, "create a builder", log)
        flag = 1 << int(trt.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = _made(builder.create_network(flag), "create a network", log)
        _parse(trt, network, onnx, log)
        config = _made(builder.create_builder_config(), "create a builder config", log)
        workspace_mib = _configure(trt, config, options)
        profiles = _add_profiles(builder, config, network, options, log)
        kept = None if trt.is_rtx else _use_timing_cache(config, timing_cache, log)
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        return Built(
            plan=_filled(_made(plan, "build the engine", log), log),
            num_layers=network.num_layers,
            inputs=_describe(network.num_inputs, network.get_input),
            outputs=_describe(network.num_outputs, network.get_output),
            profiles=profiles,
            warnings=log.warnings,
            workspace_mib=workspace_mib,
            timing_cache=b"" if kept is None else _measured(config),
        )


def _create(make: Callable[..., Any], doing: str, log: Captured, *first: Any) -> Any:
    """Call a constructor, whose null pointer arrives as a TypeError."""
    try:
        return _made(make(*first, log.logger), doing, log)
    except TypeError as err:
        raise _failed(doing, log, [str(err)] if not log.errors else ()) from err


def _made(value: Any, doing: str, log: Captured) -> Any:
    """Return ``value``, or raise with the log when TensorRT answered None."""
    if value is None:
        raise _failed(doing, log)
    return value


def _filled(plan: Any, log: Captured) -> bytes:
    """Return the bytes of an engine, of which there must be some."""
    return bytes(_made(bytes(plan) or None, "write the engine", log))


def _failed(doing: str, log: Captured, details: Sequence[str] = ()) -> BundleError:
    """Return the error; all that was logged is its cause."""
    lines = list(dict.fromkeys([*details, *log.errors]))
    reasons = "; ".join(lines[:4]) or "TensorRT gave no reason"
    reasons += f"; and {len(lines) - 4} more lines" if len(lines) > 4 else ""
    error = BundleError("E425", f"TensorRT could not {doing}: {reasons}")
    error.__cause__ = RuntimeError(str(log)) if log.lines else None
    return error


def _parse(trt: TensorRT, network: Any, onnx: bytes, log: Captured) -> None:
    """Fill the network. An empty file parses 'successfully', hence the second condition."""
    parser = _create(trt.module.OnnxParser, "create an ONNX parser", log, network)
    if parser.parse(onnx) and network.num_layers > 0 and network.num_outputs > 0:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    details = [f"{e.node_operator()} {e.node_name()!r}: {_first_line(e.desc())}" for e in errors]
    doing = "read the ONNX graph"
    raise _failed(doing, log, details or ["the graph is empty"])


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _configure(trt: TensorRT, config: Any, options: NetworkOptions) -> int | None:
    """Set what is not a profile; return the limit of scratch memory in MiB."""
    workspace_mib = options.workspace_mib
    if workspace_mib is None and (free := free_gpu_mib()):
        workspace_mib = free // 2
    if workspace_mib is not None:
        config.set_memory_pool_limit(trt.module.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.compute_capabilities:
        _choose_gpus(trt, config, options.compute_capabilities)
    return workspace_mib


def _choose_gpus(trt: TensorRT, config: Any, wanted: Sequence[str]) -> None:
    if not trt.is_rtx:
        msg = f"{trt} builds for the GPU that is present; leave compute_capabilities empty"
        raise UsageError("E110", msg)
    known = trt.module.ComputeCapability.__members__
    config.num_compute_capabilities = len(wanted)
    for index, version in enumerate(wanted):
        capability = known.get("SM" + version.replace(".", ""))
        if capability is None or not config.set_compute_capability(capability, index):
            msg = (
                f"{trt} cannot build for compute capability {version}; it knows "
                f"{', '.join(name for name in known if name.startswith('SM'))} "
                "(engines for a Jetson are built on the Jetson)"
            )
            raise UsageError("E110", msg)


def _add_profiles(
    builder: Any, config: Any, network: Any, options: NetworkOptions, log: Captured
) -> tuple[dict[str, Shapes], ...]:
    """Give every dynamic input its sizes, in each profile."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    for tensor in tensors:
        if tensor.is_shape_tensor:
            doing = f"choose values for input {tensor.name}"
            raise _failed(doing, log, ["it holds the sizes of other tensors; make it a constant"])
    shapes = {tensor.name: tuple(tensor.shape) for tensor in tensors}
    profiles = profiles_of(shapes, options.batches, options.profiles)
    for sizes in profiles:
        profile = _made(builder.create_optimization_profile(), "create a profile", log)
        for name, (low, usual, high) in sizes.items():
            profile.set_shape(name, low, usual, high)
        if config.add_optimization_profile(profile) < 0:
            doing = f"use the profile {sizes}"
            raise _failed(doing, log)
    return profiles


def _use_timing_cache(config: Any, known: bytes, log: Captured) -> Any:
    """Begin with what was measured before; with nothing, where that is of another GPU."""
    for content in dict.fromkeys((known, b"")):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache  # must outlive the build
    doing = "use a timing cache"
    raise _failed(doing, log)


def _measured(config: Any) -> bytes:
    cache = config.get_timing_cache()
    content = None if cache is None else cache.serialize()
    return b"" if content is None else bytes(content)


def _describe(count: int, tensor_at: Callable[[int], Any]) -> list[dict[str, Any]]:
    tensors = [tensor_at(index) for index in range(count)]
    return [
        {"name": t.name, "dtype": t.dtype.name.lower(), "shape": list(t.shape)} for t in tensors
    ]
