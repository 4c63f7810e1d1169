"""A thread that never dies in silence."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Worker:
    """Runs ``step`` in a thread until ``close``; an exception ends it and is reported.

    Args:
        name: Of the thread and in the report.
        step: One turn of the loop; returns within half a second.
        on_death: Called in the thread with the exception that ended it.
    """

    def __init__(
        self, name: str, step: Callable[[], None], on_death: Callable[[str, BaseException], None]
    ) -> None:
        self.name = name
        self._step = step
        self._on_death = on_death
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"edgedl-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the loop runs."""
        return self._thread.is_alive()

    def close(self, timeout_s: float) -> None:
        """Tell the loop to end and wait for it; one that does not is left behind."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except BaseException as err:  # noqa: BLE001 - whatever it was, the daemon must hear of it
            if not self._stop.is_set():  # after close what it needs may be closed, too
                self._on_death(self.name, err)
