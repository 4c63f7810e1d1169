"""Closed-loop load: the next frame is decoded when the previous caption is there.

Every precision captions the same frame before the next frame is read, and the one that goes first
changes from frame to frame, so that a disturbance of the machine hits all of them alike.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgedl
from edgedl.bench.clip import write_clip
from edgedl.bundle import Bundle
from edgedl.errors import BundleError, UsageError
from edgedl.runtime.base import check_takes_pictures
from edgedl.runtime.captioner import change_search
from edgedl.runtime.choose import candidates, choose
from edgedl.runtime.pipeline import CaptionPipeline, ClassifierPipeline, TensorPipeline, load
from edgedl.runtime.session import ENGINE_BACKENDS, check_backend
from edgedl.runtime.verify import PASS, verify_graphs
from edgedl.stream.source import Source, open_source
from edgedl.timing import machine_facts, summary

if TYPE_CHECKING:
    from edgedl.frame import Frame
    from edgedl.runtime.session import Array

    AnyPipeline = CaptionPipeline | ClassifierPipeline | TensorPipeline
    Inputs = Generator[tuple[Frame | Mapping[str, Array], float | None], None, None]
    """What goes in, and the milliseconds its decoding took; None where nothing is decoded."""

TASKS = ("captioning", "classification", "tensor")
QUICK_FRAMES = 200
OF_ARRAYS = "arrays to outputs"
"""The case of a model of arrays; of all others it is ``frame to caption``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """What to measure.

    Attributes:
        source: A video file or a folder of images; None makes a clip of the golden pictures.
        precisions: Which graphs; empty means those meant for the backend of this machine.
        frames: Timed frames per precision; 662 or more give a p99.
        warmup: Untimed frames before them.
        threads: Threads of the session.
        backend: As for ``edgedl.load``.
        allow_prebuilt_engine: As for ``edgedl.load``.
        search: As for ``edgedl.runtime.captioner.change_search``, once the check is passed.
    """

    source: str | None = None
    precisions: tuple[str, ...] = ()
    frames: int = 2000
    warmup: int = 50
    threads: int = 1
    backend: str = "auto"
    allow_prebuilt_engine: bool = False
    search: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 11 <= self.frames <= 1_000_000:
            msg = f"bench frames must be in 11..1000000 (11 allow a median); got {self.frames}"
            raise UsageError("E101", msg)


@dataclass(slots=True)
class _Case:
    pipeline: AnyPipeline
    stages: dict[str, list[float]] = field(default_factory=dict)
    latency: list[float] = field(default_factory=list)


