"""From a run or a model to a bundle: write graphs, measure them, keep what is worth it, say why."""

from __future__ import annotations

import json
import logging
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from edgedl.bundle import Bundle, new_folder
from edgedl.bundle.manifest import PACKED, Engine
from edgedl.engines import tensorrt_api
from edgedl.engines.build import build_engine, target_name
from edgedl.engines.bundle_engines import PREFERRED
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import BundleError, DataError, MachineError
from edgedl.export import gate, lint
from edgedl.export.assemble import assemble, golden_count
from edgedl.export.bfloat import rounded, to_bfloat
from edgedl.export.graph_file import read_facts
from edgedl.export.half import to_half
from edgedl.export.job import Candidate, Job, Say
from edgedl.export.options import ExportOptions
from edgedl.export.origin import Origin, open_origin
from edgedl.export.pack_step import pack_step
from edgedl.export.replay import differences, feeds_of
from edgedl.export.search import Search, quantize
from edgedl.export.speed import time_answers

if TYPE_CHECKING:
    from edgedl.engines.shapes import Profile
    from edgedl.export.replay import Feeds

log = logging.getLogger(__name__)

ORIGIN_BOUND = 1e-4
"""Largest difference of the fp32 graphs from the network, as a part of the largest magnitude."""

_TIMED = ("fp32", "int8-cpu", PACKED)
_COMPARED = 16  # held-out samples on which graphs are compared output by output


def export(
    source: Path | str | Origin,
    out: Path | str,
    options: ExportOptions | None = None,
    progress: Say | None = None,
) -> Bundle:
    """Make a bundle of a run, or of a model.

    Args:
        source: A folder written by ``edgedl train``, a model file (``.onnx``, ``.pt2``), or
            another origin.
        out: The bundle to make, ``NAME.edge``; it appears complete or not at all.
        options: What to write and what it must be worth.
        progress: Called with one line per stage.

    Returns:
        The bundle, opened and checked.

    Raises:
        BundleError: E400 no run, E406 its clips are too long for a bundle, E432 ``out`` exists,
            E440 the graphs differ from the network, E441 a precision asked for by name loses too
            much, E425, E448 TensorRT refused a graph or would.
        DataError: E353 nothing to measure or to calibrate on, E354 nothing fit to calibrate on.
        EdgedlError: What ``ModelOrigin`` raises of a model file.
        MachineError: E600, E601, E602 a target needs what this machine lacks.
    """
    options, out = options or ExportOptions(), Path(out)
    builders = _builders(options.targets)
    origin = open_origin(Path(source), options) if isinstance(source, Path | str) else source
    if options.precision == "int8" and not origin.is_sampled:
        msg = (
            "--precision int8 needs samples, for ranges from made up samples may be anything; give "
            "some with --calib DIR, or use --precision auto"
        )
        raise DataError("E353", msg)
    golden_count(origin.spec)
    with new_folder(out, options.force, ("manifest.json",)) as folder:
        (folder / "graphs").mkdir()
        job = Job(origin, options, folder, progress or (lambda _text: None))
        _check_held_out(job)
        _write_fp32(job)
        builders = _willing(job, builders)
        candidates = [_candidate(job, p) for p in _precisions(job)]
        _measure_speed(job, candidates)
        _decide(job, candidates)
        engines = _build_engines(job, candidates, builders)
        assemble(job, candidates, engines, out.name.removesuffix(".edge"))
    return Bundle.open(out)


def _builders(targets: Sequence[str]) -> list[TensorRT]:
    """Load the TensorRT flavours that engines are asked for, before any other work is done."""
    found = []
    if "rtx" in targets:
        found.append(tensorrt_api.load("tensorrt_rtx"))
    if "here" in targets:
        if problem := tensorrt_api.gpu_problem():
            msg = (
                f"--for here builds engines for the GPU of this machine: {problem}; "
                "leave it out, or export on the device"
            )
            raise MachineError("E601", msg)
        found.append(tensorrt_api.load("tensorrt"))
    return found


