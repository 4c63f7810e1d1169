"""Finds the engine of a graph: in this machine's cache, or in the bundle where the user trusts it.

An engine is code. What lies in the cache was built here and proves it; what came inside a bundle is
loaded only when the user says so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.engines import tensorrt_api
from edgedl.engines.build import target_name
from edgedl.engines.cache import (
    check_engine,
    engines_folder,
    find_engine,
    mismatch,
    read_sidecar,
)
from edgedl.engines.driver import this_machine
from edgedl.engines.key import key_of
from edgedl.errors import BundleError, EdgedlError
from edgedl.runtime.device_memory import require_gpu

if TYPE_CHECKING:
    from edgedl.bundle import Bundle, Graph
    from edgedl.bundle.manifest import Engine
    from edgedl.engines.tensorrt_api import Package, TensorRT

NOT_BUILT = ("E426", "E427")
"""Codes that say that no engine for this machine is there, rather than that one is wrong."""


@dataclass(frozen=True, slots=True)
class EngineFile:
    """An engine that passed its check.

    Attributes:
        path: Where it lies.
        plan: Its bytes.
    """

    path: Path
    plan: bytes


def open_engine(path: Path, package: Package) -> bytes:
    """Return the bytes of an engine that was built on this machine, for this machine.

    Raises:
        EdgedlError: As ``check_engine``; E601 before all else where there is no GPU.
    """
    require_gpu(f"running {path}")
    return check_engine(path, bundle=path.stem, trt=tensorrt_api.load(package)).plan


def engine_of(
    bundle: Bundle, role: str, precision: str, package: Package, allow_prebuilt: bool = False
) -> EngineFile:
    """Return the engine of one graph of a bundle for this machine.

    Args:
        bundle: What holds the graph.
        role: Of the graph.
        precision: Of the graph.
        package: The flavour of TensorRT to run it with.
        allow_prebuilt: Where the cache has none, take one that came inside the bundle.

    Raises:
        BundleError: E419 the bundle has no such graph; E426, E427 there is no engine of it for
            this machine.
        IntegrityError: E402, E428 the engine is not what was written.
        MachineError: E600, E601, E602, E603 this machine lacks what it takes.
    """
    require_gpu(f"running {bundle.path} with {tensorrt_api.package_name(package)}")
    trt, machine = tensorrt_api.load(package), this_machine()
    bundle.graph(role, precision)  # raises, and says what there is
    graph = bundle.find_graph(role, precision)
    assert graph is not None
    digest = bundle.manifest.files[graph.file].sha256
    try:
        path = find_engine(key_of(trt, digest, precision, machine), str(bundle.path))
    except BundleError as err:
        prebuilt = _prebuilt(bundle, graph, trt)
        if err.code not in NOT_BUILT or prebuilt is None:
            raise
        if not allow_prebuilt:
            msg = f"{err}, or trust the one that came with it: --allow-prebuilt-engine"
            raise BundleError(err.code, msg) from err
        return _checked_prebuilt(bundle, prebuilt, digest, trt)
    return EngineFile(path, check_engine(path, False, str(bundle.path), trt, machine).plan)


def cached_engines(bundle: Bundle) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the engines of this machine's cache that were built from a bundle's graphs.

    Nothing of TensorRT is loaded, and nothing the sidecars say is proved.
    """
    digests = {bundle.manifest.files[graph.file].sha256 for graph in bundle.manifest.graphs}
    try:
        folder = engines_folder()
    except BundleError:
        return  # a user without a home has built nothing
    for path in sorted(folder.glob("*-*.json")):
        try:
            sidecar = read_sidecar(path)
        except EdgedlError:
            continue  # a writer may be replacing it; what is wrong is told when it is to be run
        if sidecar.get("graph_sha256") in digests:
            yield path.with_suffix(".engine"), sidecar


def _prebuilt(bundle: Bundle, graph: Graph, trt: TensorRT) -> Engine | None:
    wanted = (graph.role, graph.precision, target_name(trt))
    for engine in bundle.manifest.engines:
        if (engine.role, engine.precision, engine.target) == wanted:
            return engine
    return None


def _checked_prebuilt(bundle: Bundle, engine: Engine, digest: str, trt: TensorRT) -> EngineFile:
    """Check what the bundle's sidecar says; the bytes are those its manifest lists."""
    path, again = bundle.path / engine.file, f"build it here: edgedl build {bundle.path}"
    name = engine.file.removesuffix(".engine") + ".json"
    try:
        sidecar = json.loads(bundle.read(name))
        problem = mismatch(sidecar, trt, this_machine())
        if sidecar["graph_sha256"] != digest:
            problem = "from another graph"
    except (ValueError, KeyError, TypeError) as err:
        if isinstance(err, EdgedlError):
            raise
        msg = f"{bundle.path / name} is no sidecar of an engine; {again}"
        raise BundleError("E426", msg) from err
    if problem:
        msg = f"{path} was built {problem}; {again}"
        raise BundleError("E426", msg)
    return EngineFile(path, bundle.read(engine.file))
