"""Every case: first whether the results are right, then how long they take, in turn.

A round calls each contender once, in a new order, each with the next input of a set larger than an
L2 cache. Ratios are formed round by round, so that what slows the machine down slows both down.
"""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import cv2

import edgedl
from edgedl import _core
from edgedl.bench.kernels.case import BEST, LIMIT, OURS, Bound, Case, Contender, Trial
from edgedl.bench.kernels.drawing import drawing_cases
from edgedl.bench.kernels.kornia import kornia_version
from edgedl.bench.kernels.outputs import output_cases
from edgedl.bench.kernels.pictures import picture_cases
from edgedl.bench.kernels.steps import step_cases
from edgedl.errors import UsageError
from edgedl.options import suggest
from edgedl.timing import machine_facts, ratio, summary

ENOUGH_ROUNDS = 30
"""Below this a result is not for publication."""
QUICK_ROUNDS = 5
WARMUP = 2
OK = "ok"

Times = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelBenchOptions:
    """What to measure.

    Attributes:
        cases: Names of cases, or beginnings of names; empty means all.
        rounds: How often each contender is timed.
        set_mib: The inputs, taken in turn, are together at least so many MiB: more than an L2
            cache, so that a picture is as far away as a decoder leaves it. With more than the
            last cache holds, everyone waits for memory.
    """

    cases: tuple[str, ...] = ()
    rounds: int = 40
    set_mib: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= 100_000:
            msg = f"bench kernels rounds must be in 1..100000; got {self.rounds}"
            raise UsageError("E101", msg)
        if not 1 <= self.set_mib <= 1024:
            msg = f"bench kernels set_mib must be in 1..1024; got {self.set_mib}"
            raise UsageError("E101", msg)


def all_cases() -> list[Case]:
    """Return every case, in the order of the table."""
    return [*picture_cases(), *output_cases(), *step_cases(), *drawing_cases()]


def bench_kernels(
    options: KernelBenchOptions, progress: Callable[[int, int, str], None] | None = None
) -> dict[str, Any]:
    """Check and measure the compiled kernels on every target of this CPU, on one thread.

    Args:
        options: What to measure.
        progress: Called with cases done, cases in all, and the name of the next.

    Returns:
        ``{"edgedl", "date", "machine", "targets", "opencv", "kornia_rs", "threads", "set_mib",
        "publishable", "cases": [{"case", "what", "checked_against", "check", "n", "bytes",
        "best_opencv", "contenders": {name: {"p50_ms", "p90_ms", "max_ms", "gb_s"}},
        "comparisons": [{"of", "to", "value", "at_least", "at_most", "met"}]}]}``. ``check`` is
        ``"ok"`` or what is wrong; a case that is wrong has no times. A comparison's value is the
        median over the rounds of the time of one contender divided by that of the other; where
        ``to`` is None, milliseconds.

    Raises:
        UsageError: E101 no case has such a name.
    """
    cases = chosen(all_cases(), options.cases)
    results = []
    with _one_thread():
        for index, case in enumerate(cases):
            if progress:
                progress(index, len(cases), case.name)
            results.append(run_case(case, options.rounds, options.set_mib))
    return {
        "edgedl": edgedl.__version__,
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": machine_facts(),
        "targets": _core.cpu_targets(),
        "opencv": cv2.__version__,
        "kornia_rs": kornia_version(),
        "threads": 1,
        "set_mib": options.set_mib,
        "publishable": options.rounds >= ENOUGH_ROUNDS,
        "cases": results,
    }


def chosen(cases: Sequence[Case], names: Sequence[str]) -> list[Case]:
    """Return the cases whose names are, or begin with, one of ``names``; all without any."""
    for name in names:
        if not any(case.name.startswith(name) for case in cases):
            known = [case.name for case in cases]
            msg = f"no kernel case is called {name!r}{suggest(name, known)}; known: "
            raise UsageError("E101", msg + ", ".join(known))
    return [case for case in cases if not names or case.name.startswith(tuple(names))]


def run_case(case: Case, rounds: int, set_mib: int = 1) -> dict[str, Any]:
    """Check one case; measure it if it is right."""
    trial = case.make(set_mib)
    contenders = _on_targets(trial)
    result: dict[str, Any] = {
        "case": case.name,
        "what": case.what,
        "checked_against": case.checked_against,
        "check": _first_problem(trial, contenders) or OK,
    }
    if result["check"] != OK:
        return result
    times = time_in_turn(trial, contenders, rounds)
    fastest = min(trial.opencv, key=lambda name: statistics.median(times[name]), default=None)
    return {
        **result,
        "n": rounds,
        "bytes": trial.bytes or None,
        "best_opencv": fastest,
        "contenders": {
            name: _times(times[name], trial.bytes if one is trial.ours or name == LIMIT else 0)
            for name, (_target, one) in contenders.items()
        },
        "comparisons": _comparisons(case.bounds, trial, times, fastest),
    }