def _check_held_out(job: Job) -> None:
    """Raise when there is nothing to measure on, before any other work is done.

    Raises:
        DataError: E353 the data has no split test.
    """
    if not len(job.reported):
        raise DataError("E353", job.origin.explain_no_samples())


def _precisions(job: Job) -> list[str]:
    """Return what to look at; only captioners have a step that can be packed."""
    names = gate.precisions_of(job.options.precision)
    return [name for name in names if name != PACKED or job.spec.task == "captioning"]


def _candidate(job: Job, precision: str) -> Candidate:
    """Write the graphs of one precision and measure their quality."""
    candidate = Candidate(precision)
    try:
        candidate.search = _write(job, precision)
        job.say(f"measuring {precision} on {len(job.reported)} held-out samples")
        candidate.quality = job.judge(precision, job.reported)
    except BundleError as err:
        if precision == "fp32" or (job.options.precision != "auto" and precision != PACKED):
            raise
        candidate.problem = str(err)
        return candidate
    candidate.size_bytes = sum(path.stat().st_size for path in job.paths(precision).values())
    with job.sessions(precision) as found, job.sessions("fp32") as fp32:
        candidate.errors = differences(found, fp32, _seen(job))
    return candidate


def _seen(job: Job) -> dict[str, list[Feeds]]:
    """Return what the graphs see of a few held-out samples."""
    with job.open("fp32") as model:
        return feeds_of(model, job.reported.tensors[:_COMPARED])


def _write(job: Job, precision: str) -> Search | None:
    """Write the graphs of one precision from those of fp32, which are there.

    Returns:
        For INT8, what was looked at.
    """
    if precision == "fp32":
        return None
    if precision in ("fp16", "bf16"):
        job.say(f"writing {precision}")
        (_write_half if precision == "fp16" else _write_bfloat)(job)
        return None
    if precision == PACKED:
        job.say(f"writing {precision}")
        pack_step(job.path("step", "int8-cpu"), job.path("step", precision))
        return None
    return quantize(job, precision)


def _write_fp32(job: Job) -> None:
    """Write what all other precisions are made from."""
    job.say(f"exporting {' and '.join(job.spec.roles)} to ONNX")
    job.origin.write_graphs(job.folder / "graphs")
    _compare_with_origin(job)


def _willing(job: Job, builders: Sequence[TensorRT]) -> list[TensorRT]:
    """Return those that will take the fp32 graphs, and say of other targets why they will not.

    What is in the way here is in the way in each precision: it is said before any of them costs
    time.

    Raises:
        BundleError: E448 TensorRT would refuse a graph.
    """
    targets: dict[str, lint.Target] = {
        target_name(trt): lint.of_package(trt.package, trt.version) for trt in builders
    }
    if gate.JETSON in job.options.targets:
        targets[gate.JETSON] = "trt10"
    refusing = set()
    for name, target in targets.items():
        try:
            for graph in job.paths("fp32").values():
                lint.check(graph, target, _profiles(job))
        except BundleError as err:
            _go_without(job, name, err)
            refusing.add(name)
    return [trt for trt in builders if target_name(trt) not in refusing]


def _go_without(job: Job, target: str, err: BundleError) -> None:
    """Warn that a target gets no engine, where the bundle is for something else too.

    Raises:
        BundleError: It is not, or something was asked for by name.
    """
    named = job.options.precision != "auto"
    if named or len(set(job.options.targets)) == 1:
        mend = "use --precision auto --for cpu" if named else "add --for cpu"
        msg = f"{err}; nothing was written: to go without it, {mend}"
        raise BundleError(err.code, msg) from err
    job.missing_engines[target] = " ".join(str(err).split())
    log.warning("no engine for %s: %s", target, err)


