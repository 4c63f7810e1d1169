"""Pure parts of the timer: no test here depends on how long anything takes."""

import json
import platform

import pytest

from edgedl import timing


@pytest.mark.parametrize(
    ("fraction", "n"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662), (0.999, 6636)]
)
def test_smallest_n_of_each_percentile(fraction: float, n: int) -> None:
    assert timing.smallest_n(fraction) == n


def test_p99_constant_is_the_derived_number() -> None:
    assert timing.smallest_n(0.99) == timing.P99_MIN_SAMPLES


@pytest.mark.parametrize(
    ("percent", "expected"), [(1, 1), (7, 7), (50, 50), (90, 90), (99, 99), (100, 100)]
)
def test_percentile_is_the_nearest_rank(percent: float, expected: int) -> None:
    assert timing.percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_few_samples_is_one_of_them() -> None:
    assert timing.percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert timing.percentile([3.0, 1.0], 50) == 1.0
    assert timing.percentile([3.0], 0.1) == 3.0


@pytest.mark.parametrize(("samples", "percent"), [([], 50), ([1.0], 0), ([1.0], 101)])
def test_percentile_refuses(samples: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="percentile needs samples"):
        timing.percentile(samples, percent)


def test_no_p99_below_662_samples() -> None:
    assert timing.summary([1.0] * 661)["p99"] is None
    assert timing.summary([1.0] * 662)["p99"] == 1.0
    assert timing.summary([2.0, 1.0]) == {"p50": 1.0, "p90": 2.0, "p99": None, "max": 2.0, "n": 2}


def test_interleave_runs_each_once_per_round_and_takes_turns_at_being_first() -> None:
    order: list[str] = []
    ticks = iter(range(0, 10**9, 1_000_000))
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = timing.interleave(calls, rounds=3, warmup=1, clock_ns=lambda: next(ticks))
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"
    assert times == {"a": [1.0] * 3, "b": [1.0] * 3}


def test_interleave_without_calls() -> None:
    assert timing.interleave({}, rounds=2, warmup=1) == {}


def test_ratio_is_the_median_over_rounds() -> None:
    times = {"new": [1.0, 30.0, 1.0], "old": [2.0, 10.0, 2.0]}
    assert timing.ratio(times, "new", "old") == 0.5


def test_machine_facts_are_json_and_tell_no_names() -> None:
    facts = timing.machine_facts()
    text = json.dumps(facts)
    assert facts["python"] == platform.python_version()
    assert "numpy" in facts["packages"]
    assert platform.node() == "" or f'"{platform.node()}"' not in text
    assert "/home/" not in text
    assert timing.describe(facts).count("Python") == 1


def test_cpu_of_x86_and_of_arm() -> None:
    x86 = "model name\t: Fast CPU\nflags\t\t: fpu avx2 avx512_vnni\nmodel name\t: Other\n"
    assert timing._cpu(x86) == ("Fast CPU", ["avx2", "avx512_vnni"])
    assert timing._cpu("Features\t: fp asimd asimddp\n") == ("", ["asimd", "asimddp"])
    assert timing._cpu("") == ("", [])


def test_describe_of_an_empty_record() -> None:
    assert timing.describe({}) == "unknown processor, ? cores, Python ?"
