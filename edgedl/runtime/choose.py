"""Decides which graphs of a bundle run, from its manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedl.bundle.manifest import PRECISIONS
from edgedl.engines.bundle_engines import PREFERRED
from edgedl.errors import BundleError, UsageError
from edgedl.options import suggest
from edgedl.runtime.session import ENGINE_BACKENDS, check_backend

if TYPE_CHECKING:
    from edgedl.bundle import Manifest

NAMES = ("auto", "fp32", "fp16", "bf16", "int8", "int8-cpu", "int8-packed", "int8-trt")
INT8_OF_BACKEND = {
    "onnxruntime": ("int8-packed", "int8-cpu"),
    "tensorrt": ("int8-trt",),
    "tensorrt_rtx": ("int8-trt",),
}
_AUTOMATIC = {  # best first where nothing was timed
    "onnxruntime": ("int8-packed", "int8-cpu", "fp32"),
    "tensorrt": PREFERRED,
    "tensorrt_rtx": PREFERRED,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What shall run.

    Attributes:
        backend: Name of the runtime.
        precision: Name of the graphs.
        reason: Why, for people.
    """

    backend: str
    precision: str
    reason: str


def choose(manifest: Manifest, backend: str = "auto", precision: str = "auto") -> Choice:
    """Choose runtime and graphs.

    ``auto`` takes the graphs that kept their quality and were fastest on that runtime when the
    bundle was made; where not all were timed, INT8 before fp32 on a CPU, and on a GPU what
    ``edgedl build`` builds. Half precision and INT8 made for TensorRT have no fast kernels on a
    CPU: there they run only when asked for by name.

    Args:
        manifest: Of the bundle.
        backend: ``"auto"`` or the name of a runtime.
        precision: One of ``NAMES``; ``"int8"`` is the INT8 made for the runtime, on a CPU the
            packed step where there is one.

    Raises:
        UsageError: E120 unknown backend, E121 unknown precision.
        BundleError: E419 the bundle has no such graphs, E412 the runtime cannot run them.
    """
    backend = check_backend(backend)
    if precision not in NAMES:
        hint = suggest(precision, NAMES)
        msg = f"unknown precision {precision!r}; there are: {', '.join(NAMES)}{hint}"
        raise UsageError("E121", msg)
    if precision == "auto":
        return _automatic(manifest, backend)
    able = INT8_OF_BACKEND[backend] if precision == "int8" else (precision,)
    wanted = next((one for one in able if one in manifest.precisions), able[-1])
    if wanted not in manifest.precisions:
        raise BundleError("E419", _unavailable(manifest, wanted))
    if wanted == "bf16" and backend not in ENGINE_BACKENDS:
        msg = (
            "bf16 graphs run as TensorRT engines only, ONNX Runtime on a CPU cannot compute them; "
            "use another precision here, or on the device: edgedl build X.edge --precision bf16"
        )
        raise BundleError("E412", msg)
    return Choice(backend, wanted, "asked for")


def candidates(manifest: Manifest, backend: str = "auto") -> tuple[str, ...]:
    """Return the precisions of the bundle that have fast kernels on that runtime."""
    return tuple(p for p in _AUTOMATIC[check_backend(backend)] if p in manifest.precisions)


def _automatic(manifest: Manifest, backend: str) -> Choice:
    """Return the fastest graphs that kept their quality."""
    records = manifest.precisions
    able = [p for p in candidates(manifest, backend) if records[p].kept_quality]
    if not able:
        msg = _unavailable(manifest, " or ".join(_AUTOMATIC[backend]))
        raise BundleError("E419", f"no graph can be chosen for {backend}: {msg}")
    times = {p: float(records[p].latency_ms.get(backend, 0.0)) for p in able}
    if not all(times.values()):
        reason = "the first of those engines are built from"
        if backend not in ENGINE_BACKENDS:
            reason = "the only one" if len(able) == 1 else "made for this CPU"
        return Choice(backend, able[0], reason)
    best = min(able, key=times.__getitem__)
    return Choice(backend, best, f"fastest when exported: {_listed(times)}")


def _listed(times_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {ms:.3g} ms" for name, ms in times_ms.items())


def _unavailable(manifest: Manifest, wanted: str) -> str:
    """Say what is there instead, and why the wanted one is not."""
    there = [name for name in PRECISIONS if name in manifest.precisions]
    reasons = [f"{r.precision} was refused: {r.reason}" for r in manifest.refused]
    return "; ".join([f"the bundle has no {wanted}, it has: {', '.join(there)}", *reasons])