def _on_targets(trial: Trial) -> dict[str, tuple[str, Contender]]:
    """Return name to target and contender: ours once for each target, under its name."""
    targets = _core.cpu_targets()
    ours = {name: (name, trial.ours) for name in targets}
    return {**ours, **{name: (targets[0], one) for name, one in trial.others.items()}}


def _first_problem(trial: Trial, contenders: Mapping[str, tuple[str, Contender]]) -> str | None:
    """Compare what each contender computes with what it must be."""
    for name, (target, contender) in contenders.items():
        if contender.check is None:
            continue
        _core.set_cpu_target(target)
        for given in (trial.inputs[-1], trial.inputs[0]):  # what one leaves is wrong for the other
            _restore(trial, given)
            result = contender.call(given)
        if problem := contender.check(result, trial.inputs[0]):
            return f"{name}: {problem}"
    return None


def time_in_turn(
    trial: Trial, contenders: Mapping[str, tuple[str, Contender]], rounds: int
) -> Times:
    """Return milliseconds of each contender, one for each round."""
    order = random.Random(0)
    times: Times = {name: [] for name in contenders}
    inputs = itertools.cycle(trial.inputs)
    for index in range(WARMUP + rounds):
        for name in order.sample(list(contenders), len(contenders)):
            target, contender = contenders[name]
            _core.set_cpu_target(target)
            given = next(inputs)
            _restore(trial, given)
            took = _time(contender, given, trial.repeats)
            if index >= WARMUP:
                times[name].append(took)
    return times


def _restore(trial: Trial, given: Any) -> None:
    if trial.restore is not None:
        trial.restore(given)


def _time(contender: Contender, given: Any, repeats: int) -> float:
    call = contender.call
    start = time.perf_counter_ns()
    for _ in range(repeats):
        call(given)
    return (time.perf_counter_ns() - start) / 1e6 / repeats


def _times(samples_ms: Sequence[float], size: int) -> dict[str, float | None]:
    found = summary(samples_ms)
    times = {f"{name}_ms": _rounded(found[name]) for name in ("p50", "p90", "max")}
    middle = statistics.median(samples_ms)
    return {**times, "gb_s": _rounded(size / middle / 1e6) if size else None}


def _comparisons(
    bounds: Sequence[Bound], trial: Trial, times: Times, fastest: str | None
) -> list[dict[str, Any]]:
    """Form the ratios that are bounded, then those of everyone else to us."""
    alias = {OURS: _core.cpu_targets()[0], BEST: fastest}
    ratios = []
    for bound in (*bounds, *_unbounded(bounds, trial, times)):
        of, to = (alias.get(name, name) if name else None for name in (bound.of, bound.to))
        if of not in times or (bound.to is not None and to not in times):
            continue  # a target that this CPU has not
        value = ratio(times, of, to) if to else statistics.median(times[of])
        is_bounded = (bound.at_least, bound.at_most) != (None, None)
        ratios.append(
            {
                "of": bound.of if bound.of == BEST else of,
                "to": bound.to if bound.to == BEST else to,
                "value": _rounded(value),
                "at_least": bound.at_least,
                "at_most": bound.at_most,
                "met": bound.holds(value) if is_bounded else None,
            }
        )
    return ratios


def _unbounded(bounds: Sequence[Bound], trial: Trial, times: Times) -> Iterator[Bound]:
    told = {name for bound in bounds for name in (bound.of, bound.to)}
    told |= {_core.cpu_targets()[0], *trial.opencv}
    if trial.opencv and BEST not in told:
        yield Bound(of=BEST, to=OURS)
    for name in (*trial.others, *times):
        if name not in told:
            told.add(name)
            yield Bound(of=OURS, to=name) if name == LIMIT else Bound(of=name, to=OURS)


def _rounded(value: float | None) -> float | None:
    """Round to four digits, which is more than any repetition agrees in."""
    return None if value is None else float(f"{value:.4g}")


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread, and leave it and the chosen target as they were."""
    threads, target = cv2.getNumThreads(), _core.cpu_target()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
        _core.set_cpu_target(target)
