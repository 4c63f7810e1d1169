"""A source, a pipeline and sinks, wired together: what ``edgedl run`` does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedl.frame import Frame
    from edgedl.runtime.base import Result
    from edgedl.stream.motion import MotionGate
    from edgedl.stream.sink import Sink
    from edgedl.stream.status import Source

READ_TIMEOUT_S = 0.2


def caption_source(
    pipeline: Callable[[Frame], Result | None],
    source: Source,
    sinks: Sequence[Sink],
    max_frames: int | None = None,
    stop: threading.Event | None = None,
    gate: MotionGate | None = None,
) -> int:
    """Put the frames of ``source`` through a pipeline into ``sinks`` until it ends.

    Args:
        pipeline: What ``edgedl.load`` returned for a model of pictures; None is no result yet.
        source: What ``open_source`` returned.
        sinks: Each gets every result.
        max_frames: End after this many; None for no limit.
        stop: Set it from another thread or a signal handler to end early.
        gate: Holds back frames in which nothing moved; it counts them. None lets all pass.

    Returns:
        Number of results: fewer than frames where one takes several of them.
    """
    taken = done = 0
    while not source.ended and (max_frames is None or taken < max_frames):
        if stop is not None and stop.is_set():
            break
        frame = source.read(READ_TIMEOUT_S)
        if frame is None:
            continue
        taken += 1
        if gate is not None and not gate(frame).passes:
            continue
        result = pipeline(frame)
        if result is None:
            continue
        done += 1
        for sink in sinks:
            sink.write(frame, result)
    return done
