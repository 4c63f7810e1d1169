"""Every kernel is tested on every target that this CPU can run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edgedl import _core


@pytest.fixture(params=_core.cpu_targets())
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.cpu_target()
    _core.set_cpu_target(request.param)
    yield request.param
    _core.set_cpu_target(before)
