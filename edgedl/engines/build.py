"""One graph to one engine, with a sidecar that says what it was built from and for."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.engines import cache
from edgedl.engines.driver import Machine, this_machine
from edgedl.engines.key import EngineKey, key_of, plain
from edgedl.engines.tensorrt_api import Built, NetworkOptions, TensorRT, build
from edgedl.errors import BundleError, EdgedlError

if TYPE_CHECKING:
    from edgedl.engines.progress import Progress

SIDECAR_SCHEMA = 2
RTX_GPUS = ("8.0", "8.6", "8.9", "12.0+")
"""What TensorRT-RTX builds for when no GPUs are named."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an engine is built from.

    Attributes:
        name: Of the file, for the record.
        sha256: Of the file.
        precision: What its dtypes amount to.
        read: Returns its bytes.
    """

    name: str
    sha256: str
    precision: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Made:
    """An engine in the cache.

    Attributes:
        path: The ``.engine`` file.
        sidecar: What it was built from and for.
        from_cache: It had been built before.
    """

    path: Path
    sidecar: dict[str, Any]
    from_cache: bool


def target_name(trt: TensorRT) -> str:
    """Return the name of the folder engines of this flavour go to: ``rtx-1.7``, ``trt-10.3``."""
    return f"{'rtx' if trt.is_rtx else 'trt'}-{trt.short_version}"


def needed_mib(graph_bytes: int, is_rtx: bool) -> int:
    """Return roughly what memory a build needs, in MiB, scratch memory of the GPU aside.

    For TensorRT-RTX a line through the peaks of 0.9 to 47 MB graphs; for plain TensorRT it has not
    yet been measured on a GPU: more libraries, and the same for the graph.
    """
    return (250 if is_rtx else 1200) + 4 * graph_bytes // (1 << 20)


def build_engine(
    trt: TensorRT,
    graph: Path,
    out: Path,
    options: NetworkOptions,
    precision: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Build ``out`` from the ONNX file ``graph``.

    An engine is a cache: the sidecar names the graph it came from by its hash, so that a stale one
    is found and rebuilt. The bytes of two builds of one graph may differ; never compare engines.

    Args:
        trt: From ``tensorrt_api.load``.
        graph: A self-contained ONNX file.
        out: The ``.engine`` file to write.
        options: Profiles, GPUs, limits.
        precision: What the graph's dtypes amount to, for the record.
        progress: Called with 0..1.

    Returns:
        The sidecar, to be written beside ``out`` as JSON.

    Raises:
        MachineError: E601, this flavour needs a GPU and there is none.
        UsageError: E110, the options do not fit the graph or the flavour.
        BundleError: E425, TensorRT refused, its log is in the message; E448, a GPU has no bf16.
    """
    onnx = graph.read_bytes()
    source = Source(graph.name, hashlib.sha256(onnx).hexdigest(), precision, lambda: onnx)
    plan, sidecar = _build(trt, source, options, this_machine(), progress)
    out.write_bytes(plan)
    return sidecar


def build_cached(
    trt: TensorRT,
    source: Source,
    options: NetworkOptions,
    progress: Progress | None = None,
) -> Made:
    """Build an engine into the cache.

    Args:
        trt: From ``tensorrt_api.load``.
        source: The graph.
        options: Profiles, GPUs, limits.
        progress: Called with 0..1.

    Raises:
        MachineError: E601, this flavour needs a GPU and there is none; E603 the cache's key.
        UsageError: E110, the options do not fit the graph or the flavour.
        BundleError: E425, TensorRT refused; E430, E431 the cache cannot be written.
    """
    cache.prepare()
    machine = this_machine()
    key = key_of(trt, source.sha256, source.precision, machine, options)
    plan, sidecar = _build(trt, source, options, machine, progress)
    return Made(cache.store(key, sidecar, plan), sidecar, from_cache=False)


def find_made(key: EngineKey) -> Made | None:
    """Return the engine of a key if the cache has it whole and unaltered."""
    try:
        path = cache.find_engine(key)
        return Made(path, cache.check_file(path)[0], from_cache=True)
    except EdgedlError:
        return None  # not there, or damaged: it is built again, and then replaces that


def _build(
    trt: TensorRT,
    source: Source,
    options: NetworkOptions,
    machine: Machine,
    progress: Progress | None,
) -> tuple[bytes, dict[str, Any]]:
    capabilities = _capabilities(trt, options, machine)
    _check_bfloat(source, capabilities)
    onnx = source.read()
    start = time.monotonic()
    known = b"" if trt.is_rtx else cache.read_timing(trt, machine)
    built = build(trt, onnx, options, progress, known)
    build_s = time.monotonic() - start
    if built.timing_cache:
        _keep_timing(trt, machine, built)
    key = key_of(trt, source.sha256, source.precision, machine, options)
    sidecar = {
        "schema": SIDECAR_SCHEMA,
        "package": trt.package,
        "tensorrt": trt.version,
        "precision": source.precision,
        "graph": source.name,
        "graph_sha256": source.sha256,
        "engine_sha256": hashlib.sha256(built.plan).hexdigest(),
        "engine_size_bytes": len(built.plan),
        "compute_capabilities": capabilities,
        "profiles": list(built.profiles),
        "inputs": built.inputs,
        "outputs": built.outputs,
        "num_layers": built.num_layers,
        "options": plain(options),
        "key": dataclasses.asdict(key),
        "workspace_mib": built.workspace_mib,
        "build_s": round(build_s, 3),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "warnings": built.warnings,
    }
    return built.plan, sidecar


def _keep_timing(trt: TensorRT, machine: Machine, built: Built) -> None:
    """Keep what was measured; where that fails the next build takes longer, this one is done."""
    with contextlib.suppress(EdgedlError):
        cache.write_timing(trt, machine, built.timing_cache)


def _check_bfloat(source: Source, capabilities: list[str]) -> None:
    """Raise when a GPU has no bf16, which TensorRT says in words for its makers."""
    for name in capabilities:
        if source.precision == "bf16" and name[0].isdigit() and float(name.rstrip("+")) < 8:
            msg = (
                f"{source.name} needs a GPU of compute capability 8.0 or newer, for bf16; got "
                f"{name}: use --precision fp16 or fp32"
            )
            raise BundleError("E448", msg)


def _capabilities(trt: TensorRT, options: NetworkOptions, machine: Machine) -> list[str]:
    if options.compute_capabilities:
        return list(options.compute_capabilities)
    return list(RTX_GPUS) if trt.is_rtx else [machine.compute_capability or "unknown"]
