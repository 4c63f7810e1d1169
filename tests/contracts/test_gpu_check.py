"""What ``tools/gpu_check`` says where there is no GPU, and how it sorts what pytest reports."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from edgedl.engines.driver import gpu_problem

TOOL = Path(__file__).parents[2] / "tools" / "gpu_check"


def test_no_gpu(tmp_path: Path) -> None:
    problem = gpu_problem()
    if problem is None:
        pytest.skip("this machine has a GPU")
    path = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, TOOL, "--json", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 5
    assert done.stderr == f"gpu_check: no GPU: {problem}; nothing was checked\n"
    report = json.loads(path.read_text())
    assert report["skipped"] == [{"why": problem, "what": ["tests/gpu"], "n": None}]
    assert (report["exit"], report["passed"]) == (5, [])
    assert report["packages"]["numpy"]


def test_reasons_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(TOOL))
    tool: Any = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("gpu_check", loader)  # type: ignore[arg-type]
    )
    loader.exec_module(tool)
    suite = ET.fromstring(
        '<testsuite><testcase classname="a" name="1"/>'
        '<testcase classname="a" name="2"><skipped message="no torch"/></testcase>'
        '<testcase classname="b" name="3"><skipped message="no torch"/></testcase>'
        '<testcase classname="b" name="4"><failure message="wrong&#10;more"/></testcase>'
        '<testcase classname="b" name="5"><error message="worse"/></testcase></testsuite>'
    )
    assert tool.sorted_out(list(suite)) == {
        "passed": ["a::1"],
        "failed": [{"test": "b::4", "why": "wrong"}, {"test": "b::5", "why": "worse"}],
        "skipped": [{"why": "no torch", "what": ["a", "b"], "n": 2}],
    }
