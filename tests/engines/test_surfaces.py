"""What is recorded of the installed TensorRT-RTX is what it has."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.rtx
def test_the_installed_one_is_as_recorded() -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    recorded = json.loads((Path(__file__).parent / "surfaces" / "rtx_1.7.json").read_text())
    if trt.__version__ != recorded["version"]:
        pytest.skip(f"{trt.__version__} is installed, {recorded['version']} was recorded")
    tool = [sys.executable, ROOT / "tools" / "record_surfaces", "--check"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("rtx_1.7.json: as recorded\n", 0), done.stderr
