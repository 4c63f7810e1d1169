"""What is recorded of the installed TensorRT-RTX is what it has; what cannot be recorded."""

import json
import zipfile
from pathlib import Path

import pytest
from tool_scripts import run_tool


@pytest.mark.rtx
def test_the_installed_one_is_as_recorded() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    recorded = json.loads((Path(__file__).parent / "surfaces" / "rtx_1.7.json").read_text())
    if trt.__version__ != recorded["version"]:
        pytest.skip(f"{trt.__version__} is installed, {recorded['version']} was recorded")
    done = run_tool("record_surfaces", "--check")
    assert (done.stdout, done.returncode) == ("rtx_1.7.json: as recorded\n", 0), done.stderr


def test_what_is_no_wheel_of_bindings_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        wheel.writestr("numpy/__init__.py", "")
    for name, says in (("no.whl", "must be a wheel; got "), ("other.whl", "must be a wheel of ")):
        done = run_tool("record_surfaces", tmp_path / name)
        assert done.returncode == 2
        assert f"error: argument WHEEL: {says}" in done.stderr
