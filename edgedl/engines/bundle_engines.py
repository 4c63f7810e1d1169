"""The engines of a bundle: which graphs they are built from, and building all of them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgedl.engines import tensorrt_api
from edgedl.engines.build import Made, Source, build_cached, find_made, needed_mib
from edgedl.engines.driver import available_mib, this_machine
from edgedl.engines.key import key_of
from edgedl.errors import MachineError, UsageError
from edgedl.options import suggest

if TYPE_CHECKING:
    from edgedl.bundle import Bundle, Graph
    from edgedl.engines.shapes import Profile
    from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT

TARGETS = ("here", "rtx", "jetson-orin:jp6")
FAMILIES = ("auto", "fp32", "fp16", "bf16", "int8")
PREFERRED = ("fp16", "bf16", "int8-trt", "fp32")
"""What ``auto`` takes, the first that the bundle has and that kept its quality.

It has bf16 and INT8 for TensorRT instead of fp16 only if they were asked for when it was made.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """How far the building of a bundle is.

    Attributes:
        role: What is being built.
        done: Of this engine, 0..1.
        elapsed_s: Since the first build began.
        left_s: Until all engines are built; None while it cannot be told.
    """

    role: str
    done: float
    elapsed_s: float
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told how a build goes.

    Attributes:
        tell: Called with a line about each engine.
        progress: Called now and then; an exception in it stops the build.
    """

    tell: Callable[[str], None] = lambda _line: None
    progress: Callable[[Step], None] = lambda _step: None


def flavour_of(target: str, bundle: str = "X.edge") -> TensorRT:
    """Return the TensorRT that builds for a target.

    Raises:
        UsageError: E123 there is no such target, or nothing is built for it here.
        MachineError: E600, E602 it is not installed or does not load; E601 it needs a GPU.
    """
    if target == "rtx":
        return tensorrt_api.load("tensorrt_rtx")
    if target != "here":
        msg = f"unknown target {target!r}; there are: {', '.join(TARGETS)}"
        raise UsageError("E123", msg + suggest(target, TARGETS))
    if problem := tensorrt_api.gpu_problem():
        msg = (
            f"--for here builds engines for the GPU of this machine: {problem}; build on the "
            f"device, or for RTX cards from here: edgedl build {bundle} --for rtx"
        )
        raise MachineError("E601", msg)
    return tensorrt_api.load("tensorrt")


def graphs_for(bundle: Bundle, family: str = "auto") -> tuple[Graph, ...]:
    """Return the graphs that engines are built from, one for each role.

    Args:
        bundle: What to build for.
        family: ``auto``, or the precision to take: ``fp32 fp16 bf16 int8``.

    Raises:
        UsageError: E121 there is no such precision.
        BundleError: E419 the bundle does not have it.
    """
    if family not in FAMILIES:
        msg = f"unknown precision {family!r}; there are: {', '.join(FAMILIES)}"
        raise UsageError("E121", msg + suggest(family, FAMILIES))
    records = bundle.manifest.precisions
    precision = {"int8": "int8-trt"}.get(family, family)
    if family == "auto":
        precision = next((p for p in PREFERRED if p in records and records[p].kept_quality), "fp32")
    found = tuple(g for g in bundle.manifest.graphs if g.precision == precision)
    if not found:
        bundle.graph(bundle.manifest.graphs[0].role, precision)  # raises, and says what there is
    return found


def options_for(graphs: tuple[Graph, ...], options: NetworkOptions) -> dict[str, NetworkOptions]:
    """Return the options of each role: of the shapes that are given, those of its own inputs.

    Raises:
        UsageError: E110 shapes are given for an input that no graph has.
    """
    inputs = {graph.role: {spec.name for spec in graph.inputs} for graph in graphs}
    known = sorted(set().union(*inputs.values()))
    for name in {name for profile in options.profiles for name in profile}:
        if name not in known:
            msg = f"shapes are given for {name!r}; the inputs are: {', '.join(known)}"
            raise UsageError("E110", msg + suggest(name, known))
    return {
        role: dataclasses.replace(options, profiles=_of_inputs(options.profiles, names))
        for role, names in inputs.items()
    }


def source_of(bundle: Bundle, graph: Graph) -> Source:
    """Return a graph of a bundle as what an engine is built from."""
    digest = bundle.manifest.files[graph.file].sha256
    return Source(graph.file, digest, graph.precision, lambda: bundle.read(graph.file))


def build_bundle(
    bundle: Bundle,
    trt: TensorRT,
    graphs: tuple[Graph, ...],
    options: NetworkOptions,
    force: bool = False,
    watch: Watch | None = None,
) -> dict[str, Made]:
    """Build the engines of some graphs into the cache; what is there already is taken.

    Each engine is in the cache as soon as it is built, so that a build that was interrupted goes
    on with the next.

    Args:
        bundle: What to build for.
        trt: From ``flavour_of``.
        graphs: From ``graphs_for``.
        options: Profiles, GPUs, limits.
        force: Build all anew.
        watch: Told how it goes.

    Returns:
        Role to engine.

    Raises:
        As ``build_cached``, and IntegrityError or BundleError when the bundle has changed.
    """
    watch, machine = watch or Watch(), this_machine()
    sources = {graph.role: source_of(bundle, graph) for graph in graphs}
    chosen = options_for(graphs, options)
    made = {}
    if not force:
        for role, source in sources.items():
            key = key_of(trt, source.sha256, source.precision, machine, chosen[role])
            if found := find_made(key):
                made[role] = found
                watch.tell(f"{role}: taken from the cache, {found.path}")
    sizes = {g.role: bundle.manifest.files[g.file].size_bytes for g in graphs if g.role not in made}
    clock = _Clock(sizes)
    for role in sizes:
        watch.tell(f"{role}: {_plan(trt, sources[role], sizes[role])}")
        told = clock.for_role(role, watch.progress)
        made[role] = build_cached(trt, sources[role], chosen[role], progress=told)
        watch.tell(f"{role}: built in {made[role].sidecar['build_s']:.1f} s")
    return {role: made[role] for role in sources}


def _of_inputs(profiles: tuple[Profile, ...], names: set[str]) -> tuple[Profile, ...]:
    own = tuple({n: s for n, s in profile.items() if n in names} for profile in profiles)
    return tuple(profile for profile in own if profile)


def _plan(trt: TensorRT, source: Source, size: int) -> str:
    needed, there = needed_mib(size, trt.is_rtx), available_mib()
    text = f"building with {trt} from {source.name}, needs about {needed} MiB of memory"
    if there is None:
        return text
    advice = "" if there > needed else "; close other programs if it fails"
    return f"{text}, {there} MiB are free{advice}"


class _Clock:
    """Tells the time left, taking it that a graph takes as long as it is large."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self._sizes, self._start = sizes, time.monotonic()

    def for_role(self, role: str, progress: Callable[[Step], None]) -> Callable[[float], None]:
        names, total = list(self._sizes), sum(self._sizes.values())
        before = sum(self._sizes[name] for name in names[: names.index(role)])

        def tell(done: float) -> None:
            elapsed_s = time.monotonic() - self._start
            whole = (before + done * self._sizes[role]) / max(total, 1)
            left_s = elapsed_s * (1 - whole) / whole if whole > 0.02 else None
            progress(Step(role=role, done=done, elapsed_s=elapsed_s, left_s=left_s))

        return tell
