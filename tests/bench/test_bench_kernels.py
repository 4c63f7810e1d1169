"""The measurement of the kernels: what is checked, what is told, and that wrong ones fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedl import ImageSpec, Preprocessor, _core
from edgedl.bench.kernels import KernelBenchOptions, bench_kernels, measure
from edgedl.bench.kernels.case import (
    BEST,
    LIMIT,
    OURS,
    Bound,
    Case,
    Contender,
    Trial,
    at_least,
    at_most,
    enough,
    same_bits,
    within,
)
from edgedl.bench.kernels.measure import all_cases, chosen, run_case
from edgedl.bench.kernels.pictures import touched_bytes
from edgedl.bench.kernels.table import HEAD, notes, rows
from edgedl.cli import main
from edgedl.errors import UsageError

TARGETS = _core.cpu_targets()
SMALL = "preprocess/call"


def plus_one(values: np.ndarray) -> np.ndarray:
    return values + 1


def tiny(ours: Any = plus_one, others: Any = None, **options: Any) -> Case:
    inputs = [np.arange(i, i + 8, dtype=np.float32) for i in range(3)]
    check = same_bits(plus_one)
    trial = Trial(
        inputs=inputs, ours=Contender(ours, check), others=others or {}, bytes=64, **options
    )
    return Case(name="tiny", what="+ 1", checked_against="NumPy", make=lambda _set_mib: trial)


@pytest.fixture
def milliseconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What a call costs by the clock; calls named by whom the test asks to ``spend`` it."""
    now = {"ms": 0.0}
    monkeypatch.setattr(measure.time, "perf_counter_ns", lambda: int(now["ms"] * 1e6))
    return now


def test_every_target_and_rival_is_timed_and_the_ratios_are_those_of_the_times(
    milliseconds: dict[str, float],
) -> None:
    def costs(cost: float) -> Any:
        def call(values: np.ndarray) -> np.ndarray:
            milliseconds["ms"] += cost
            return values + 1

        return call

    others = {
        "slow": Contender(costs(8)),
        "a": Contender(costs(6)),
        "b": Contender(costs(4)),
        LIMIT: Contender(costs(1)),
    }
    bounds = (at_least(5, "slow"), at_least(1, BEST), at_most(1.5, LIMIT))
    bounds += (Bound(of=OURS, to=None, at_most=2.5), Bound(of="vax", to=OURS, at_most=9))
    case = tiny(costs(2), others, opencv=("a", "b"))
    case = Case(name="t", what="", checked_against="", make=case.make, bounds=bounds)
    result = run_case(case, rounds=4)
    assert result["check"] == "ok"
    assert result["n"] == 4
    assert result["best_opencv"] == "b"
    assert list(result["contenders"]) == [*TARGETS, *others]
    best = TARGETS[0]
    assert result["contenders"][best] == {
        "p50_ms": 2,
        "p90_ms": 2,
        "max_ms": 2,
        "gb_s": pytest.approx(64 / 2e6, rel=1e-3),
    }
    assert result["contenders"]["slow"]["gb_s"] is None
    found = [(c["of"], c["to"], c["value"], c["met"]) for c in result["comparisons"]]
    assert found == [
        ("slow", best, 4, False),
        (BEST, best, 2, True),
        (best, LIMIT, 2, False),
        (best, None, 2, True),
        *((name, best, 1, None) for name in TARGETS[1:]),
    ]


