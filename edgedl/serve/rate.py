"""How often something happened lately."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable


class Rate:
    """Events per second over the last seconds, counted; safe to read from another thread."""

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque(maxlen=1024)

    def tick(self) -> None:
        """Count one event, now."""
        self._times.append(self._clock())

    def per_s(self) -> float:
        """Return count over span; 0.0 when nothing happened within the window."""
        now = self._clock()
        recent = [t for t in tuple(self._times) if now - t <= self._window_s]
        if len(recent) < 2:
            return 0.0
        return (len(recent) - 1) / max(now - recent[0], 1e-6)
