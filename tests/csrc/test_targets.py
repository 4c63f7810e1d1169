"""Which target runs, and who says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgedl import _core
from edgedl.errors import UsageError


def test_the_best_target_comes_first_and_scalar_last() -> None:
    targets = _core.cpu_targets()
    assert targets[-1] == "scalar"
    assert len(set(targets)) == len(targets)


def test_a_target_that_does_not_exist_is_named_with_those_that_do() -> None:
    known = ", ".join(_core.cpu_targets())
    with pytest.raises(UsageError, match=rf"can run: {known}; got 'mmx'"):
        _core.set_cpu_target("mmx")


@pytest.mark.parametrize("name", _core.cpu_targets())
def test_the_environment_chooses(name: str) -> None:
    assert forced(name) == (0, name)


def test_an_unknown_target_in_the_environment_is_an_error() -> None:
    code, text = forced("doesnotexist")
    assert code == 1
    assert "[EDGEDL_FORCE_TARGET] must name a target that this CPU can run" in text
    assert "got 'doesnotexist'" in text


def forced(name: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", "from edgedl import _core; print(_core.cpu_target())"],
        env={**os.environ, "EDGEDL_FORCE_TARGET": name},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip() or done.stderr
