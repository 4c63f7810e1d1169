"""A training that is told to end saves itself first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stopped(KeyboardInterrupt):
    """Training was told to end by a signal; what it had learnt is in its checkpoint.

    Attributes:
        step: Steps made.
        exit_code: What a shell expects of a process that such a signal ended: 130 or 143.
    """

    def __init__(self, step: int, signum: int) -> None:
        super().__init__(f"stopped after step {step}")
        self.step = step
        self.exit_code = 128 + signum


class Signals:
    """Whether to stop.

    Attributes:
        caught: The signal that said so, 0 as long as none did.
    """

    def __init__(self) -> None:
        self.caught = 0


@contextmanager
def catch_signals() -> Iterator[Signals]:
    """Note SIGTERM and SIGINT instead of dying of them; a second one acts at once.

    Only the main thread is told of signals; in any other nothing is caught.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    numbers = (int(signal.SIGTERM), int(signal.SIGINT))
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, _: Any) -> None:
        signals.caught = number
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
