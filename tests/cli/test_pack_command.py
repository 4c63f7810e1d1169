"""``edgedl pack`` writes a file that the other commands take."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgedl.cli import main

if TYPE_CHECKING:
    import pytest


def test_pack_and_then_verify_and_inspect(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tiny_bundle.with_name("tiny.edge.zip")
    assert main(["pack", str(tiny_bundle)]) == 0
    shown = capsys.readouterr()
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert shown.out == f"{out}: {out.stat().st_size} bytes, sha256 {digest}\n"
    assert shown.err == f"next: edgedl verify {out}\n"
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().out.count("PASS") == 3
    assert main(["inspect", str(out), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["manifest"] == json.loads((tiny_bundle / "manifest.json").read_text())


def test_pack_json_and_force(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tiny_bundle.with_name("here.zip")
    command = ["pack", str(tiny_bundle), "--out", str(out), "--json"]
    assert main(command) == 0
    table = json.loads(capsys.readouterr().out)
    assert table["path"] == str(out)
    assert table["size_bytes"] == out.stat().st_size
    assert table["digest"] == json.loads((tiny_bundle / "manifest.json").read_text())["digest"]
    assert main(command) == 4
    assert capsys.readouterr().err.startswith("error[E432] ")
    assert main([*command, "--force"]) == 0


def test_pack_the_folder_one_stands_in(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tiny_bundle)
    assert main(["pack", "."]) == 0
    assert tiny_bundle.with_name("tiny.edge.zip").is_file()
    assert str(tiny_bundle.with_name("tiny.edge.zip")) in capsys.readouterr().out


def test_pack_what_is_packed(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tiny_bundle.with_name("tiny.edge.zip")
    assert main(["pack", str(tiny_bundle)]) == 0
    assert main(["pack", str(out)]) == 4
    assert "tiny.edge.zip exists; choose another name" in capsys.readouterr().err