def test_contenders_take_turns_with_inputs_of_their_own() -> None:
    seen: list[tuple[str, float]] = []

    def noted(name: str) -> Contender:
        def call(values: np.ndarray) -> np.ndarray:
            seen.append((name, float(values[0])))
            return values + 1

        return Contender(call, same_bits(plus_one))

    trial = Trial(
        inputs=[np.full(2, i, np.float32) for i in range(5)],
        ours=noted("ours"),
        others={"other": noted("other"), "third": noted("third")},
    )
    contenders = {"x": (TARGETS[0], trial.ours)}
    contenders |= {name: (TARGETS[0], one) for name, one in trial.others.items()}
    measure.time_in_turn(trial, contenders, rounds=20)
    assert [value for _name, value in seen] == [i % 5 for i in range(len(seen))]
    turns = [tuple(name for name, _ in seen[i : i + 3]) for i in range(0, len(seen), 3)]
    assert all(sorted(turn) == ["other", "ours", "third"] for turn in turns)
    assert len(set(turns)) > 3


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_wrong_on_one_target_is_named_and_not_timed(name: str) -> None:
    def ours(values: np.ndarray) -> np.ndarray:
        return values + (1 if _core.cpu_target() != name else 2)

    before = _core.cpu_target()
    result = run_case(tiny(ours), rounds=1)
    _core.set_cpu_target(before)
    assert result["check"].startswith(f"{name}: 8 ") or result["check"].startswith(f"{name}: ")
    assert "differ from the definition" in result["check"]
    assert "contenders" not in result


def test_a_kernel_that_writes_nothing_fails() -> None:
    kept = np.zeros(8, np.float32)
    assert "differ" in run_case(tiny(lambda _: kept), rounds=1)["check"]


def test_a_rival_that_computes_something_else_fails() -> None:
    others = {"rival": Contender(lambda v: v + 1.1, within(plus_one, 0.05))}
    found = run_case(tiny(others=others), rounds=1)["check"]
    assert found == "rival: 100.00% of the values are more than 0.05 away"
    others = {"rival": Contender(lambda v: v[:2], within(plus_one, 0.05))}
    found = run_case(tiny(others=others), rounds=1)["check"]
    assert found == "rival: the result is (2,) float32, not (8,) float32"


def test_the_chosen_target_stays() -> None:
    before = _core.cpu_target()
    _core.set_cpu_target(TARGETS[-1])
    bench_kernels(KernelBenchOptions(cases=(SMALL,), rounds=1))
    assert _core.cpu_target() == TARGETS[-1]
    _core.set_cpu_target(before)


def test_what_is_drawn_over_is_restored_before_each_call(milliseconds: dict[str, float]) -> None:
    def draw(values: np.ndarray) -> np.ndarray:
        milliseconds["ms"] += 2
        values += 1
        return values

    def restore(values: np.ndarray) -> None:
        milliseconds["ms"] += 5  # which nobody is charged for
        values[:] = np.arange(8)

    inputs = [np.full(8, np.nan, np.float32) for _ in range(3)]
    right = same_bits(lambda _drawn: np.arange(1, 9, dtype=np.float32))
    trial = Trial(
        inputs=inputs,
        ours=Contender(draw, right),
        others={"rival": Contender(draw, right)},
        restore=restore,
    )
    case = Case(name="tiny", what="+ 1", checked_against="", make=lambda _set_mib: trial)
    result = run_case(case, rounds=3)
    assert result["check"] == "ok"
    assert {times["max_ms"] for times in result["contenders"].values()} == {2}


@pytest.mark.slow
@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_every_case_is_right_and_measures_something(case: Case) -> None:
    result = run_case(case, rounds=1)
    assert result["check"] == "ok"
    assert all(times["p50_ms"] > 0 for times in result["contenders"].values())
    assert all(one["value"] > 0 for one in result["comparisons"])
    assert {b.of for b in case.bounds} - {"avx2", OURS, BEST} <= set(result["contenders"])


def test_names_of_cases() -> None:
    cases = all_cases()
    names = [case.name for case in cases]
    assert len(set(names)) == len(names)
    assert chosen(cases, ()) == cases
    assert [c.name for c in chosen(cases, ["nms/"])] == ["nms/25200", "nms/25200-all"]
    with pytest.raises(UsageError, match=r"'nms/2520x'; did you mean 'nms/25200'\?; known: pre"):
        chosen(cases, ["nms/2520x"])
    with pytest.raises(UsageError, match=r"rounds must be in 1..100000; got 0"):
        KernelBenchOptions(rounds=0)
    with pytest.raises(UsageError, match=r"set_mib must be in 1..1024; got 0"):
        KernelBenchOptions(set_mib=0)


