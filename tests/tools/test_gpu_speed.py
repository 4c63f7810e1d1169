"""What ``tools/gpu_speed`` would measure, on the host: every case computes what it must."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from emulated_gpu import emulate
from tool_scripts import TOOLS, as_a_script, load_tool, run_tool

from edgedl import ImageSpec, Preprocessor, _core

PAGE = "# Kernels\n\n<!-- table: tools/gpu_speed -->\n\nearlier\n\n<!-- end of table -->\n\nafter\n"


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    with as_a_script():
        yield load_tool("gpu_speed")


class Ticks:
    """A clock by which the n-th call takes n seconds."""

    def __init__(self) -> None:
        self.calls = 0

    def seconds(self, work: Callable[[], object]) -> float:
        self.calls += 1
        if self.calls == 1:
            work()
        return float(self.calls)


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for torchvision's nms where it is not installed."""
    torch = pytest.importorskip("torch")

    def torch_nms(boxes: Any, scores: Any, iou: float) -> Any:
        kept = _core.nms(boxes.numpy(), scores.numpy(), None, iou, -1.0, len(scores))
        return torch.from_numpy(kept.astype(np.int64))

    package, ops = ModuleType("torchvision"), ModuleType("torchvision.ops")
    ops.nms = torch_nms  # type: ignore[attr-defined]
    package.ops = ops  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", package)
    monkeypatch.setitem(sys.modules, "torchvision.ops", ops)


NAMES = (
    "preprocess bgr8",
    "preprocess nv12",
    "denormalize",
    "overlay",
    "frame_difference",
    "best_class",
    "nms",
    "softmax_top_k",
    "beam_step",
)


