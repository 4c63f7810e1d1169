"""From a run to a bundle: write the graphs, measure them, keep what is worth it, say why."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from edgedl.bundle import Bundle, new_folder
from edgedl.bundle.manifest import Engine
from edgedl.engines import tensorrt_api
from edgedl.engines.build import build_engine, target_name
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import BundleError, MachineError
from edgedl.export import gate
from edgedl.export.assemble import assemble
from edgedl.export.evaluate import (
    check_finite,
    compare_with_torch,
    differences,
    time_captions,
)
from edgedl.export.half import to_half
from edgedl.export.job import Candidate, Job, Say
from edgedl.export.options import ExportOptions
from edgedl.export.quantize import (
    Recipe,
    encoder_int8_cpu,
    int8_trt,
    recipes_for,
    step_int8_cpu,
)
from edgedl.export.to_onnx import ROLES, write_graphs
from edgedl.timing import machine_facts
from edgedl.train.captioner import MAX_TOKENS
from edgedl.train.run_folder import Run

INT8_BOUND_POINTS = 0.5
"""An INT8 graph that loses more is made again by the next, more careful recipe."""

_COMPARED = 16  # held-out pictures on which graphs are compared output by output


def export(
    run_path: Path | str,
    out: Path | str,
    options: ExportOptions | None = None,
    progress: Say | None = None,
) -> Bundle:
    """Make a bundle of a run.

    Args:
        run_path: A folder written by ``edgedl train``.
        out: The bundle to make, ``NAME.edge``; it appears complete or not at all.
        options: What to write and what it must be worth.
        progress: Called with one line per stage.

    Returns:
        The bundle, opened and checked.

    Raises:
        BundleError: E400 no run, E432 ``out`` exists, E440 the graphs differ from the network,
            E441 a precision asked for by name loses too much, E425 TensorRT refused a graph.
        DataError: E353, E354 nothing to calibrate on.
        MachineError: E600, E601, E602 a target needs what this machine lacks.
    """
    options, out = options or ExportOptions(), Path(out)
    builders = _builders(options.targets)
    run = Run.open(run_path)
    with new_folder(out, options.force) as folder:
        (folder / "graphs").mkdir()
        job = Job(run, options, folder, progress or (lambda _text: None), MAX_TOKENS)
        candidates = [_candidate(job, p) for p in gate.precisions_of(options.precision)]
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


def _candidate(job: Job, precision: str) -> Candidate:
    """Write the graphs of one precision and measure their quality."""
    candidate = Candidate(precision)
    try:
        candidate.recipe = _write(job, precision)
        job.say(f"captioning {len(job.reported)} held-out pictures with {precision}")
        candidate.quality = job.judge(precision, job.reported)
    except BundleError as err:
        if precision == "fp32" or job.options.precision != "auto":
            raise
        candidate.problem = str(err)
        return candidate
    candidate.size_bytes = sum(path.stat().st_size for path in job.paths(precision).values())
    with job.open(precision) as found, job.open("fp32") as fp32:
        for tensor in job.reported.tensors[:_COMPARED]:
            for name, error in differences(found, fp32, tensor[None]).items():
                candidate.errors[name] = max(error, candidate.errors.get(name, 0.0))
    return candidate


def _write(job: Job, precision: str) -> Recipe | None:
    """Write the graphs of one precision; fp32 comes first, the others are made from it."""
    if precision == "fp32":
        job.say("exporting encoder and step to ONNX")
        network = job.run.network()
        check_finite(network)
        write_graphs(network, job.run.spec.shape, len(job.run.vocab), job.folder / "graphs")
        with job.open("fp32") as fp32:
            compared = job.reported.tensors[:_COMPARED]
            job.torch_errors = compare_with_torch(network, fp32, compared)
        return None
    if precision == "fp16":
        job.say("writing fp16")
        for role in ROLES:
            to_half(job.path(role, "fp32"), job.path(role, "fp16"))
        return None
    return _quantize(job, precision)


def _quantize(job: Job, precision: str) -> Recipe:
    """Write an INT8 precision by the first recipe that keeps the quality, else by the best."""
    of_fp32 = job.judge("fp32", job.choosing).exact
    lost: dict[Recipe, float] = {}
    for recipe in recipes_for(precision, machine_facts()):
        job.say(f"quantising {precision} ({recipe})")
        _write_int8(job, precision, recipe)
        lost[recipe] = gate.drop_points(job.judge(precision, job.choosing).exact, of_fp32)
        if lost[recipe] <= INT8_BOUND_POINTS:
            return recipe
    best = min(lost, key=lost.__getitem__)
    _write_int8(job, precision, best)
    return best


def _write_int8(job: Job, precision: str, recipe: Recipe) -> None:
    sources, outs = job.paths("fp32"), job.paths(precision)
    if precision == "int8-cpu":
        encoder_int8_cpu(sources["encoder"], outs["encoder"], job.feeds["encoder"], recipe)
        step_int8_cpu(sources["step"], outs["step"], recipe)
    else:
        for role in ROLES:
            int8_trt(sources[role], outs[role], job.feeds[role], recipe)


def _measure_speed(job: Job, candidates: Sequence[Candidate]) -> None:
    """Time what this machine may be asked to run: fp32, and the INT8 made for CPUs."""
    timed = {
        c.precision: c for c in candidates if c.precision in ("fp32", "int8-cpu") and not c.problem
    }
    job.say(f"timing {' and '.join(timed)} in turn, {job.options.rounds} captions each")
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(job.open(name)) for name in timed}
        times = time_captions(sessions, job.reported.tensors, job.options.rounds)
    for name, candidate in timed.items():
        candidate.times_ms = times[name]


def _decide(job: Job, candidates: Sequence[Candidate]) -> None:
    """Say of each precision whether it is worth it, and remove the graphs of those that are not.

    Raises:
        BundleError: E441 a precision was asked for by name and loses too much.
    """
    for candidate in candidates[1:]:
        candidate.problem = candidate.problem or _problem(job, candidate, candidates[0])
        if candidate.problem is None:
            continue
        if job.options.precision != "auto":
            msg = (
                f"{candidate.problem}; nothing was written: allow more with --max-drop, "
                "or use --precision auto"
            )
            raise BundleError("E441", msg)
        job.say(f"refused: {candidate.problem}")
        for path in job.paths(candidate.precision).values():
            path.unlink(missing_ok=True)


def _problem(job: Job, candidate: Candidate, fp32: Candidate) -> str | None:
    assert candidate.quality is not None
    assert fp32.quality is not None
    problem = gate.quality_problem(
        candidate.precision,
        candidate.quality.exact,
        fp32.quality.exact,
        job.options.max_drop_points,
    )
    if problem is None and candidate.times_ms and job.options.precision == "auto":
        medians = (statistics.median(c.times_ms) for c in (candidate, fp32))
        problem = gate.speed_problem(candidate.precision, *medians)
    return problem


def _build_engines(
    job: Job, candidates: Sequence[Candidate], builders: Sequence[TensorRT]
) -> list[Engine]:
    """Build engines of both graphs for every flavour asked for, from fp16 if it is there."""
    kept = [c.precision for c in candidates if not c.problem]
    precision = next(p for p in ("fp16", "int8-trt", "fp32") if p in kept)
    engines = []
    for trt in builders:
        target = target_name(trt)
        folder = job.folder / "engines" / target
        folder.mkdir(parents=True)
        for role, graph in job.paths(precision).items():
            job.say(f"building the {role} engine with {trt} from {graph.name}")
            file = folder / f"{role}.engine"
            now_and_then = _now_and_then(lambda done: job.say(f"… {100 * done:.0f} %"))
            sidecar = build_engine(trt, graph, file, NetworkOptions(), precision, now_and_then)
            text = json.dumps({"role": role, **sidecar}, indent=1) + "\n"
            file.with_suffix(".json").write_text(text, encoding="utf-8")
            name = file.relative_to(job.folder).as_posix()
            engines.append(Engine(target=target, role=role, file=name, precision=precision))
    return engines


def _now_and_then(tell: Callable[[float], None], every_s: float = 5.0) -> Callable[[float], None]:
    """Return a progress callback that passes on at most one call in ``every_s`` seconds."""
    last = time.monotonic()

    def progress(done: float) -> None:
        nonlocal last
        if time.monotonic() - last >= every_s:
            last = time.monotonic()
            tell(done)

    return progress
