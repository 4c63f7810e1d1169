"""The tool that measures the kernels and writes the table of the documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tool_scripts import TOOLS, run_tool

PAGE = "# Kernels\n\n<!-- table: tools/kernel_table -->\n\nold\n\n<!-- end of table -->\n\nafter\n"


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def result_of(check: str) -> dict:
    times = {"p50_ms": 0.5, "p90_ms": 0.6, "max_ms": 0.7, "gb_s": 8.0}
    compared = {"to": "avx512", "value": 4.256, "at_least": 5, "at_most": None, "met": False}
    case = {
        "case": "preprocess/x",
        "check": check,
        "n": 60,
        "best_opencv": "OpenCV blob",
        "contenders": {"avx512": times},
        "comparisons": [{"of": "best OpenCV", **compared}, {"of": "avx2", **compared, "met": True}],
    }
    return {
        "edgedl": "1.2.3",
        "date": "2026-01-02",
        "machine": {"cpu": "Fast", "cores": 2, "python": "3.11", "packages": {"numpy": "2.0"}},
        "targets": ["avx512", "scalar"],
        "opencv": "5.0",
        "kornia_rs": None,
        "set_mib": 8,
        "publishable": True,
        "cases": [case],
        "others_cores": 0.04,
    }


def test_a_table_is_made_from_the_figures(page: Path, tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps(result_of("ok")))
    done = run_tool("kernel_table", "--from", tmp_path / "k.json", "--page", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "old" not in text
    assert text.endswith("after\n")
    assert "| preprocess/x | 500 µs | 8 | best OpenCV (blob) / avx512 | 4.26 | ≥ 5 missed |" in text
    assert "|  |  |  | avx2 / avx512 | 4.26 | ≥ 5 |" in text
    for fact in ("edgedl 1.2.3", "2026-01-02", "n = 60 rounds", "Fast", "OpenCV 5.0", "NumPy 2.0"):
        assert fact in text
    assert "Other processes kept 0.04 cores busy" in text


def test_nothing_is_written_of_kernels_that_are_wrong(page: Path, tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text(json.dumps(result_of("avx512: 3 bytes differ")))
    done = run_tool("kernel_table", "--from", tmp_path / "k.json", "--page", page)
    assert done.returncode == 70
    assert "preprocess/x: avx512: 3 bytes differ" in done.stderr
    assert page.read_text() == PAGE


def test_the_page_has_its_place() -> None:
    text = (TOOLS.parent / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert text.count("<!-- table: tools/kernel_table -->") == 1