@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize("name", NAMES)
def test_every_case_is_right_and_has_its_row(
    name: str, tool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    emulate(monkeypatch)
    device = sys.modules["gpu_cases"].Device(torch, "cpu")
    chosen = [case for case in tool.cases(largest_batch=2) if case.name.startswith(name)]
    assert chosen
    monkeypatch.setattr(tool, "ROUNDS", 3)
    for case in chosen:
        row = tool.measure_case(case, device, Ticks(), 1e9)
        assert row["check"] == "ok", row
        assert row["us"] == 7e6  # the middle of the 6th, 7th and 8th call
        assert row["times_torch"] == pytest.approx(15 / 7, rel=1e-3)
        assert row["gb_s"] == pytest.approx(row["bytes"] / 7e9, rel=1e-3)
        assert row["share_of_copy"] == pytest.approx(row["bytes"] / 7e9, rel=1e-3)
        assert row["bytes"] > 1000


class TorchWithCuda:
    """The torch of this machine, with a GPU that is its CPU: every event is 2 ms after the last."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._now_ms = 0.0
        self.version = SimpleNamespace(cuda="13.0")
        self.cuda = SimpleNamespace(
            current_stream=lambda: SimpleNamespace(cuda_stream=7),
            empty_cache=lambda: None,
            get_device_name=lambda: "Big",
            get_device_properties=lambda _index: SimpleNamespace(L2_cache_size=1 << 10),
            Event=self._event,
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._torch, name)

    def zeros(self, *args: Any, device: str, **options: Any) -> Any:
        assert device == "cuda"
        return self._torch.zeros(*args, **options)

    def empty(self, *args: Any, device: str, **options: Any) -> Any:
        return self.zeros(*args, device=device, **options)

    def tensor(self, array: Any, device: str) -> Any:
        assert device == "cuda"
        return self._torch.tensor(array)

    def _event(self, *, enable_timing: bool) -> Any:
        assert enable_timing
        event = SimpleNamespace(synchronize=lambda: None)

        def record() -> None:
            self._now_ms += 2.0
            event.at_ms = self._now_ms

        event.record = record
        event.elapsed_time = lambda end: end.at_ms - event.at_ms
        return event


def test_a_whole_report(tool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    emulate(monkeypatch)
    monkeypatch.setattr(tool, "COPY_BYTES", 1 << 16)
    monkeypatch.setattr(tool, "FLUSH_BYTES", 1 << 16)
    chosen = [case for case in tool.cases(2) if case.name.startswith(("best", "softmax_top_k 64"))]
    report = tool.measure(TorchWithCuda(torch), chosen)
    assert (report["gpu"], report["torch"], report["rounds"]) == ("Big", torch.__version__, 30)
    assert report["copy_gb_s"] == pytest.approx(2 * (1 << 16) / 2e-3 / 1e9, rel=1e-3)
    assert [case["case"] for case in report["cases"]] == [case.name for case in chosen]
    for case in report["cases"]:
        assert (case["check"], case["us"], case["times_torch"]) == ("ok", 2000, 1)
    assert "| best_class 80x8400 | 2 ms |" in tool.as_text(json.loads(json.dumps(report)))


def test_every_operation_has_a_case(tool: Any) -> None:
    names = [case.name for case in tool.cases()]
    assert len(set(names)) == len(names)
    for start in NAMES:
        assert any(name.startswith(start) for name in names)
    on_gpu = {name.removesuffix("_cuda") for name in dir(_core) if name.endswith("_cuda")}
    on_gpu -= {"built_with", "overlay_boxes", "overlay_heat", "overlay_mask"}
    assert on_gpu <= {name.split()[0] for name in names}
    assert sum(name.endswith((", 16", ", 64")) for name in names) >= 5


# ---- bytes --------------------------------------------------------------------------------------


def test_sectors(tool: Any) -> None:
    del tool
    sector_bytes = sys.modules["gpu_cases.case"].sector_bytes
    touched = np.zeros((2, 40), bool)  # 80 bytes lie in three sectors
    assert sector_bytes(touched) == 0
    touched[0, 31] = True
    assert sector_bytes(touched) == 32
    touched[0, 32] = True
    assert sector_bytes(touched) == 64
    touched[1, 39] = True
    assert sector_bytes(touched) == 96


@pytest.mark.parametrize("resize", ["bilinear", "area"])
@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize(("hw", "size_hw"), [((40, 64), (9, 12)), ((12, 20), (24, 30))])
@pytest.mark.parametrize("source", ["bgr8", "nv12"])
def test_touched_bytes_are_those_that_matter(
    source: str, hw: tuple[int, int], size_hw: tuple[int, int], fit: Any, resize: Any, tool: Any
) -> None:
    """What counts as touched changes the result, what does not never does."""
    del tool
    spec = ImageSpec(size_hw=size_hw, resize=resize, fit=fit, dtype="uint8")
    shape = (*hw, 3) if source == "bgr8" else (hw[0] * 3 // 2, hw[1])
    pre: Any = Preprocessor(spec, source)  # type: ignore[arg-type]
    given = np.full(shape, 128, np.uint8)
    plain = pre(given).copy()
    matters = np.zeros(given.size, bool)
    for i in range(given.size):
        for value in (0, 255):
            given.reshape(-1)[i] = value
            matters[i] |= not np.array_equal(pre(given), plain)
        given.reshape(-1)[i] = 128
    sector_bytes = sys.modules["gpu_cases.case"].sector_bytes
    luma = hw[0] * hw[1] if source == "nv12" else given.size
    counted = sector_bytes(matters[:luma]) + sector_bytes(matters[luma:])
    assert sys.modules["gpu_cases.pictures"].touched_source(spec, source, hw) == counted


# ---- what is wrong ------------------------------------------------------------------------------


def trial_of(tool: Any, found: Any, torch_found: Any = None) -> Any:
    """A trial whose kernel writes ``found`` where 1, 2, 3 is right."""

    def tensor(values: Any) -> Any:
        array = np.asarray(values)
        return SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: array))

    return tool.Trial(
        ours=lambda: None,
        results=[tensor(found)],
        expected=[np.array([1, 2, 3], np.int32)],
        bytes=12,
        torch=None if torch_found is None else lambda: [tensor(torch_found)],
        distance=0.5,
    )


@pytest.mark.parametrize(
    ("found", "torch_found", "text"),
    [
        (np.array([1, 2, 3], np.int32), None, "ok"),
        (np.array([1, 2, 3], np.int32), [1.5, 2, 3], "ok"),
        (np.array([1, 2, 4], np.int32), None, "1 bytes differ from the CPU's"),
        (np.array([1, 2, 3], np.int64), None, "the result is int64 (3,), not int32 (3,)"),
        (np.array([1, 2], np.int32), None, "the result is int32 (2,), not int32 (3,)"),
        (np.array([1, 2, 3], np.int32), [1, 2, 4], "torch's result is 1 away, more than 0.5"),
        (np.array([1, 2, 3], np.int32), [1, np.nan, 3], "torch's result is nan away"),
        (np.array([1, 2, 3], np.int32), [1, 2], "torch's result is inf away"),
    ],
)
def test_what_is_wrong_is_told_and_not_timed(
    found: Any, torch_found: Any, text: str, tool: Any
) -> None:
    case = tool.Case("x", lambda _device: trial_of(tool, found, torch_found))
    row = tool.measure_case(case, None, Ticks(), 1.0)
    assert row["check"].startswith(text)
    assert ("us" in row) == (text == "ok")


# ---- the page -----------------------------------------------------------------------------------


def report_of(check: str) -> dict[str, Any]:
    row = {"case": "nms x", "check": check, "bytes": 9, "us": 12.34, "gb_s": 456.7}
    row |= {"share_of_copy": 0.8149}
    with_torch = {**row, "case": "y", "us": 2345.0, "torch_us": 9876.0, "times_torch": 4.211}
    about = {"gpu": "Big", "torch": "2.13", "cuda": "13.0", "rounds": 30, "copy_gb_s": 4021.0}
    return {**about, "cases": [row, with_torch]}


@pytest.mark.parametrize("is_of_gpu_check", [False, True])
def test_a_table_is_made_from_the_figures(tmp_path: Path, is_of_gpu_check: bool) -> None:
    page, given = tmp_path / "page.md", tmp_path / "gpu.json"
    page.write_text(PAGE)
    report = report_of("ok")
    given.write_text(json.dumps({"speed": report, "passed": []} if is_of_gpu_check else report))
    done = run_tool("gpu_speed", "--from", given, "--page", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "earlier" not in text
    assert text.endswith("after\n")
    assert "| nms x | 12.3 µs | 457 | 81% |  |  |" in text
    assert "| y | 2.35 ms | 457 | 81% | 9.88 ms | 4.21 |" in text
    assert "Big, CUDA 13.0, torch 2.13; a copy moves 4021 GB/s" in text


@pytest.mark.parametrize(
    ("report", "code", "text"),
    [
        (report_of("3 bytes differ"), 1, "gpu_speed: y: 3 bytes differ\n"),
        ({"speed": {"exit": 5, "text": "no torch"}}, 5, "nothing was measured there"),
        ({"exit": 5, "verdict": "no GPU"}, 5, "nothing was measured there"),
        ({**report_of("ok"), "cases": []}, 5, "nothing was measured there"),
    ],
)
def test_nothing_is_written_of_what_is_wrong(
    report: Any, code: int, text: str, tmp_path: Path
) -> None:
    page, given = tmp_path / "page.md", tmp_path / "gpu.json"
    page.write_text(PAGE)
    given.write_text(json.dumps(report))
    done = run_tool("gpu_speed", "--from", given, "--page", page)
    assert done.returncode == code
    assert text in done.stderr
    assert page.read_text() == PAGE


def test_the_page_has_its_place() -> None:
    text = (TOOLS.parent / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert text.count("<!-- table: tools/gpu_speed -->") == 1


def test_without_a_gpu_it_says_so() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    done = run_tool("gpu_speed")
    assert done.returncode == 5
    assert done.stdout == ""
    assert done.stderr.startswith("gpu_speed: cannot run: ")
