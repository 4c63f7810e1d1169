"""``edgedl verify`` and ``edgedl inspect``: tables for people, JSON for programs, the next step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edgedl.bundle import Bundle
from edgedl.bundle.manifest import Refused
from edgedl.cli import main

if TYPE_CHECKING:
    import pytest


def test_verify(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_bundle)]) == 0
    out = capsys.readouterr()
    assert out.out.count("PASS") == 3
    assert "3 tensors, bit for bit" in out.out
    assert out.err == f"next: edgedl run {tiny_bundle} SOURCE\n"


def test_verify_of_one_runtime(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_bundle), "--backend", "onnxruntime", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {row["backend"] for row in rows} == {"prepare", "onnxruntime"}
    assert main(["verify", str(tiny_bundle), "--backend", "tensorrt_rtx"]) == 4
    assert "NOT RUN" in capsys.readouterr().out
    assert main(["verify", str(tiny_bundle), "--backend", "onnx"]) == 2
    assert "error[E120]" in capsys.readouterr().err


def test_verify_json(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny_bundle), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["passed"]
    assert [row["status"] for row in table["rows"]] == ["PASS"] * 3


def test_verify_json_to_a_file(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tiny_bundle), "--json", str(tmp_path / "v.json")]) == 0
    assert "PASS" in capsys.readouterr().out
    assert json.loads((tmp_path / "v.json").read_text())["passed"]


def test_a_failed_verify_shows_the_table_and_the_error(
    tiny_bundle: Path, relist: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_bundle / "golden" / "golden.json"
    path.write_text(path.read_text().replace('"text": "', '"text": "not '))
    relist(tiny_bundle)
    assert main(["verify", str(tiny_bundle)]) == 4
    out = capsys.readouterr()
    assert "FAIL" in out.out
    assert out.err.startswith('error[E414] self-test failed: expected "not ')
    assert len(out.err.splitlines()) == 1


def test_inspect_fits_a_terminal(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tiny_bundle.parent)
    assert main(["inspect", "tiny.edge"]) == 0
    out = capsys.readouterr()
    assert max(map(len, out.out.splitlines())) <= 80
    shown = ("int8-cpu", "cider_d", "MatMul 2", "(N, 3, 8, 8)", "3 samples to prove", "one thread")
    for text in (*shown, "fp16: refused. 3.1 ms is slower", "int8-cpu: written"):
        assert text in out.out
    assert out.err == "next: edgedl verify tiny.edge\n"


def test_inspect_shows_metrics_that_can_be_read(
    tiny_bundle: Path,
    relist: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    records = Bundle.open(tiny_bundle).manifest.precisions
    quality = {"accuracy": 0.99, "accuracy_low": 0.98, "accuracy_high": 1.0, "n": 10000}
    quality |= {"macro_f1": 0.97, "ece": 0.05}
    relist(
        tiny_bundle,
        precisions={p: dataclasses.replace(r, quality=quality) for p, r in records.items()},
    )
    assert main(["inspect", str(tiny_bundle)]) == 0
    out = capsys.readouterr().out
    for word in ("precision", "accuracy", "macro_f1", "ece", "int8-cpu"):
        assert f" {word} " in out
    assert "accuracy_low" not in out
    assert f"{tiny_bundle}: " in out  # whole, however long


def test_inspect_leaves_the_errors_of_single_columns_out(
    tiny_bundle: Path, relist: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of ten columns left no room for a number."""
    quality = {"relative_mae": 0.5, "relative_mae_low": 0.4, "mae": 3.25, "n": 100.0, "r2": 0.75}
    quality |= {f"mae_column {i}": float(i) for i in range(10)}
    records = Bundle.open(tiny_bundle).manifest.precisions
    relist(
        tiny_bundle,
        precisions={p: dataclasses.replace(r, quality=quality) for p, r in records.items()},
    )
    assert main(["inspect", str(tiny_bundle)]) == 0
    out = capsys.readouterr().out
    for word in (" mae ", " 3.25 ", " r2 ", " 0.75 "):
        assert word in out
    assert "column" not in out


def test_inspect_json(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["manifest"] == json.loads((tiny_bundle / "manifest.json").read_text())
    assert table["size_bytes"] > 1000


def test_inspect_shows_text_as_text(
    tiny_bundle: Path, relist: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "[/red] \x1b[2J [link=http://x]y"
    relist(tiny_bundle, refused=(Refused(precision="fp16", reason=reason),))
    assert main(["inspect", str(tiny_bundle)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[/red]" in out
