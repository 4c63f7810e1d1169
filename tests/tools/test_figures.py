"""What all tools that write a table do with files: figures, pages, and what is neither."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tool_scripts import TOOLS, as_a_script, load_tool, run_tool

PAGE = """# A page

<!-- table: one -->

old

<!-- end of table -->

between

<!-- table: two -->

kept

<!-- end of table -->
"""


@pytest.fixture(autouse=True)
def _as_a_script() -> Iterator[None]:
    with as_a_script():
        yield


@pytest.fixture
def figures() -> Any:
    return load_tool("figures")


def test_only_what_is_between_the_marks_changes(figures: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    text = figures.table(("a", "b"), [("1", "x|y")])
    figures.write_between_marks(page, "one", text)
    assert text == "| a | b |\n|---|---|\n| 1 | x/y |"
    assert page.read_text() == PAGE.replace("old", text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"page\.md cannot be read: No such file or directory"),
        (PAGE, r"page\.md has no place for the table; it goes between <!-- table: three -->"),
        ("<!-- table: three -->", r"and <!-- end of table -->$"),
    ],
)
def test_a_page_without_marks(figures: Any, tmp_path: Path, text: str | None, says: str) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(figures.DataError, match=says):
        figures.write_between_marks(page, "three", "new")
    assert text is None or page.read_text() == text


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"hello", "is not JSON: Expecting value"),
        (b'{"a": "\xff"}', "is not JSON: 'utf-8' codec"),
        (b"[" * 100_000, "is not JSON: maximum recursion"),
        (b"[1]", "holds no such figures: TypeError.'an object is wanted, not a list'"),
        (b"{}", r"holds no such figures: KeyError\('rows'\)"),
        (b'{"rows": 1}', "holds no such figures: TypeError"),
    ],
)
def test_files_without_figures(figures: Any, tmp_path: Path, raw: bytes | None, says: str) -> None:
    path = tmp_path / "f.json"
    if raw is not None:
        path.write_bytes(raw)
    with (
        pytest.raises(figures.DataError, match=rf"f\.json {says}.*see --help") as caught,
        figures.figures_of(path) as found,
    ):
        len(found["rows"])
    assert (caught.value.code, caught.value.exit_code) == ("E356", 3)


def test_rows_are_kept_if_a_table_can_be_made_of_them(figures: Any, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"

    def as_text(rows: Any) -> str:
        return "".join(row["name"] for row in rows.values())

    assert figures.kept_rows(path, as_text) == {}
    path.write_text('{"a": {"name": "b"}}')
    assert figures.kept_rows(path, as_text) == {"a": {"name": "b"}}
    path.write_text('{"a": {"date": "b"}}')
    with pytest.raises(figures.DataError, match=r"rows\.json holds no such figures: KeyError"):
        figures.kept_rows(path, as_text)


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = load_tool("arguments")
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    assert arguments.file_to_write("new.json") == tmp_path / "new.json"
    assert arguments.folder_to_make("a/b") == Path("a/b")
    assert arguments.folder_to_make(".") == Path()
    for text in ("a/new.json", "file/new.json", "."):
        with pytest.raises(ArgumentTypeError, match=rf"in a folder that is there; got {text}$"):
            arguments.file_to_write(text)
    for text in ("file", "file/a"):
        with pytest.raises(ArgumentTypeError, match=r"must be a folder; .*file is a file$"):
            arguments.folder_to_make(text)


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("gpu_speed", ("--from", "rows.json", "--page", "page.md")),
        ("kernel_table", ("--from", "rows.json", "--page", "page.md")),
        ("int8_peers", ("--table", "--out", ".")),
        ("int8_speed", ("--table", "--out", ".")),
        ("train_all", ("--table", "--out", ".")),
    ],
)
def test_other_figures_are_one_line(
    tool: str,
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if tool == "int8_speed":
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    for name in ("rows", "peers", "speed", "models"):
        Path(f"{name}.json").write_text(json.dumps({"cases": {"a": 1}}))
    assert ended(monkeypatch, tool, *words) == 3
    told = capsys.readouterr().err
    assert told.startswith(f"{tool}: ")
    assert told.count("\n") == 1
    assert "json holds no such figures: " in told


def ended(monkeypatch: pytest.MonkeyPatch, tool: str, *words: object) -> int:
    """Run a tool in this process, where torch may be already; return its exit code."""
    monkeypatch.setattr(sys, "argv", [f"tools/{tool}", *map(str, words)])
    loaded = load_tool(tool)
    for page in ("PAGE", "DOCUMENT"):  # those of the checkout are left alone, whatever happens
        monkeypatch.setattr(loaded, page, Path("page.md"), raising=False)
    code: int = load_tool("exits").exit_code(loaded.main)
    return code


@pytest.mark.parametrize("tool", ["packed_step", "page_picture"])
def test_no_bundle_is_one_line(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if tool == "packed_step":
        pytest.importorskip("torch")
    more = [tmp_path / "out.png"] if tool == "page_picture" else []
    assert ended(monkeypatch, tool, tmp_path / "no.edge", *more) == 4
    told = capsys.readouterr().err
    assert told.startswith(f"{tool}: ")
    assert told.endswith("no.edge is not a bundle: it does not exist\n")


def test_as_a_command_too() -> None:
    done = run_tool("kernel_table", "--from", "no/such.json")
    assert done.returncode == 3
    assert done.stderr.startswith("kernel_table: no/such.json cannot be read: ")
    assert done.stderr.count("\n") == 1


def test_the_table_of_the_recipes() -> None:
    tool = load_tool("train_all")
    machine = {"cpu": "Fast", "cores": 2, "python": "3.11", "packages": {"numpy": "2.0"}}
    row = {
        "recipe": "a-cnn", "data": "digits", "seconds": 90.0, "train_precision": "fp32",
        "quality": {"accuracy": 0.9962, "accuracy_low": 0.9948, "accuracy_high": 0.9972, "n": 9},
        "parameters": 1_234_000, "macs": {"model": 5_600_000},
        "precisions": {"fp32": {"quality": {"accuracy": 0.9962},
                                "latency_ms": {"onnxruntime": 1.234}}},
        "refused": [{"reason": "it is slow"}], "machine": machine,
    }  # fmt: skip
    lines = tool.as_text({"a-cnn": row}).splitlines()
    assert lines[2] == (
        "| `a-cnn` | digits | accuracy 99.62 % (99.48 – 99.72), n = 9 | 1.5 min, fp32 | 1.2 M "
        "| 5.6 M | 0.9962, 1.23 ms | – | it is slow |"
    )
    assert lines[4].startswith("Machine: Fast")
    text = (TOOLS.parent / "docs" / "models.md").read_text(encoding="utf-8")
    assert text.count("<!-- table: tools/train_all -->") == 1
