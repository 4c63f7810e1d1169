"""What the documents say can be typed, can be typed."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from edgedl.cli import make_parser

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def code_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```[a-z]*\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_documents_parse(page: Path) -> None:
    for line in code_lines(page):
        if line.startswith("edgedl "):
            make_parser().parse_args(shlex.split(line, comments=True)[1:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_named_in_documents_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(r"`((?:edgedl|csrc|tools|docs|tests)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


def test_python_of_the_kernels_page_runs() -> None:
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert examples
    for example in examples:
        if "import torch" not in example or importlib.util.find_spec("torch"):
            exec(compile(example, "docs/kernels.md", "exec"), {})