def _write_half(job: Job) -> None:
    """Write the fp16 graphs."""
    for role in job.spec.roles:
        source, out = job.path(role, "fp32"), job.path(role, "fp16")
        raw_units = job.spec.task == "regression"
        too_large = to_half(source, out, job.feeds[role], raw_units=raw_units)
        if too_large:
            worst = max(too_large, key=too_large.__getitem__)
            job.say(
                f"fp16: what reads or writes {len(too_large)} tensors of {role} stays fp32, "
                f"{worst} reaches {too_large[worst]:.3g}"
            )


def _write_bfloat(job: Job) -> None:
    """Write the bf16 graphs, and keep in memory what they are judged by.

    Raises:
        BundleError: E445 there is no product to compute in bf16.
    """
    raw_units = job.spec.task == "regression"
    paths = job.paths("bf16")
    products = [to_bfloat(job.path(r, "fp32"), path, raw_units) for r, path in paths.items()]
    if not any(products):
        msg = "bf16 has nothing to gain: no convolution or matrix product of the network can be so"
        raise BundleError("E445", msg)
    job.stand_ins["bf16"] = {role: rounded(path) for role, path in paths.items()}


def _compare_with_origin(job: Job) -> None:
    """Hold the fp32 graphs against the network they came from.

    Raises:
        BundleError: E440 an output differs by more than ``ORIGIN_BOUND``.
    """
    seen = _seen(job)
    converted = job.origin.conversion_errors(seen.get("model", ()))
    _check_errors(converted, "what torch made of the program differs from the program")
    with job.sessions("fp32") as fp32:
        errors = differences(fp32, job.origin.sessions, seen)
    _check_errors(errors, f"the exported fp32 graphs differ from {job.origin.what}")
    job.origin_errors = errors | {f"{n} (torch to ONNX)": error for n, error in converted.items()}


def _check_errors(errors: Mapping[str, float], what: str) -> None:
    worst = max(errors, key=errors.__getitem__, default=None)
    if worst is not None and not errors[worst] <= ORIGIN_BOUND:
        msg = (
            f"{what}: {worst} by {errors[worst]:.2g} of its largest value, {ORIGIN_BOUND:g} is "
            "allowed; report a bug"
        )
        raise BundleError("E440", msg)


def _measure_speed(job: Job, candidates: Sequence[Candidate]) -> None:
    """Time what this machine may be asked to run: fp32, and the INT8 made for CPUs."""
    timed = {c.precision: c for c in candidates if c.precision in _TIMED and not c.problem}
    job.say(f"timing {' and '.join(timed)} in turn, up to {job.options.rounds} answers each")
    with ExitStack() as stack:
        models = {name: stack.enter_context(job.open(name)) for name in timed}
        times = time_answers(models, job.reported.tensors, job.options.rounds)
    for name, candidate in timed.items():
        candidate.times_ms = times[name]


def _decide(job: Job, candidates: Sequence[Candidate]) -> None:
    """Say of each precision whether it is worth it, and remove the graphs of those that are not.

    Raises:
        BundleError: E441 a precision was asked for by name and loses too much.
    """
    for candidate in candidates[1:]:
        candidate.problem = candidate.problem or _problem(job, candidate, candidates)
        if candidate.problem is None:
            continue
        if job.options.precision != "auto" and candidate.precision != PACKED:
            msg = (
                f"{candidate.problem}; nothing was written: allow more with --max-drop, "
                "or use --precision auto"
            )
            raise BundleError("E441", msg)
        job.say(f"refused: {candidate.problem}")
    kept = {path for c in candidates if not c.problem for path in job.paths(c.precision).values()}
    for candidate in candidates:
        for path in set(job.paths(candidate.precision).values()) - kept:
            path.unlink(missing_ok=True)


def _problem(job: Job, candidate: Candidate, candidates: Sequence[Candidate]) -> str | None:
    fp32 = candidates[0]
    assert candidate.quality is not None
    assert fp32.quality is not None
    name, allowed = candidate.precision, job.options.max_drop
    found, wanted = candidate.quality.main, fp32.quality.main
    samples = "the held-out samples" if job.origin.is_sampled else "made up samples"
    problem = gate.quality_problem(name, job.metric, found, wanted, allowed, samples)
    if name.startswith("int8") and not job.origin.is_sampled:
        problem = gate.made_up_problem(name, job.metric, found)
    return problem or _speed_problem(job, candidate, candidates)


