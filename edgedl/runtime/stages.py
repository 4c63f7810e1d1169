"""How long the stages of one answer take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def timed(stage_ms: dict[str, float], name: str) -> Iterator[None]:
    """Write down in ``stage_ms`` how many milliseconds the block takes."""
    started = time.perf_counter_ns()
    yield
    stage_ms[name] = (time.perf_counter_ns() - started) / 1e6