def test_the_set_of_inputs_is_as_large_as_wanted() -> None:
    one = np.zeros(1 << 20, np.uint8)
    assert enough(one, lambda index: index, 8) == list(range(8))
    assert enough(one, lambda index: index, 1) == [0, 1, 2]
    assert len(enough(one[:1], lambda index: index, 8)) == 512


def test_bytes_that_must_be_touched() -> None:
    to_224, out = ImageSpec(size_hw=(224, 224)), 224 * 224 * 12
    assert touched_bytes(to_224, "bgr8", (1080, 1920)) == 448 * 1920 * 3 + out
    third = ImageSpec(size_hw=(640, 640), fit="letterbox")
    assert touched_bytes(third, "bgr8", (1080, 1920)) == 360 * 1920 * 3 + 640 * 640 * 12
    same = ImageSpec(size_hw=(8, 8), dtype="uint8")
    assert touched_bytes(same, "nv12", (8, 8)) == 8 * 8 + 4 * 8 + 192
    area = ImageSpec(size_hw=(4, 4), fit="crop", resize="area", dtype="uint8")
    assert touched_bytes(area, "yuyv", (8, 16)) == 8 * 8 * 2 + 48


def test_rows_for_people() -> None:
    result = bench_kernels(KernelBenchOptions(cases=(SMALL,), rounds=1))
    table = list(rows(result))
    assert {len(row) for row in table} == {len(HEAD)}
    assert table[0][0] == SMALL
    assert table[0][3:] == (f"{TARGETS[0]}, per call", table[0][1], table[0][5])
    assert table[0][5].startswith("≤ 1.5 µs")
    said = " ".join(notes(result))
    assert "one thread" in said
    assert "30 rounds or more before publishing" in said
    result["cases"][0] = {"case": "x", "check": "avx2: 3 bytes differ"}
    assert list(rows(result)) == [("x", "FAILED", "", "avx2: 3 bytes differ", "", "")]


def test_the_command_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "kernels.json"
    command = ["bench", "kernels", "--rounds", "2", "--case", SMALL, "denormalize"]
    assert main([*command, "--json", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "NumPy / " in shown
    result = json.loads(path.read_text())
    assert set(result) == {
        "edgedl",
        "date",
        "machine",
        "targets",
        "opencv",
        "kornia_rs",
        "threads",
        "set_mib",
        "publishable",
        "cases",
    }
    assert result["targets"] == TARGETS
    assert result["publishable"] is False
    assert [case["case"] for case in result["cases"]] == [SMALL, "denormalize/512"]
    for case in result["cases"]:
        assert case["check"] == "ok"
        assert case["n"] == 2
        assert all(times["p50_ms"] > 0 for times in case["contenders"].values())
        assert {"of", "to", "value", "at_least", "at_most", "met"} == set(case["comparisons"][0])
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threads"] == 1


def test_a_broken_kernel_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = Preprocessor.into

    def wrong(self: Preprocessor, pixels: Any, out: Any) -> None:
        right(self, pixels, out)
        out.reshape(-1)[0] += 1

    monkeypatch.setattr(Preprocessor, "into", wrong)
    path = tmp_path / "kernels.json"
    command = ["bench", "kernels", "--quick", "--case", SMALL, "denormalize", "--json", str(path)]
    assert main(command) == 70
    captured = capsys.readouterr()
    assert f"FAILED {SMALL}: {TARGETS[0]}: " in captured.err
    assert "FAILED" in captured.out
    wrong_case, other = json.loads(path.read_text())["cases"]
    assert "differ from the definition" in wrong_case["check"]
    assert "contenders" not in wrong_case
    assert other["check"] == "ok"


def test_kernels_is_a_command_and_a_bundle_of_that_name_has_a_path(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command, text in (
        (["bench", "--help"], "edgedl bench kernels --quick"),
        (["bench", "kernels", "--help"], "usage: edgedl bench kernels [-h] [--case NAME"),
    ):
        with pytest.raises(SystemExit):
            main(command)
        assert text in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "./kernels"]) == 4
    assert "kernels is not a bundle" in capsys.readouterr().err
    assert main(["bench", "kernels", "--frames", "3"]) == 2
    assert "see: edgedl bench kernels --help" in capsys.readouterr().err
