"""The last captions, for clients that come late or come back."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from edgedl.frame import Frame
from edgedl.stream.sink import caption_event


@dataclass(frozen=True, slots=True)
class CaptionEvent:
    """One caption as it was published.

    Attributes:
        id: 1, 2, 3, …
        frame: The frame it describes, without its pixels.
        values: What ``caption_event`` said at that moment.
    """

    id: int
    frame: Frame
    values: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the event with its age at this moment.

        ``age_s`` is measured on the monotonic clock; ``time`` is for people.
        """
        age_s = self.frame.age_s
        taken = datetime.now(timezone.utc) - timedelta(seconds=age_s)
        return {
            "id": self.id,
            "time": taken.isoformat(timespec="milliseconds"),
            "age_s": round(age_s, 3),
            **self.values,
        }


class EventRing:
    """The newest ``size`` captions, numbered; written by one thread and read by another."""

    def __init__(self, size: int = 256) -> None:
        self._lock = threading.Lock()
        self._events: deque[CaptionEvent] = deque(maxlen=size)
        self._last_id = 0

    @property
    def last_id(self) -> int:
        """Number of the newest event, 0 before the first."""
        return self._last_id

    def append(self, frame: Frame, caption: Any) -> CaptionEvent:
        """Number and keep one caption."""
        values = caption_event(frame, caption)
        bare = Frame(None, frame.index, frame.captured_ns, media_time_s=frame.media_time_s)
        with self._lock:
            self._last_id += 1
            event = CaptionEvent(self._last_id, bare, values)
            self._events.append(event)
        return event

    def since(self, last_id: int) -> list[CaptionEvent]:
        """Return the events after ``last_id``, oldest first.

        A number that was never given out is from before a restart: then all are new.
        """
        with self._lock:
            if last_id > self._last_id:
                last_id = 0
            return [event for event in self._events if event.id > last_id]
