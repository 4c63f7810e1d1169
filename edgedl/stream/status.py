"""What every source can do and say of itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from edgedl.errors import EdgedlError
    from edgedl.frame import Frame

State = Literal["CONNECTING", "LIVE", "STALE", "BACKOFF", "ENDED", "FAILED"]
Self = TypeVar("Self", bound="ReadLoop")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceStatus:
    """A source at one moment.

    Attributes:
        state: CONNECTING, LIVE, STALE (connected, but no new frame lately), BACKOFF (waiting
            before the next try), ENDED (a file, at its end) or FAILED (given up).
        since_s: Seconds in this state.
        error: Code and text of what keeps it from being LIVE, without credentials.
        frames: Frames decoded.
        dropped: Frames replaced by a newer one before they were read.
        corrupt: Damaged frames, thrown away.
        reconnects: Connections lost or refused.
        age_s: Seconds since the newest frame, None before the first.
        size_hw: Height and width of the newest frame.
    """

    state: State
    since_s: float
    error: str | None
    frames: int
    dropped: int
    corrupt: int
    reconnects: int
    age_s: float | None
    size_hw: tuple[int, int] | None


class Source(Protocol):
    """Frames, one at a time, with a time limit on every wait."""

    @property
    def uri(self) -> str:
        """What was opened, without credentials."""

    @property
    def live(self) -> bool:
        """Whether the newest frame wins; otherwise every frame is given."""

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when there is none within ``timeout_s``."""

    def status(self) -> SourceStatus:
        """Return state and counters."""

    def close(self) -> None:
        """Let go of the camera or file. Returns quickly; may be called twice."""

    def __enter__(self) -> Source: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]: ...


class ReadLoop:
    """The parts of a source that follow from ``read``, ``ended`` and ``close``."""

    @property
    def ended(self) -> bool:
        """Whether no frame will come any more."""
        raise NotImplementedError

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame, or None when there is none within ``timeout_s``."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the camera or file."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        while not self.ended:
            frame = self.read(timeout_s=0.5)
            if frame is not None:
                yield frame


def describe(error: EdgedlError) -> str:
    """Return code and text of an error, for status and logs."""
    return f"{error.code}: {error}"


class StatusBoard:
    """State and counters of one source, safe to write in one thread and read in another."""

    def __init__(
        self,
        state: State,
        stale_after_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._stale_after_s = stale_after_s
        self._state: State = state
        self._since = clock()
        self._error: str | None = None
        self._newest: float | None = None
        self._size_hw: tuple[int, int] | None = None
        self._frames = self._dropped = self._corrupt = self._reconnects = 0

    def enter(self, state: State, error: str | None = None) -> None:
        """Change the state; an error stays visible until frames come again."""
        with self._lock:
            if state != self._state:
                self._state, self._since = state, self._clock()
            self._reconnects += state == "BACKOFF"
            self._error = error or (None if state == "LIVE" else self._error)

    def saw_frame(self, size_hw: tuple[int, int]) -> int:
        """Count a decoded frame; return its number, from 0."""
        with self._lock:
            self._newest, self._size_hw = self._clock(), size_hw
            self._frames += 1
            return self._frames - 1

    def saw_corrupt(self) -> None:
        """Count a damaged frame."""
        with self._lock:
            self._corrupt += 1

    def saw_dropped(self, count: int = 1) -> None:
        """Count frames nobody read."""
        with self._lock:
            self._dropped += count

    def status(self) -> SourceStatus:
        """Return the status now; LIVE without a new frame for long is STALE."""
        with self._lock:
            now = self._clock()
            state, since = self._state, self._since
            age_s = None if self._newest is None else now - self._newest
            limit_s = self._stale_after_s
            if state == "LIVE" and limit_s is not None and age_s is not None and age_s > limit_s:
                state, since = "STALE", now - age_s + limit_s
            return SourceStatus(
                state=state,
                since_s=now - since,
                error=self._error,
                frames=self._frames,
                dropped=self._dropped,
                corrupt=self._corrupt,
                reconnects=self._reconnects,
                age_s=age_s,
                size_hw=self._size_hw,
            )
