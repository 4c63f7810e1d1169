"""How long to wait before trying a camera again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Exponential back-off with full jitter: a random delay below a doubling limit.

    The limit returns to its start only after a connection that stayed up; a camera that accepts
    and drops at once is otherwise asked again without a pause, for ever.

    Attributes:
        base_s: Limit of the first delay.
        cap_s: The limit doubles up to this.
        floor_s: No delay is shorter.
        healthy_s: A connection that lived this long resets the limit.
    """

    base_s: float = 0.5
    cap_s: float = 30.0
    floor_s: float = 0.1
    healthy_s: float = 10.0
    random: random.Random = field(default_factory=random.Random)
    _failures: int = 0

    def limit_s(self) -> float:
        """Return the longest delay that may come next."""
        return float(min(self.cap_s, self.base_s * 2 ** min(self._failures, 32)))

    def delay_s(self, lived_s: float, at_least_s: float = 0.0) -> float:
        """Return the delay after a connection that lived ``lived_s`` seconds, 0 if it never did.

        Args:
            lived_s: From the first frame of the connection to its end.
            at_least_s: A longer floor, for cameras that lock accounts after failed logins.
        """
        if lived_s >= self.healthy_s:
            self._failures = 0
        delay = self.random.uniform(0.0, self.limit_s())
        self._failures += 1
        return max(delay, self.floor_s, at_least_s)
