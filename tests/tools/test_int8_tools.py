"""The arithmetic of the tools that measure INT8, and one comparison end to end."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from idx_files import write_quarters
from tool_scripts import TOOLS, as_a_script, load_tool, run_tool


@pytest.fixture(autouse=True)
def _as_a_script() -> Iterator[None]:
    with as_a_script():
        yield


@pytest.fixture
def paired() -> Any:
    return load_tool("paired")


def score(difference: float, lost: int, won: int, n: int) -> float:
    """Return the score statistic, its nuisance found by trying all values."""
    only_won = np.linspace(max(0.0, -difference), (1 - difference) / 2, 20001)[1:-1]
    only_lost, rest = only_won + difference, 1 - 2 * only_won - difference
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [
            count * np.log(part) if count else np.zeros_like(part)
            for count, part in ((lost, only_lost), (won, only_won), (n - lost - won, rest))
        ]
    best = int(np.nanargmax(sum(terms)))
    variance = n * (only_lost[best] + only_won[best] - difference**2)
    return float((lost - won - n * difference) / math.sqrt(variance))


@pytest.mark.parametrize(
    ("lost", "won", "n"), [(9, 3, 200), (3, 9, 200), (40, 41, 1000), (5, 0, 100), (1, 1, 30)]
)
def test_the_score_test_just_does_not_reject_the_ends(
    paired: Any, lost: int, won: int, n: int
) -> None:
    low, high = paired.paired_interval(lost, won, n)
    assert low < (lost - won) / n < high
    assert score(low, lost, won, n) == pytest.approx(1.96, abs=0.01)
    assert score(high, lost, won, n) == pytest.approx(-1.96, abs=0.01)
    assert paired.paired_interval(won, lost, n) == pytest.approx((-high, -low), abs=1e-9)


def test_of_no_difference_the_interval_and_mcnemar_agree(paired: Any) -> None:
    for lost in range(40):
        rejects = (lost - 10) ** 2 > 1.96**2 * (lost + 10)
        low, high = paired.paired_interval(lost, 10, 500)
        assert (low > 0 or high < 0) == rejects


def test_no_change_still_leaves_doubt(paired: Any) -> None:
    low, high = paired.paired_interval(0, 0, 1000)
    assert -low == pytest.approx(high)
    assert high == pytest.approx(1.96**2 / (1000 + 1.96**2), rel=1e-6)


@pytest.mark.parametrize("n", [6, 9, 40, 101])
def test_median_interval_is_the_narrowest_that_is_sure(paired: Any, n: int) -> None:
    values = list(np.random.default_rng(n).permutation(n))
    low, high = paired.median_interval(values)

    def missed(rank: int) -> float:  # the median lies below the value of this rank, from 0
        return sum(math.comb(n, k) for k in range(rank + 1)) / 2**n

    assert high == n - 1 - low
    assert missed(low) <= 0.025 < missed(low + 1)


def test_few_values_give_their_extremes(paired: Any) -> None:
    assert paired.median_interval([3.0, 1.0, 2.0]) == (1.0, 3.0)


def test_blocks_last_as_long_as_asked_for(paired: Any) -> None:
    now, made = [0], {"slow": 0, "quick": 0}

    def call(name: str, ns: int) -> None:
        made[name] += 1
        now[0] += ns

    calls = {
        "slow": lambda: call("slow", 4_000_000),
        "quick": lambda: call("quick", 1_000_000),
    }
    times = paired.in_blocks(calls, "slow", 5, block_ms=20.0, clock_ns=lambda: now[0])
    assert times == {"slow": [4.0] * 5, "quick": [1.0] * 5}
    assert made["quick"] == (5 + 2) * 5  # warm-up rounds too, five calls make 20 ms
    assert paired.speedup(times, "quick", "slow") == (4.0, (4.0, 4.0))


def test_speed_is_compared_round_by_round(paired: Any) -> None:
    times = {"fp32": [2.0, 4.0, 8.0], "int8": [1.0, 2.0, 8.0]}
    assert paired.speedup(times, "int8", "fp32") == (2.0, (1.0, 2.0))


def test_others_are_all_work_but_our_own(paired: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([(100.0, 5.0, 50.0), (115.0, 9.0, 60.0)])
    monkeypatch.setattr(paired, "_clocks", lambda: next(readings))
    with paired.Others() as others:
        pass
    assert others.cores == pytest.approx((15 - 4) / 10)


def test_the_page_has_a_place_for_each_tool() -> None:
    text = (TOOLS.parent / "docs" / "int8.md").read_text(encoding="utf-8")
    for name in ("int8_peers", "int8_speed"):
        assert text.count(f"<!-- table: tools/{name} -->") == 1


def test_peers_are_rated_against_fp32_on_the_same_samples() -> None:
    tool = load_tool("int8_peers")
    fp32 = np.float32([[2, 0], [2, 0], [0, 2], [0, 2]])
    found = np.float32([[2, 0], [0, 2], [0, 2], [2, 0]])
    rows = tool.rate({"fp32": fp32, "nncf": found}, np.array([0, 0, 1, 0]))
    assert rows["fp32"]["accuracy"] == 0.75
    assert rows["fp32"]["rms_change"] == 0
    assert rows["nncf"]["drop_points"] == 0  # one lost, one won
    assert rows["nncf"]["agreement"] == 0.5
    assert rows["nncf"]["rms_change"] == pytest.approx(1.0)  # √(16 / 8) of √(16 / 8)


def test_the_page_says_where_a_peer_is_better() -> None:
    tool = load_tool("int8_peers")
    truths = np.zeros(2000, np.int64)
    good = np.tile(np.float32([1, 0]), (2000, 1))
    bad = good.copy()
    bad[:30] = (0, 1)
    answers = {"fp32": good, "int8-cpu": bad, "int8-trt": good, "nncf": good}
    against = tool.against_ours(answers, truths)
    assert against["nncf"]["int8-cpu"][0] == 1.5
    assert against["nncf"]["int8-trt"][0] == 0
    low, high = against["nncf"]["int8-cpu"][1]
    assert tool.verdicts({"run": {"against_ours": against}}) == [
        f"On `run` int8-cpu loses 1.50 points ({low:.2f} – {high:.2f}) more than NNCF, defaults."
    ]
    against = tool.against_ours(answers | {"int8-cpu": good}, truths)
    (sentence,) = tool.verdicts({"run": {"against_ours": against}})
    assert sentence.startswith("Nowhere")


def test_a_peer_that_failed_says_why_in_its_row() -> None:
    tool = load_tool("int8_peers")
    assert tool.cells("run", "nncf", {"problem": "no such operator"})[2] == (
        "failed: no such operator"
    )


def test_signs_of_points() -> None:
    signed = load_tool("int8_peers").signed
    assert [signed(points) for points in (0.04, -0.04, -0.001)] == ["0.04", "−0.04", "0.00"]


def test_a_peer_that_is_not_installed_is_skipped_aloud(capsys: pytest.CaptureFixture[str]) -> None:
    tool = load_tool("int8_peers")
    found = tool.installed({"nncf": "/nowhere/python", "onnxruntime": sys.executable})
    assert list(found) == ["onnxruntime"]
    assert capsys.readouterr().out == (
        "skipped: nncf is not installed for /nowhere/python; "
        "name an interpreter that has it: --python nncf=PATH\n"
    )


def test_int8_activations_on_a_cpu_are_refused() -> None:
    onnx = pytest.importorskip("onnx")
    tool = load_tool("int8_speed")

    def quantizes(dtype: Any) -> Any:
        tensors = [np.array(0.1, np.float32), np.array(0, dtype)]
        weights = [onnx.numpy_helper.from_array(a, n) for a, n in zip(tensors, "sz", strict=True)]
        node = onnx.helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])
        return onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], [], weights))

    assert tool.activation_types(quantizes(np.uint8)) == ["uint8"]
    with pytest.raises(SystemExit, match=r"int8-cpu has activations in int8$"):
        tool.activation_types(quantizes(np.int8))


def test_bounds_are_for_processors_that_multiply_int8_fast() -> None:
    tool = load_tool("int8_speed")
    slow = {"speedup": 1.39, "machine": {"cpu_features": ["avx2"]}}
    assert not tool.is_missed("dcgan", slow)
    assert tool.is_missed("dcgan", slow | {"machine": {"cpu_features": ["avx512_vnni"]}})
    assert sorted(name for names in tool.MAKERS.values() for name in names) == sorted(tool.CASES)


def test_a_loop_feeds_a_step_its_own_answers() -> None:
    tool = load_tool("int8_speed")
    seen: list[tuple[int, float]] = []

    class Session:
        def run(self, feeds: Any) -> Any:
            token, h = int(feeds["token"][0]), float(feeds["h_in"][0])
            seen.append((token, h))
            return {"logits": np.eye(5)[[token + 1]], "h_out": np.array([h + 0.5])}

    tool.answer(Session(), {"token": np.array([1]), "h_in": np.array([0.0])}, 3)
    assert seen == [(1, 0.0), (2, 0.5), (3, 1.0)]


@pytest.mark.slow
def test_a_run_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from edgedl.train import train  # noqa: PLC0415

    given = {
        "data.path": str(write_quarters(tmp_path / "quarters")), "data.val": 40,
        "train.batch": 32, "train.epochs": 1, "train.validations": 1, "train.precision": "fp32",
        "train.channels_last": "no", "model.widths": [8, 16], "model.depth": 1,
    }  # fmt: skip
    run = train("mnist-cnn", tmp_path / "run", given)
    tool = load_tool("int8_peers")
    monkeypatch.setattr(tool, "ROUNDS", 6)
    monkeypatch.setattr(tool, "BLOCK_MS", 1.0)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such device >&2\nexit 3\n")
    broken.chmod(0o755)
    peers = {"onnxruntime-u8s8": (sys.executable, "1"), "nncf": (str(broken), "2")}
    found = json.loads(json.dumps({"quarters": tool.compare(run.path, peers)}))
    methods = found["quarters"]["methods"]
    assert found["quarters"]["n"] == 80
    assert methods["nncf"] == {"problem": "no such device"}
    for name in ("int8-cpu", "int8-trt", "onnxruntime-u8s8"):
        assert 0 < methods[name]["rms_change"] < 0.2
        assert methods[name]["agreement"] > 0.9
    text = tool.as_text(found)
    assert text.count("| `quarters` |") == 1
    assert "failed: no such device" in text


def test_captioners_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = load_tool("int8_peers")
    captioner = SimpleNamespace(spec=SimpleNamespace(task="captioning"))
    monkeypatch.setattr(tool, "RunOrigin", lambda _run: captioner)
    with pytest.raises(SystemExit, match=r"x is for captioning; compared are classification, "):
        tool.compare(Path("x"), {})


def test_no_run_is_one_clear_line(tmp_path: Path) -> None:
    done = run_tool("int8_peers", "--out", tmp_path, tmp_path / "no-run")
    assert done.returncode == 4
    assert "no-run" in done.stderr
    assert "Traceback" not in done.stderr
