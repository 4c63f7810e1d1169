import time
from datetime import datetime, timezone

import numpy as np

from edgedl.frame import Frame
from edgedl.serve.events import EventRing
from edgedl.serve.rate import Rate


def ring_of(count: int, new_pipeline, size: int = 256) -> EventRing:
    ring = EventRing(size)
    for i in range(count):
        frame = Frame(np.zeros((2, 2, 3), np.uint8), index=i)
        ring.append(frame, new_pipeline()(frame))
    return ring


def test_numbers_go_on_and_the_oldest_are_forgotten(new_pipeline) -> None:
    ring = ring_of(300, new_pipeline)
    found = ring.since(0)
    assert [event.id for event in found] == list(range(45, 301))
    assert ring.last_id == 300
    assert [event.id for event in ring.since(298)] == [299, 300]
    assert ring.since(300) == []


def test_a_number_from_before_a_restart_replays_all(new_pipeline) -> None:
    assert [event.id for event in ring_of(3, new_pipeline).since(5000)] == [1, 2, 3]


def test_pixels_are_not_kept(new_pipeline) -> None:
    assert ring_of(1, new_pipeline).since(0)[0].frame.pixels is None


def test_age_and_time_are_those_of_the_moment_of_asking(new_pipeline) -> None:
    ring = EventRing()
    frame = Frame(np.zeros((2, 2, 3), np.uint8), captured_ns=time.monotonic_ns() - 3_000_000_000)
    event = ring.append(frame, new_pipeline()(frame))
    said = event.to_json()
    assert 3.0 <= said["age_s"] < 10
    assert said["text"] == "frame 0"
    ago = datetime.now(timezone.utc) - datetime.fromisoformat(said["time"])
    assert 2.9 <= ago.total_seconds() < 10


def test_rates_are_counted_over_time() -> None:
    now = 0.0
    rate = Rate(window_s=5, clock=lambda: now)
    assert rate.per_s() == 0.0
    for i in range(21):
        now = i * 0.1
        rate.tick()
    assert abs(rate.per_s() - 10) < 0.01
    now = 20.0
    assert rate.per_s() == 0.0
