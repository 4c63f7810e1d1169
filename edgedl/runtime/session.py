"""What runs a network, and the door to the runtimes that can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from edgedl.bundle.mapped import map_file
from edgedl.deps import explain_missing
from edgedl.errors import BundleError, UsageError
from edgedl.options import suggest
from edgedl.runtime.packed_session import PackedSession

if TYPE_CHECKING:
    from edgedl.engines.tensorrt_api import Package
    from edgedl.spec import TensorSpec

ENGINE_BACKENDS = ("tensorrt", "tensorrt_rtx")
"""Runtimes that run engines, which are built from the graphs; the others run the graphs."""
BACKENDS = ("onnxruntime", *ENGINE_BACKENDS)
Array = npt.NDArray[Any]


class Session(Protocol):
    """Runs one network.

    Attributes:
        backend: Name of the runtime, one of ``BACKENDS``.
        inputs: What goes in, in the network's order.
        outputs: What comes out, in the network's order.
    """

    backend: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name, given all inputs by name."""

    def close(self) -> None:
        """Give back memory and threads; calling it twice is fine."""


def open_session(
    model: Path | bytes | memoryview,
    backend: str = "auto",
    threads: int = 1,
    name: str = "the model",
    *,
    in_float: bool = False,
) -> Session:
    """Open an ONNX model, a packed step (``.safetensors``) or an engine.

    Args:
        model: The file, or all its bytes, e.g. from ``Bundle.read``, so that what was checked is
            what runs. A packed step uses them where they lie: a file is mapped, as those of
            ``Bundle.map`` are. For ``ENGINE_BACKENDS`` an engine: a file is loaded if it was built
            on this machine; bytes are trusted.
        backend: ``"auto"`` or one of ``BACKENDS``.
        threads: CPU threads of one call, >= 1; of no meaning to an engine.
        name: Of the model, where ``model`` is bytes.
        in_float: Round where an INT8 graph says, and compute in float: what ``int8-trt`` graphs
            are judged by on a CPU, faster than by ONNX Runtime's products of two signed numbers.

    Raises:
        UsageError: E120 unknown backend, E122 wrong number of threads.
        BundleError: E403 the file cannot be read, E410 it is no ONNX model, E412 the runtime
            cannot run it, E426 the engine is for another machine, E427 it is not there.
        IntegrityError: E411 it wants other files, E428 the engine was not built here.
        MachineError: E601 an engine needs a GPU, E602 the runtime does not load.
        MissingDependencyError: E600 the runtime is not installed.
    """
    backend = check_backend(backend)
    if not 1 <= threads <= 1024:
        msg = f"[open_session] threads must be in 1..1024; got {threads}"
        raise UsageError("E122", msg)
    if backend in ENGINE_BACKENDS:
        return _open_engine(model, "tensorrt" if backend == "tensorrt" else "tensorrt_rtx", name)
    if isinstance(model, Path):
        name = str(model)
        try:
            with model.open("rb") as file:
                model = map_file(file)
        except OSError as err:
            msg = f"{name} cannot be read: {err.strerror}"
            raise BundleError("E403", msg) from err
    if name.endswith(".safetensors"):
        return PackedSession(model, name)
    with explain_missing(f"running {name}"):
        from edgedl.runtime.ort_session import OrtSession
    return OrtSession(bytes(model), threads, name, in_float=in_float)


def _open_engine(model: Path | bytes | memoryview, package: Package, name: str) -> Session:
    from edgedl.runtime.engine_file import open_engine
    from edgedl.runtime.trt_session import TrtSession

    if isinstance(model, Path):
        return TrtSession(open_engine(model, package), package, str(model))
    return TrtSession(bytes(model), package, name)


def check_backend(backend: str) -> str:
    """Return the backend that ``backend`` means on this machine.

    Raises:
        UsageError: E120 there is none of that name.
    """
    if backend == "auto":
        return BACKENDS[0]
    if backend not in BACKENDS:
        hint = suggest(backend, BACKENDS)
        msg = f"unknown backend {backend!r}; there are: auto, {', '.join(BACKENDS)}{hint}"
        raise UsageError("E120", msg)
    return backend


def relative_error(found: Array, expected: Array) -> float:
    """Return the largest difference divided by the largest expected magnitude.

    Other shapes and values that are not finite, on either side, are infinitely wrong.
    """
    finite = np.isfinite(found).all() and np.isfinite(expected).all()
    if found.shape != expected.shape or not finite:
        return float("inf")
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    scale = float(np.abs(expected).max(initial=0.0))
    largest = float(difference.max(initial=0.0))
    return largest / scale if scale else largest
