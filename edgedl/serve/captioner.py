"""The inference worker: newest frame in, caption event out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.frame import Frame
from edgedl.serve.rate import Rate
from edgedl.serve.worker import Worker

if TYPE_CHECKING:
    from edgedl.runtime.base import Result
    from edgedl.serve.camera import Camera
    from edgedl.serve.events import EventRing
    from edgedl.stream.motion import MotionGate

TAKE_TIMEOUT_S = 0.2


class Captioner:
    """Captions the camera's newest frame in a thread, again and again.

    Args:
        pipeline: What ``edgedl.load`` returned.
        camera: Where frames come from.
        events: Where captions go.
        on_caption: Called in the worker's thread after each caption.
        on_death: Called when the thread ends by an exception.
        gate: Holds back frames in which nothing moved; None lets all pass.
    """

    def __init__(
        self,
        pipeline: Any,
        camera: Camera,
        events: EventRing,
        on_caption: Callable[[], None],
        on_death: Callable[[str, BaseException], None],
        gate: MotionGate | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._camera = camera
        self._events = events
        self._on_caption = on_caption
        self._gate = gate
        self._rate = Rate()
        self._is_warm = False
        self._newest: Result | None = None
        self._worker = Worker("captioner", self._step, on_death)

    def start(self) -> None:
        """Begin with a warmup, then caption."""
        self._worker.start()

    def close(self) -> None:
        """End after the current frame."""
        self._worker.close(timeout_s=1.0)

    @property
    def is_ready(self) -> bool:
        """Whether the model has run once and the worker is alive; cameras do not matter."""
        return self._is_warm and self._worker.is_alive

    def facts(self) -> dict[str, Any]:
        """Return what runs and how fast, as plain JSON values."""
        newest = self._newest
        stages = {} if newest is None else newest.stage_ms
        return {
            "model_hash": self._pipeline.model_hash,
            "precision": self._pipeline.precision,
            "backend": self._pipeline.backend,
            "captions": self._events.last_id,
            "held_back": 0 if self._gate is None else self._gate.held_back,
            "per_s": round(self._rate.per_s(), 2),
            "latency_ms": round(sum(stages.values()), 2) if stages else None,
        }

    def _step(self) -> None:
        """Caption one frame; the first ones, until an answer comes, are made up."""
        if not self._is_warm:  # a clip is answered, and all its graphs have run, once it is full
            if self._pipeline(Frame(np.zeros((64, 64, 3), np.uint8))) is not None:
                self._pipeline.reset()
                self._is_warm = True
            return
        frame = self._camera.take(TAKE_TIMEOUT_S)
        if frame is None or (self._gate is not None and not self._gate(frame).passes):
            return
        result = self._pipeline(frame)
        if result is None:  # a clip is not full yet
            return
        self._newest = result
        self._events.append(frame, self._newest)
        self._rate.tick()
        self._on_caption()
