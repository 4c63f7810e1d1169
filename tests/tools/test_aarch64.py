"""What ``tools/aarch64`` takes for an aarch64 wheel, and a bundle verified where it was run."""

from __future__ import annotations

import filecmp
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tool_scripts import TOOLS, as_a_script, load_tool, run_tool

from edgedl import _core

SOURCE = Path(__file__).parents[2]
TOOL = TOOLS / "aarch64"
NAME = "edgedl-0.1.0-cp311-cp311-{}.whl"
ELF = b"\x7fELF" + b"\x02\x01\x01" + bytes(9) + b"\x03\x00"  # up to e_machine
X86, ARM = ELF + b"\x3e\x00", ELF + b"\xb7\x00"
MODULE = "edgedl/_core.cpython-311-aarch64-linux-gnu.so"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Import the tool, its folder empty, and a readelf that finds nothing."""
    with as_a_script():
        made = load_tool("aarch64")
    monkeypatch.setattr(made, "DIST", tmp_path / "dist")
    monkeypatch.setattr(made, "needs", lambda _: ["GLIBC_2.34", "GLIBCXX_3.4.29", "GCC_3.0"])
    return made


def wheel(folder: Path, files: dict[str, bytes], tag: str = "linux_aarch64") -> Path:
    path = folder / NAME.format(tag)
    with zipfile.ZipFile(path, "w") as made:
        for name, raw in files.items():
            made.writestr(name, raw)
    return path


def test_a_wheel_of_aarch64_code_is_right(tool: Any, tmp_path: Path) -> None:
    assert tool.wheel_problems(wheel(tmp_path, {MODULE: ARM, "edgedl/spec.py": b"x86"})) == []


def test_code_of_another_machine(tool: Any, tmp_path: Path) -> None:
    wrong = {MODULE: ARM, "edgedl/libx.so.1": X86}
    problems = ["edgedl/libx.so.1 is code for ELF machine 62, not aarch64"]
    assert tool.wheel_problems(wheel(tmp_path, wrong)) == problems


def test_the_module_of_this_machine(tool: Any, tmp_path: Path) -> None:
    if platform.machine() == "aarch64":
        pytest.skip("this machine's module is aarch64")
    raw = Path(str(_core.__file__)).read_bytes()
    (problem,) = tool.wheel_problems(wheel(tmp_path, {MODULE: raw}))
    assert "is code for ELF machine" in problem


def test_a_module_that_python_would_not_find(tool: Any, tmp_path: Path) -> None:
    name = MODULE.replace("aarch64", "x86_64")
    problems = [f"{name} is aarch64 code with the name of another machine's"]
    assert tool.wheel_problems(wheel(tmp_path, {name: ARM})) == problems


def test_a_wheel_without_code_or_with_another_tag(tool: Any, tmp_path: Path) -> None:
    problems = tool.wheel_problems(wheel(tmp_path, {"edgedl/spec.py": b""}, "linux_x86_64"))
    assert problems == [
        "the tag is cp311-cp311-linux_x86_64, not of linux_aarch64",
        "there is no compiled module in it",
    ]


@pytest.mark.parametrize(
    ("symbol", "limit"),
    [
        ("GLIBC_2.36", "GLIBC_2.35"),
        ("GLIBC_2.100", "GLIBC_2.35"),
        ("GLIBCXX_3.4.31", "GLIBCXX_3.4.30"),
        ("CXXABI_1.3.14", "CXXABI_1.3.13"),
    ],
)
def test_symbols_newer_than_the_board_has(tool: Any, symbol: str, limit: str) -> None:
    assert tool.too_new([limit, symbol, "GCC_14.0"]) == [f"{symbol}, newer than {limit}"]


def test_a_step_names_the_one_before_it(tool: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.unpack_packages()
    assert ended.value.code == 5
    text = "aarch64: no aarch64 wheel for Python 3.11; make it with: "
    assert capsys.readouterr().err == f"{text}tools/aarch64 wheel --python python3.11\n"


def test_a_program_that_is_not_installed(tool: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        tool.need("aarch64-linux-gnu-nothing", sys.executable)
    assert ended.value.code == 5
    assert "aarch64-linux-gnu-nothing not found; on Debian: apt install" in capsys.readouterr().err


def test_each_file_of_kernel_tests_is_run_that_starts_no_program(tool: Any) -> None:
    names = [path.name for part in tool.kernel_tests() for path in part]
    assert {"test_preprocess.py", "test_preprocess_opencv.py", "test_nms.py"} <= set(names)
    assert len(set(names)) == len(names)
    for part in tool.kernel_tests():
        assert not [path for path in part if "import subprocess" in path.read_text()]


def test_a_quiet_command_that_fails_is_heard(tool: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.run(sys.executable, "-c", "print('seen')", quiet=True) == "seen\n"
    with pytest.raises(SystemExit):
        tool.run(sys.executable, "-c", "print('why'); raise SystemExit(3)", quiet=True)
    assert "why\naarch64: failed with 3: " in capsys.readouterr().err


def test_a_bundle_that_is_not_there_is_missed_before_the_work(tmp_path: Path) -> None:
    done = run_tool("aarch64", "check", tmp_path / "no.edge")
    assert done.returncode == 5
    assert done.stderr.endswith("no.edge is not there; make it with: edgedl export\n")
    assert done.stdout == ""


def verified(bundle: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, "verify", bundle],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture
def emulated_bundle(tiny_bundle: Path) -> Path:
    """Skip unless an arm64 machine was made that has this checkout's edgedl."""
    if not shutil.which("qemu-aarch64-static"):
        pytest.skip("qemu-aarch64-static is not installed; apt install qemu-user-static")
    installed = SOURCE / "build" / "aarch64" / "packages" / "edgedl"
    if not installed.is_dir():
        pytest.skip("there is no emulated arm64 machine; make it with: tools/aarch64 check X.edge")
    modules = [path.relative_to(SOURCE / "edgedl") for path in (SOURCE / "edgedl").rglob("*.py")]
    _, differ, lacking = filecmp.cmpfiles(
        SOURCE / "edgedl", installed, list(map(str, modules)), shallow=False
    )
    if differ or lacking:
        pytest.skip("the emulated machine has an older edgedl; run: tools/aarch64 check X.edge")
    return tiny_bundle


@pytest.mark.slow
def test_a_bundle_made_here_verifies_on_arm64(emulated_bundle: Path) -> None:
    done = verified(emulated_bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if "PASS" in line]
    assert "bit for bit" in rows[0]
    assert [word for row in rows[1:] for word in ("fp32", "int8-cpu") if word in row] == [
        "fp32",
        "int8-cpu",
    ]


@pytest.mark.slow
def test_what_fails_on_arm64_fails_here(emulated_bundle: Path) -> None:
    graph = emulated_bundle / "graphs" / "step.fp32.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    done = verified(emulated_bundle)
    assert done.returncode == 1
    assert "error[E40" in done.stderr
