"""How far a build is, and how it is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

Progress = Callable[[float], None]


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Fraction:
    """Turns nested phases of steps into one number 0..1 that never falls.

    A phase that runs inside another is a part of the other's current step.
    """

    def __init__(self) -> None:
        self._phases: dict[str, _Phase] = {}
        self._value = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Begin a phase of so many steps."""
        self._phases[name] = _Phase(parent, max(steps, 1))

    def step(self, name: str, step: int) -> float:
        """Note that step ``step``, counted from 0, of a phase is done; return the whole."""
        if phase := self._phases.get(name):
            phase.done = min(step + 1, phase.steps)
        return self._raise()

    def finish(self, name: str) -> float:
        """Note that a phase is done; return the whole."""
        phase = self._phases.get(name)
        if phase is not None:
            phase.done = phase.steps
        value = self._raise()
        if phase is not None and phase.parent is not None:
            del self._phases[name]
        return value

    def _raise(self) -> float:
        outermost = [name for name, phase in self._phases.items() if phase.parent is None]
        self._value = max([self._value, *(self._of(name) for name in outermost[-1:])])
        return self._value

    def _of(self, name: str) -> float:
        phase = self._phases[name]
        inside = [self._of(child) for child, p in self._phases.items() if p.parent == name]
        return min((phase.done + max(inside, default=0.0)) / phase.steps, 1.0)


def make_monitor(module: Any, progress: Progress | None) -> Any:
    """Return a progress monitor for the TensorRT ``module``.

    Its ``stopped_by`` is the exception that ``progress`` raised, or KeyboardInterrupt after
    Ctrl-C: such a thing must not travel through TensorRT's C++ code, which drops it. The build
    then ends without an engine, and ``stoppable`` raises what stopped it.
    """

    class Monitor(module.IProgressMonitor):  # type: ignore[misc]
        """Counts phases and steps."""

        def __init__(self) -> None:
            module.IProgressMonitor.__init__(self)
            self.stopped_by: BaseException | None = None
            self._fraction = Fraction()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            """Begin a phase."""
            self._fraction.start(name, parent, steps)

        def phase_finish(self, name: str) -> None:
            """End a phase."""
            self._tell(self._fraction.finish(name))

        def step_complete(self, name: str, step: int) -> bool:
            """Note a step; False ends the build."""
            self._tell(self._fraction.step(name, step))
            return self.stopped_by is None

        def _tell(self, done: float) -> None:
            try:
                if progress is not None and self.stopped_by is None:
                    progress(done)
            except BaseException as err:  # noqa: BLE001 - raised again where the build ends
                self.stopped_by = err

    return Monitor()


@contextmanager
def stoppable(monitor: Any) -> Iterator[None]:
    """Raise what stopped a build when the block ends, whatever TensorRT made of it meanwhile.

    Ctrl-C, too, waits for the next step instead of being raised inside of TensorRT: in the main
    thread, and where nobody else has taken charge of it.
    """
    before = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    is_ours = is_main and before is signal.default_int_handler

    def stop(_signal: int, _frame: object) -> None:
        monitor.stopped_by = monitor.stopped_by or KeyboardInterrupt()

    if is_ours:
        signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGINT, before)
        if monitor.stopped_by is not None:
            raise monitor.stopped_by from None
