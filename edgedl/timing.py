"""Fair timing: candidates measured in turn, honest percentiles, and what machine it was.

Clocks drift, and another process may wake up: timing one candidate after the other compares two
machines. ``interleave`` runs every candidate once per round instead, so that a disturbance hits
all of them, and ``ratio`` compares them round by round.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PERCENTILE_CONFIDENCE = 0.99
"""How sure a printed percentile must be not to be too low."""

P99_MIN_SAMPLES = 662
"""Below this many samples no p99 is given: see ``smallest_n``, which derives the number."""

CPU_FEATURES = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "asimddp",
    "i8mm",
)
PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "onnx",
    "torch",
    "tensorrt_rtx",
    "tensorrt",
)


def smallest_n(fraction: float, confidence: float = PERCENTILE_CONFIDENCE) -> int:
    """Return how many samples a percentile needs before it says anything.

    The rule of MLPerf's early stopping: the t-th highest of n latencies is an upper bound of the
    percentile at ``confidence`` when a binomial variable with n trials of probability
    1 - ``fraction`` is at most t with probability at most 1 - ``confidence``. The smallest n is
    the one that allows t = 1: p^n + n (1-p) p^(n-1) <= 1 - confidence.

    Args:
        fraction: The percentile, in (0, 1): 0.99 for p99.
        confidence: In (0, 1).

    Returns:
        11 for p50, 64 for p90, 130 for p95, 662 for p99, 6636 for p99.9 at the default confidence.
    """
    n = 1
    while fraction**n + n * (1 - fraction) * fraction ** (n - 1) > 1 - confidence:
        n += 1
    return n


def percentile(samples: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: always one of the samples, never between two.

    Args:
        samples: At least one, in any order.
        percent: In (0, 100].
    """
    if not samples or not 0 < percent <= 100:
        msg = f"percentile needs samples and a percent in (0, 100]; got {len(samples)}, {percent}"
        raise ValueError(msg)
    # Rounded first: 0.07 * 100 is 7.000000000000001 and would otherwise be rank 8.
    rank = math.ceil(round(percent * len(samples) / 100, 9))
    return sorted(samples)[rank - 1]


def summary(samples_ms: Sequence[float]) -> dict[str, float | int | None]:
    """Return p50, p90, p99, max and n; p99 is None below ``P99_MIN_SAMPLES`` samples."""
    enough = len(samples_ms) >= P99_MIN_SAMPLES
    return {
        "p50": percentile(samples_ms, 50),
        "p90": percentile(samples_ms, 90),
        "p99": percentile(samples_ms, 99) if enough else None,
        "max": max(samples_ms),
        "n": len(samples_ms),
    }


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    warmup: int,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Time every call once per round; the call that goes first changes from round to round.

    Args:
        calls: Name to what is timed.
        rounds: Timed rounds.
        warmup: Untimed rounds before them: allocations, caches and clocks settle here.
        clock_ns: Monotonic clock; tests pass a fake one.

    Returns:
        Name to ``rounds`` times in milliseconds, in the order measured.
    """
    for _ in range(warmup):
        for call in calls.values():
            call()
    names = list(calls)
    times_ms: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        first = index % max(len(names), 1)
        for name in names[first:] + names[:first]:
            start = clock_ns()
            calls[name]()
            times_ms[name].append((clock_ns() - start) / 1e6)
    return times_ms


def ratio(times_ms: Mapping[str, Sequence[float]], name: str, against: str) -> float:
    """Return how many times as long ``name`` took as ``against``: the median over the rounds."""
    pairs = zip(times_ms[name], times_ms[against], strict=True)
    return statistics.median(a / b for a, b in pairs)


def machine_facts() -> dict[str, Any]:
    """Return what a number depends on: processor, memory, system, versions.

    Never a host name, user name, path or address: the result is written into bundles and reports.
    """
    cpu, features = _cpu(_text("/proc/cpuinfo"))
    return {
        "board": _text("/proc/device-tree/model").strip("\0\n ") or None,
        "cpu": cpu or platform.processor() or platform.machine(),
        "arch": platform.machine(),
        "cpu_features": features,
        "cores": os.cpu_count(),
        "cores_allowed": allowed_cores(),
        "memory_gib": _memory_gib(_text("/proc/meminfo")),
        "governor": _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        "gpu": _gpu(),
        "os": _os_name(_text("/etc/os-release")) or platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": _versions(PACKAGES),
    }


def describe(machine: Mapping[str, Any]) -> str:
    """Return ``machine_facts()`` as one line for people."""
    parts = [
        str(machine.get("board") or machine.get("cpu") or "unknown processor"),
        f"{machine.get('cores_allowed') or machine.get('cores') or '?'} cores",
    ]
    if machine.get("memory_gib"):
        parts.append(f"{machine['memory_gib']} GiB")
    if machine.get("gpu"):
        parts.append(str(machine["gpu"]))
    parts += [str(machine.get("os") or ""), f"Python {machine.get('python', '?')}"]
    version = machine.get("packages", {}).get("onnxruntime")
    parts += [f"onnxruntime {version}"] if version else []
    return ", ".join(part for part in parts if part)


def _text(path: str) -> str:
    """Return a small text file of the system, or nothing where it does not exist."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu(cpuinfo: str) -> tuple[str, list[str]]:
    """Return the processor's name and those of its features that decide about int8 speed."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip().lower(), value.strip())
    flags = set((fields.get("flags") or fields.get("features") or "").split())
    return fields.get("model name", ""), [name for name in CPU_FEATURES if name in flags]


def allowed_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gib(meminfo: str) -> float | None:
    for line in meminfo.splitlines():
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _os_name(os_release: str) -> str:
    for line in os_release.splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return ""


def _gpu() -> str | None:
    """Return the model of the first NVIDIA GPU as its driver tells it."""
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for line in _text(str(path)).splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return None


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
