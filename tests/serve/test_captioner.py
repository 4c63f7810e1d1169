"""The worker between camera and events, without threads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiny_kinds import FADES, write_bundle

from edgedl.frame import Frame
from edgedl.runtime.pipeline import load
from edgedl.serve.captioner import Captioner
from edgedl.serve.events import EventRing
from edgedl.stream.motion import MotionGate


class Camera:
    """Has ten frames."""

    def __init__(self) -> None:
        self.frames = [Frame(np.full((9, 9, 3), 20 * i, np.uint8), index=i) for i in range(10)]

    def take(self, _timeout_s: float) -> Frame | None:
        return self.frames.pop(0) if self.frames else None


class Spy:
    """A session that says that it ran."""

    def __init__(self, session: Any, role: str, ran: list[str]) -> None:
        self.session, self.role, self.ran = session, role, ran

    def run(self, feeds: Any) -> Any:
        self.ran.append(self.role)
        return self.session.run(feeds)


def test_the_warmup_runs_all_graphs_and_stays_out_of_the_clip(tmp_path: Path) -> None:
    with load(write_bundle(tmp_path / "x.edge", FADES)) as pipeline:
        ran: list[str] = []
        for role in ("encoder", "session"):
            setattr(pipeline.model, role, Spy(getattr(pipeline.model, role), role, ran))
        events, camera = EventRing(), Camera()
        captioner = Captioner(pipeline, camera, events, lambda: None, lambda *_: None)
        while not captioner._is_warm:
            captioner._step()
        assert ran == ["encoder", "encoder", "encoder", "session"]
        assert (events.last_id, len(camera.frames)) == (0, 10)
        while camera.frames:
            captioner._step()
    assert [event.frame.index for event in events.since(0)] == [4, 6, 8]


def test_frames_without_motion_are_held_back_and_counted(new_pipeline: Any) -> None:
    events, camera = EventRing(), Camera()
    camera.frames = [
        Frame(np.full((90, 160, 3), level, np.uint8), index=i)
        for i, level in enumerate((50, 50, 200, 200, 202, 50))
    ]
    captioner = Captioner(
        new_pipeline(), camera, events, lambda: None, lambda *_: None, MotionGate()
    )
    captioner._step()  # the warmup
    while camera.frames:
        captioner._step()
    assert [event.frame.index for event in events.since(0)] == [0, 2, 5]
    assert captioner.facts()["held_back"] == 3
