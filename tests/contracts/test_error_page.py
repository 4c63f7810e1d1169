"""docs/errors.md has every code of edgedl once, with the exit code of its class, and no other."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

from edgedl import errors

ROOT = Path(__file__).parents[2]
CODE = re.compile(r"\bE[1-9]\d\d\b")
ROW = re.compile(r"^\| (E\d{3}) \| (\d|–) \| (.+) \| (.+) \|$", re.MULTILINE)
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = ROW.findall(PAGE)


def sources() -> list[Path]:
    return [*(ROOT / "edgedl").rglob("*.py"), *(ROOT / "csrc").rglob("*.h")]


def test_every_code_is_there_once_and_in_order() -> None:
    used = {code for path in sources() for code in CODE.findall(path.read_text(encoding="utf-8"))}
    there = [code for code, *_ in ROWS]
    assert there == sorted(used)
    assert Counter(there).most_common(1)[0][1] == 1


def test_exit_codes_are_those_of_the_classes() -> None:
    exits = {code: text for code, text, *_ in ROWS}
    seen = set()
    for path in (ROOT / "edgedl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args):
                continue
            raised, code = getattr(errors, node.func.id, None), node.args[0]
            if raised is not None and isinstance(code, ast.Constant) and code.value in exits:
                assert exits[code.value] == str(raised.exit_code), (path, code.value)
                seen.add(code.value)
    assert len(seen) > 70


def test_sections_are_those_of_errors_py() -> None:
    """Each section has the codes of its range."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        assert {code[1] for code, *_ in ROW.findall(section)} == {section[1]}
