"""One graph file to one engine file, with a sidecar that says what it was built from and for."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgedl.engines.tensorrt_api import NetworkOptions, Progress, TensorRT, build

SIDECAR_SCHEMA = 1


def target_name(trt: TensorRT) -> str:
    """Return the name of the folder engines of this flavour go to: ``rtx-1.7``, ``trt-10.3``."""
    return f"{'rtx' if trt.is_rtx else 'trt'}-{trt.short_version}"


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
        BundleError: E425, TensorRT refused; its log is in the message.
    """
    onnx = graph.read_bytes()
    start = time.monotonic()
    built = build(trt, onnx, options, progress)
    build_s = time.monotonic() - start
    out.write_bytes(built.plan)
    return {
        "schema": SIDECAR_SCHEMA,
        "package": trt.package,
        "tensorrt": trt.version,
        "precision": precision,
        "graph": graph.name,
        "graph_sha256": hashlib.sha256(onnx).hexdigest(),
        "engine_sha256": hashlib.sha256(built.plan).hexdigest(),
        "engine_size_bytes": len(built.plan),
        "compute_capabilities": _capabilities(trt, options),
        "profiles": [built.profiles] if built.profiles else [],
        "inputs": built.inputs,
        "outputs": built.outputs,
        "num_layers": built.num_layers,
        "options": dataclasses.asdict(options),
        "build_s": round(build_s, 3),
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "warnings": built.warnings,
    }


def _capabilities(trt: TensorRT, options: NetworkOptions) -> list[str]:
    if options.compute_capabilities:
        return list(options.compute_capabilities)
    return ["8.0", "8.6", "8.9", "12.0+"] if trt.is_rtx else ["this machine's GPU"]