def _speed_problem(job: Job, candidate: Candidate, candidates: Sequence[Candidate]) -> str | None:
    """Return why it is not worth having beside fp32 and, of a packed step, what it is made from."""
    is_packed = candidate.precision == PACKED
    if not candidate.times_ms or not (is_packed or job.options.precision == "auto"):
        return None
    rivals = ("fp32", "int8-cpu") if is_packed else ("fp32",)
    timed = [c for c in candidates if c.precision in rivals and c.times_ms]
    medians = {c.precision: statistics.median(c.times_ms) for c in timed}
    best = min(medians, key=medians.__getitem__)
    median_ms = statistics.median(candidate.times_ms)
    return gate.speed_problem(candidate.precision, median_ms, medians[best], best)


def _build_engines(
    job: Job, candidates: Sequence[Candidate], builders: Sequence[TensorRT]
) -> list[Engine]:
    """Build engines of all graphs for every flavour asked for, from fp16 if it is there.

    A flavour that refuses a graph is left out, with a warning, where the bundle is for something
    else too and nothing was asked for by name.

    Raises:
        BundleError: E425, E448 TensorRT refused a graph or would.
    """
    kept = [c.precision for c in candidates if not c.problem]
    precision = next(p for p in PREFERRED if p in kept)
    engines = []
    for trt in builders:
        folder = job.folder / "engines" / target_name(trt)
        folder.mkdir(parents=True)
        try:
            engines += _engines_of(job, trt, folder, precision)
        except BundleError as err:
            _go_without(job, folder.name, err)
            shutil.rmtree(folder)
    if not engines:
        shutil.rmtree(job.folder / "engines", ignore_errors=True)
    return engines


def _engines_of(job: Job, trt: TensorRT, folder: Path, precision: str) -> list[Engine]:
    """Build an engine of each graph of a precision, and its sidecar, into a folder."""
    engines = []
    options = NetworkOptions(profiles=_profiles(job))
    for role, graph in job.paths(precision).items():
        lint.check(graph, lint.of_package(trt.package, trt.version), options.profiles)
        job.say(f"building the {role} engine with {trt} from {graph.name}")
        file = folder / f"{role}.engine"
        now_and_then = _now_and_then(lambda done: job.say(f"… {100 * done:.0f} %"))
        sidecar = build_engine(trt, graph, file, options, precision, now_and_then)
        text = json.dumps({"role": role, **sidecar}, indent=1) + "\n"
        file.with_suffix(".json").write_text(text, encoding="utf-8")
        name = file.relative_to(job.folder).as_posix()
        engines.append(Engine(target=folder.name, role=role, file=name, precision=precision))
    return engines


def _profiles(job: Job) -> tuple[Profile, ...]:
    """Return the sizes an engine is for, as its samples show them; () leaves the batch's own.

    Only a tensor model may have other open sizes than that of its batch.
    """
    if job.spec.task != "tensor":
        return ()
    inputs = read_facts(job.path("model", "fp32")).inputs
    if not any(isinstance(size, str) for spec in inputs for size in spec.shape[1:]):
        return ()
    profile = {}
    for spec in inputs:
        shapes = [feeds[spec.name].shape for feeds in job.reported.tensors]
        if any(isinstance(size, str) for size in spec.shape):
            low, high = (tuple(map(end, zip(*shapes, strict=True))) for end in (min, max))
            profile[spec.name] = (low, shapes[0], high)
    return (profile,)


def _now_and_then(tell: Callable[[float], None], every_s: float = 5.0) -> Callable[[float], None]:
    """Return a progress callback that passes on at most one call in ``every_s`` seconds."""
    last = time.monotonic()

    def progress(done: float) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(done)

    return progress
