"""The command line of export."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from edgedl.cli import export as verb
from edgedl.cli.parser import Parser
from edgedl.errors import BundleError, UsageError
from edgedl.export import gate, lint_rules, pipeline


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pipeline, "time_answers", lambda c, _t, n: {k: [1.0 + (k == "fp32")] * n for k in c}
    )


def parse(*words: str) -> argparse.Namespace:
    parser = Parser(prog="edgedl")
    verb.add(parser.add_subparsers(parser_class=Parser))
    return parser.parse_args(["export", *words])


def test_defaults() -> None:
    args = parse("run", "--out", "x.edge")
    assert (args.targets, args.precision, args.max_drop) == (None, "auto", "1%")
    assert (args.held_out, args.force, args.json) == (10000, False, None)


def test_targets_repeat() -> None:
    args = parse("run", "--out", "x.edge", "--for", "rtx", "--for", "jetson-orin:jp6")
    assert args.targets == ["rtx", "jetson-orin:jp6"]


def test_help_says_what_the_default_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = capsys.readouterr().out
    assert "all four precisions" in text
    assert "edgedl export run --out x.edge --max-drop 1%\n" in text


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--max-drop", "lots"], "E124"),
        (["--precision", "int9"], "E121"),
        (["--for", "jetson"], "E123"),
        (["--held-out", "3"], "E125"),
    ],
)
def test_wrong_options(words: list[str], code: str, tmp_path: Path) -> None:
    args = parse("run", "--out", str(tmp_path / "x.edge"), *words)
    with pytest.raises(UsageError) as caught:
        args.run(args)
    assert caught.value.code == code


def test_not_a_run(tmp_path: Path) -> None:
    args = parse(str(tmp_path), "--out", str(tmp_path / "x.edge"))
    with pytest.raises(BundleError, match=r"is not a run.*edgedl train"):
        args.run(args)


def test_json_on_standard_output_is_only_json(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "x.edge")
    args = parse(str(run_folder), "--out", out, "--held-out", "16", "--json")
    assert args.run(args) == 0
    printed = capsys.readouterr()
    result: dict[str, Any] = json.loads(printed.out)
    assert result["bundle"] == out
    assert set(result["precisions"]) == {"fp32", "fp16", "int8-cpu", "int8-trt"}
    assert "next: edgedl verify" in printed.err


def test_names_are_not_read_as_markup(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "[red]:bug:" / "[/b].edge"
    args = parse(str(run_folder), "--out", str(out), "--held-out", "16", "--precision", "fp32")
    assert args.run(args) == 0
    printed = capsys.readouterr().out
    assert f"report: {out / 'report.html'}\n" in printed
    assert "[/b].edge: quality on" in "".join(printed.split("\n")).replace("  ", "")


def test_the_table_says_why_an_engine_is_missing(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    refused = {**lint_rules.UNREAD_BY, "trt10": frozenset({"Conv"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    monkeypatch.setattr(gate, "precisions_of", lambda _: ("fp32",))
    words = ("--held-out", "16", "--for", "cpu", "--for", "jetson-orin:jp6", "--explain")
    args = parse(str(run_folder), "--out", str(tmp_path / "x.edge"), *words)
    assert args.run(args) == 0
    printed = capsys.readouterr().out
    reason = "no engine for jetson-orin:jp6: encoder.fp32.onnx is not for TensorRT 10.3"
    assert printed.count(reason) == 2  # below the table, and by --explain


def test_table_for_people(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--held-out", "16", "--precision", "fp16", "--max-drop", "100%")
    args = parse(str(run_folder), "--out", str(tmp_path / "x.edge"), *words)
    assert args.run(args) == 0
    printed = capsys.readouterr()
    assert "fp16" in printed.out
    assert "int8" not in printed.out
    assert "quality on 16 held-out samples" in " ".join(printed.out.split())
