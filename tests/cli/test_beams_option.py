"""What ``--beams`` means, and where it is refused."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from tiny_kinds import QUARTERS, write_bundle

from edgedl.bundle.manifest import DecodeOptions
from edgedl.cli import main
from edgedl.cli.search import search_changes
from edgedl.data.scenes import MAX_TOKENS
from edgedl.errors import ConfigError, UsageError
from edgedl.export import ExportOptions
from edgedl.export.job import Job


def changes(text: str | None) -> dict[str, float]:
    return search_changes(argparse.Namespace(beams=text))


def test_a_number_of_beams_and_more() -> None:
    assert changes(None) == {}
    assert changes("5") == {"beams": 5}
    assert changes("3,length_penalty=1, no_repeat_ngram=2,min_tokens=4") == {
        "beams": 3,
        "length_penalty": 1.0,
        "no_repeat_ngram": 2,
        "min_tokens": 4,
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", r"decode\.beams must be in 1\.\.64; got 0"),
        ("many", r"--beams beams must be int; got 'many'"),
        ("", r"--beams beams must be int"),
        ("2.5", r"--beams beams must be int; got 2\.5"),
        ("5,lenght_penalty=1", r"unknown key 'lenght_penalty'; did you mean 'length_penalty'"),
        ("5,beams=4", r"--beams: 'beams' is said already; got '5,beams=4'"),
        ("5,method=greedy", r"'method' is said already"),
        ("5,min_tokens=1,min_tokens=2", r"'min_tokens' is said already"),
        ("5,length_penalty=-1", r"decode\.length_penalty must be in 0\.\.10"),
    ],
)
def test_what_cannot_be(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        changes(text)


def test_run_searches_with_beams(tiny_bundle: Path, tmp_path: Path) -> None:
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), np.full((40, 40, 3), 90, np.uint8))
    told = []
    for beams in ("1", "4,min_tokens=2"):
        out = tmp_path / f"{beams[0]}.jsonl"
        assert main(["run", str(tiny_bundle), str(picture), str(out), "--beams", beams]) == 0
        told.append(json.loads(out.read_text()))
    assert told[0]["alternatives"] == []
    assert len(told[1]["text"].split()) >= 2


def test_models_that_caption_nothing_refuse_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_bundle(tmp_path / "x.edge", QUARTERS)
    assert main(["run", str(bundle), str(tmp_path), "--beams", "5"]) == 2
    assert "--beams changes nothing for a model for classification" in capsys.readouterr().err


def test_an_export_keeps_it(tmp_path: Path) -> None:
    def decode(task: str, **search: float) -> DecodeOptions | None:
        origin: Any = SimpleNamespace(spec=SimpleNamespace(task=task))
        return Job(origin, ExportOptions(search=search), tmp_path, print).decode

    assert decode("captioning") == DecodeOptions(max_tokens=MAX_TOKENS)
    stored = decode("captioning", beams=3, length_penalty=0.6)
    assert stored == DecodeOptions(
        method="beam", max_tokens=MAX_TOKENS, beams=3, length_penalty=0.6
    )
    assert decode("regression") is None
    with pytest.raises(UsageError, match=r"--beams changes nothing for a model for regression"):
        decode("regression", beams=3)
