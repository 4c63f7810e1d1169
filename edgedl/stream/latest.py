"""A one-slot mailbox between a fast thread and a slow one."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A one-slot mailbox where the newest item wins.

    A camera does not wait for the network. Keeping every frame turns a slow network into growing
    latency; keeping the newest turns it into dropped frames, which are counted.

    Attributes:
        dropped: Items that were replaced before anybody took them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._item: T | None = None
        self._ready = threading.Condition()

    def put(self, item: T) -> None:
        """Replace the waiting item, counting it as dropped if nobody took it."""
        with self._ready:
            self.dropped += self._item is not None
            self._item = item
            self._ready.notify()

    def take(self, timeout_s: float) -> T | None:
        """Return the newest item once, or None when none came within ``timeout_s``."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None, timeout_s)
            item, self._item = self._item, None
            return item
