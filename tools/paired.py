"""Paired measurements: blocks of calls in turn, intervals of what they tell, and who disturbed."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgedl.timing import interleave

Interval = tuple[float, float]

_HALVINGS = 60


def paired_interval(lost: int, won: int, n: int, z: float = 1.96) -> Interval:
    """Return Tango's score interval of the difference of two proportions of the same samples.

    It holds all differences that the score test does not reject; of no difference that test is
    McNemar's. Unlike Wald's or a bootstrap it says something when no answer changed at all.
    Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", 1998.

    Args:
        lost: Samples that only the first has right.
        won: Samples that only the second has right.
        n: Samples, at least 1.
        z: Standard normal quantile; 1.96 for 95 %.

    Returns:
        Ends of (lost - won) / n, in [-1, 1].
    """

    def score(difference: float) -> float:
        b = -lost - won + (2 * n - lost + won) * difference
        c = -won * difference * (1 - difference)
        only_won = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * only_won + difference * (1 - difference))
        distance = lost - won - n * difference
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    middle = (lost - won) / n
    return _crossing(score, -1.0, middle, z), _crossing(score, middle, 1.0, -z)


def _crossing(falling: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Return where a falling function passes a level."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return an interval of the median that assumes nothing about the distribution.

    Its ends are two of the values: how many lie below the median is binomial. Below six values
    not even the extremes reach 95 %; they are returned nevertheless.
    """
    ordered, n = sorted(values), len(values)
    below, tail = 0, 0.0
    while below < n // 2:
        tail += math.comb(n, below) / 2**n
        if tail > (1 - confidence) / 2:
            break
        below += 1
    rank = max(0, below - 1)
    return ordered[rank], ordered[n - 1 - rank]


def in_blocks(
    calls: Mapping[str, Callable[[], object]],
    against: str,
    rounds: int,
    block_ms: float,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Time calls in turn, each many times in a row: single ones would find each other's caches.

    Args:
        calls: Name to what is timed.
        against: The one that takes about ``block_ms`` in a block; all are called as often.
        rounds: Blocks of each.
        block_ms: Milliseconds.
        clock_ns: Monotonic clock; tests pass a fake one.

    Returns:
        Name to milliseconds per call, one per round.
    """
    alone = interleave({against: calls[against]}, rounds=9, warmup=3, clock_ns=clock_ns)[against]
    times = max(1, round(block_ms / statistics.median(alone)))
    blocks = {name: _repeated(call, times) for name, call in calls.items()}
    found = interleave(blocks, rounds, warmup=2, clock_ns=clock_ns)
    return {name: [block / times for block in of_one] for name, of_one in found.items()}


def _repeated(call: Callable[[], object], times: int) -> Callable[[], None]:
    def block() -> None:
        for _ in range(times):
            call()

    return block


def speedup(
    times: Mapping[str, Sequence[float]], name: str, against: str
) -> tuple[float, Interval]:
    """Return how many times as fast one is, the median over the rounds, and its interval."""
    ratios = [b / a for a, b in zip(times[name], times[against], strict=True)]
    return statistics.median(ratios), median_interval(ratios)


class Others:
    """What other processes did to this machine while a block of code ran.

    Attributes:
        cores: How many processors they, and the host of a virtual machine, kept busy on average.
    """

    cores = 0.0

    def __enter__(self) -> Others:
        self._began = _clocks()
        return self

    def __exit__(self, *_error: object) -> None:
        all_busy, own, passed = (b - a for a, b in zip(self._began, _clocks(), strict=True))
        self.cores = max(0.0, all_busy - own) / passed


def _clocks() -> tuple[float, float, float]:
    """Return seconds of work of all processors, of this process, and of the clock."""
    first = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    user, nice, system, _idle, _waiting, *interrupts_and_stolen = map(int, first.split()[1:9])
    busy = (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")
    return busy, time.process_time(), time.perf_counter()
