"""What ``bench_kernels`` found, as rows of text: for the terminal and for the documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgedl.bench.kernels.measure import ENOUGH_ROUNDS, OK
from edgedl.timing import describe

HEAD = ("case", "time", "GB/s", "compared", "ratio", "wanted")
FAILED = "FAILED"
MISSED = "missed"


def rows(result: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row; one row per comparison, the first tells the case as well."""
    for case in result["cases"]:
        if case["check"] != OK:
            yield (case["case"], FAILED, "", case["check"], "", "")
            continue
        ours = case["contenders"][result["targets"][0]]
        told = (case["case"], _time(ours["p50_ms"]), _number(ours["gb_s"]))
        for comparison in case["comparisons"]:
            yield (*told, *_compared(comparison, case["best_opencv"]))
            told = ("", "", "")


def notes(result: dict[str, Any]) -> list[str]:
    """Return what has to stand beside the numbers."""
    n = max((case.get("n", 0) for case in result["cases"]), default=0)
    lines = [
        f"edgedl {result['edgedl']}, {result['date']}, n = {n} rounds, one thread; "
        f"{describe(result['machine'])}, OpenCV {result['opencv']}, "
        f"NumPy {result['machine']['packages'].get('numpy', '?')}",
        f"time and GB/s: target {result['targets'][0]}; "
        "GB/s counts bytes that must be read or written, once",
        f"inputs: taken in turn out of {result['set_mib']} MiB or more",
    ]
    if result["kornia_rs"] is None:
        lines.append("kornia_rs is not installed, so it is not among those compared")
    if not result["publishable"]:
        lines.append(f"a quick look: {ENOUGH_ROUNDS} rounds or more before publishing a number")
    return lines


def _compared(comparison: dict[str, Any], best: str | None) -> tuple[str, str, str]:
    of, to, value = comparison["of"], comparison["to"], comparison["value"]
    if to is None:
        what, found = f"{of}, per call", _time(value)
        low, high = None, _time(comparison["at_most"]) if comparison["at_most"] else None
    else:
        what, found = f"{of} / {to}", f"{value:.2f}"
        low, high = comparison["at_least"], comparison["at_most"]
    if best and "best OpenCV" in what:
        what = what.replace("best OpenCV", f"best OpenCV ({best.removeprefix('OpenCV ')})")
    wanted = f"≥ {low}" if low is not None else f"≤ {high}" if high is not None else ""
    return what, found, wanted if comparison["met"] is not False else f"{wanted} {MISSED}"


def _time(value_ms: float) -> str:
    """Return milliseconds with a unit that suits them."""
    return f"{value_ms:.2f} ms" if value_ms >= 1 else f"{value_ms * 1000:.3g} µs"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"
