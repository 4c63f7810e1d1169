"""What ``tools/gpu_check`` says where there is no GPU, and how it sorts what pytest reports."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tool_scripts import as_a_script, load_tool, run_tool

from edgedl.engines.driver import gpu_problem


def test_no_gpu(tmp_path: Path) -> None:
    problem = gpu_problem()
    if problem is None:
        pytest.skip("this machine has a GPU")
    path = tmp_path / "gpu.json"
    done = run_tool("gpu_check", "--json", path)
    assert done.returncode == 5
    assert done.stderr == f"gpu_check: no GPU: {problem}; nothing was checked\n"
    report = json.loads(path.read_text())
    assert report["skipped"] == [{"why": problem, "what": ["tests/gpu"], "n": None}]
    assert (report["exit"], report["passed"]) == (5, [])
    assert report["packages"]["numpy"]


def test_a_report_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    done = run_tool("gpu_check", "--json", tmp_path / "no" / "gpu.json")
    assert done.returncode == 2
    assert "argument --json: must be a file in a folder that is there; got " in done.stderr
    assert done.stdout == ""


def test_reasons_are_counted() -> None:
    with as_a_script():
        tool = load_tool("gpu_check")
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
