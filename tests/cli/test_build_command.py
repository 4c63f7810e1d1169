"""``edgedl build``: what it prints, and each way it says no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edgedl.cli import build, main
from edgedl.engines import tensorrt_api
from edgedl.engines.bundle_engines import Step
from edgedl.engines.cache import check_file

rtx = pytest.mark.rtx


@pytest.fixture(autouse=True)
def _cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(["build", *argv])
    out = capsys.readouterr()
    return code, out.out, out.err


@rtx
def test_build_for_rtx(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorrt_rtx")
    arguments = (str(tiny_bundle), "--for", "rtx")
    code, out, err = run(capsys, *arguments)
    assert code == 0
    assert out.count("built now") == 2
    lines = err.splitlines()
    assert lines[0].startswith("encoder: building with TensorRT-RTX")
    assert "MiB of memory" in lines[0]
    assert lines[1].startswith("encoder: built in ")
    assert lines[-1] == f"next: edgedl verify {tiny_bundle}"
    code, out, err = run(capsys, *arguments, "--json")
    told = json.loads(out)
    assert [engine["from_cache"] for engine in told["engines"].values()] == [True, True]
    assert err.count("taken from the cache") == 2
    step = told["engines"]["step"]
    sidecar, plan = check_file(Path(step["path"]))
    assert len(plan) == step["engine_size_bytes"]
    assert sidecar["profiles"][0]["token"] == [[1], [1], [8]] == step["profiles"][0]["token"]
    target = tmp_path / "told.json"
    batch = ("--batch", "1,2,4", "--batch", "8,8,8", "--force")
    code, out, _ = run(capsys, *arguments, *batch, "--json", str(target))
    assert out.count("built now") == 2
    profiles = json.loads(target.read_text())["engines"]["step"]["profiles"]
    assert [profile["token"] for profile in profiles] == [[[1], [2], [4]], [[8], [8], [8]]]


def test_here_without_a_gpu(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorrt_api, "gpu_problem", lambda: "no NVIDIA driver is installed")
    for arguments in ((), ("--for", "here")):
        assert run(capsys, str(tiny_bundle), *arguments) == (
            5,
            "",
            "error[E601] --for here builds engines for the GPU of this machine: no NVIDIA driver "
            "is installed; build on the device, or for RTX cards from here: edgedl build "
            f"{tiny_bundle} --for rtx\n",
        )


def test_the_script_for_a_jetson(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "jetson"
    arguments = (str(tiny_bundle), "--for", "jetson-orin:jp6", "--out", str(out))
    code, text, err = run(capsys, *arguments, "--batch", "1,1,2")
    assert code == 0
    assert "step: step.fp32.onnx, about 2224 MiB to build\n" in text
    assert text.endswith("about 400 MiB to run; estimates, not yet measured on a board\n")
    assert err == f"copy {out} to the Jetson and run jetson/build.sh there\n"
    assert "--maxShapes=image:2x3x8x8" in (out / "build.sh").read_text()
    code, _, err = run(capsys, *arguments)
    assert (code, err[:12]) == (4, "error[E432] ")
    code, text, _ = run(capsys, *arguments, "--force", "--json")
    assert json.loads(text)["script"] == str(out / "build.sh")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("--for", "jetson-orin:jp6"), "E100", "a folder with a script; say where: --out DIR"),
        (("--for", "rtx", "--out", "x"), "E100", "rtx go into the cache: leave out --out x"),
        (("--for", "cpu"), "E123", "unknown target 'cpu'; there are: here, rtx, jetson-orin:jp6"),
        (("--precision", "fp61"), "E121", "unknown precision 'fp61'"),
        (("--batch", "1,x,2"), "E110", "--batch takes three sizes, e.g. 1,1,8; got '1,x,2'"),
        (("--batch", "4,2,1"), "E110", "opt <= max <= 2147483647, e.g. 1,1,8; got 4,2,1"),
        (("--batch", f"1,1,{1 << 70}"), "E110", f"got 1,1,{1 << 70}"),
        (("--shapes", "a=1:1:1", "--shapes", "a=1:1:2"), "E110", "once for each: a=1:1:1 a=1:1:2"),
        (("--shapes", "image"), "E110", "--shapes takes INPUT=MIN:OPT:MAX"),
    ],
)
def test_wrong_usage(
    arguments: tuple[str, ...],
    code: str,
    text: str,
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found, out, err = run(capsys, str(tiny_bundle), *arguments)
    assert (found, out) == (2, "")
    assert err.startswith(f"error[{code}] ")
    assert text in err
    assert err.count("\n") == 1


def test_a_precision_that_is_not_there(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, str(tiny_bundle), "--for", "rtx", "--precision", "fp16")
    assert (code, err[:12]) == (4, "error[E419] ")


def test_progress_is_told_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    show = build._lines(every_s=5.0, clock_s=lambda: now[0])
    for time_s, done, left_s in ((1, 0.1, None), (5, 0.2, None), (6, 0.3, 9.0), (10, 0.5, 5.2)):
        now[0] = time_s
        show(Step(role="step", done=done, elapsed_s=time_s, left_s=left_s))
    assert capsys.readouterr().err == "step:  20%\nstep:  50% about 5 s left\n"


def test_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stderr: Any = build.sys.stderr
    monkeypatch.setattr(stderr, "isatty", lambda: True)
    with build._progress() as show:
        show(Step(role="encoder", done=0.5, elapsed_s=1, left_s=1.4))
    assert capsys.readouterr().out == ""