def bench(
    path: Path, options: BenchOptions, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """Measure every precision of the bundle at ``path`` on real frames.

    A tensor model that takes arrays is measured on those of its golden samples.

    Args:
        path: The bundle.
        options: What to measure.
        progress: Called with frames done and frames in all.

    Returns:
        ``{"machine": …, "cases": [{"case", "precision", "backend", "n", "stage_ms",
        "latency_ms", "throughput_hz"}]}``. Times are milliseconds; a stage's is its median;
        latency counts from before the frame is decoded to the caption; p99 is None below 662
        frames.

    Raises:
        UsageError: E102 the bundle takes neither single pictures nor arrays, or arrays and no
            source.
        BundleError: E414 when a precision does not pass its golden samples: a wrong model has no
            latency.
    """
    bundle = Bundle.open(path)
    check_takes_pictures(bundle, "edgedl bench", TASKS)
    takes_arrays = bundle.manifest.image_spec is None
    if takes_arrays and options.source is not None:
        msg = f"{bundle.path} takes arrays, those of its golden samples; got {options.source}"
        raise UsageError("E102", f"{msg}: leave the source out")
    before = machine_facts()
    with ExitStack() as stack:
        precisions = options.precisions or _precisions(bundle, options.backend)
        cases = {}
        for precision in precisions:
            pipeline = load(
                bundle,
                options.backend,
                precision,
                threads=options.threads,
                allow_prebuilt_engine=options.allow_prebuilt_engine,
            )
            cases[precision] = _Case(stack.enter_context(pipeline))
            _check(bundle, cases[precision].pipeline)
            change_search(cases[precision].pipeline.model, options.search)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgedl-bench-"))
        inputs = _endless_arrays(bundle)
        if not takes_arrays:
            pictures = [sample.given.pictures[0] for sample in bundle.golden()]
            uri = options.source or str(write_clip(Path(folder) / "golden.mp4", pictures))
            inputs = _endless_frames(uri)
        _measure(inputs, cases, options, progress)
        inputs.close()
    return {
        "edgedl": edgedl.__version__,
        "bundle": bundle.manifest.name,
        "model_hash": bundle.manifest.digest,
        "frames_from": options.source or _golden(takes_arrays),
        "loop": "closed",
        "threads": options.threads,
        "publishable": options.frames > QUICK_FRAMES,
        "machine": before,
        "cases": [_result(precision, case, takes_arrays) for precision, case in cases.items()],
    }


def _golden(are_arrays: bool) -> str:
    if are_arrays:
        return "the bundle's golden arrays"
    return "an H.264 clip of the bundle's golden pictures"


def _precisions(bundle: Bundle, backend: str) -> tuple[str, ...]:
    """Return what is meant for a backend; of engines the one that ``edgedl build`` builds."""
    if check_backend(backend) in ENGINE_BACKENDS:
        return (choose(bundle.manifest, backend).precision,)
    return candidates(bundle.manifest, backend)


def _check(bundle: Bundle, pipeline: AnyPipeline) -> None:
    """Raise E414 unless the precision passes what ``edgedl verify`` holds against it."""
    found = verify_graphs(pipeline, bundle.golden())
    if found.status != PASS:
        msg = (
            f"{bundle.path} {pipeline.precision} has not proved itself: {found.reason}; "
            f"see: edgedl verify {bundle.path}"
        )
        raise BundleError("E414", msg)


def _endless_arrays(bundle: Bundle) -> Inputs:
    """Yield the arrays of each golden sample, starting over at the end."""
    for sample in itertools.cycle(bundle.golden()):
        yield sample.given.arrays, None


def _endless_frames(uri: str) -> Inputs:
    """Yield each frame with the milliseconds its decoding took, starting over at the end."""
    while True:
        with open_source(uri) as source:
            if source.live:
                msg = f"bench needs a file or a folder, a live source sets its own pace; got {uri}"
                raise UsageError("E102", msg)
            yield from _timed_frames(source)


def _timed_frames(source: Source) -> Iterator[tuple[Frame, float]]:
    while True:
        start = time.perf_counter_ns()
        frame = source.read(timeout_s=10.0)
        if frame is None:
            return
        yield frame, (time.perf_counter_ns() - start) / 1e6


def _measure(
    inputs: Inputs,
    cases: dict[str, _Case],
    options: BenchOptions,
    progress: Callable[[int, int], None] | None,
) -> None:
    names = list(cases)
    total = options.warmup + options.frames
    for index, (given, decode_ms) in enumerate(itertools.islice(inputs, total)):
        first = index % len(names)
        for name in names[first:] + names[:first]:
            case = cases[name]
            start = time.perf_counter_ns()
            result = case.pipeline(given)
            took_ms = (time.perf_counter_ns() - start) / 1e6
            if index < options.warmup:
                continue
            decoded = {} if decode_ms is None else {"decode": decode_ms}
            for stage, value in {**decoded, **result.stage_ms}.items():
                case.stages.setdefault(stage, []).append(value)
            case.latency.append(sum(decoded.values()) + took_ms)
        if progress and index % 20 == 0:
            progress(index + 1, total)
    if progress:
        progress(total, total)


def _result(precision: str, case: _Case, takes_arrays: bool) -> dict[str, Any]:
    latency = summary(case.latency)
    stages = {name: summary(values)["p50"] for name, values in case.stages.items()}
    return {
        "case": OF_ARRAYS if takes_arrays else "frame to caption",
        "precision": precision,
        "backend": case.pipeline.backend,
        "n": len(case.latency),
        "stage_ms": {name: _rounded(value) for name, value in stages.items()},
        "latency_ms": {name: _rounded(latency[name]) for name in ("p50", "p90", "p99", "max")},
        "throughput_hz": _rounded(1000 * len(case.latency) / sum(case.latency)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
