"""``EDGEDL_FORCE_TARGET``: what a command says of a target that this CPU has not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from servers.command import edgedl

from edgedl import _core


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.zeros((9, 9, 3), np.uint8))
    return path


@pytest.mark.parametrize("command", ["run", "verify", "serve", "kernels"])
def test_a_target_that_is_not_there_is_one_line_and_a_wrong_usage(
    command: str, tiny_bundle: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEDL_FORCE_TARGET", "mmx")
    words = {
        "run": ("run", tiny_bundle, picture),
        "verify": ("verify", tiny_bundle),
        "serve": ("serve", tiny_bundle, "--source", "test://scenes", "--port", 0),
        "kernels": ("bench", "kernels", "--quick", "--case", "preprocess/call"),
    }
    done = edgedl(*words[command])
    known = ", ".join(_core.cpu_targets())
    rule = "[EDGEDL_FORCE_TARGET] must name a target that this CPU can run"
    assert done.stderr == f"error[E110] {rule}: {known}; got 'mmx'\n"
    assert done.returncode == 2


def test_a_target_that_is_there_answers_alike(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEDL_FORCE_TARGET", _core.cpu_targets()[-1])
    assert edgedl("verify", tiny_bundle).returncode == 0
