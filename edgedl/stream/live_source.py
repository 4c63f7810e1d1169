"""A camera that goes away and comes back: one reader thread, the newest frame wins."""

from __future__ import annotations

import atexit
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass

from edgedl.errors import SourceError
from edgedl.frame import Frame, U8Image
from edgedl.stream.backoff import Backoff
from edgedl.stream.latest import Latest
from edgedl.stream.status import ReadLoop, SourceStatus, StatusBoard, describe

MAX_WEDGED = 3
TELL_AFTER_S = 0.2
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """How patient to be with a camera.

    Attributes:
        open_timeout_s: Longest time to connect and learn the stream's format.
        read_timeout_s: Longest time without a picture before the connection is given up.
        stale_after_s: After this without a new frame the state is STALE.
        retry_base_s: First limit of the back-off.
        retry_cap_s: Last limit of the back-off.
        healthy_s: A connection that lived this long resets the back-off.
        wedged_s: A reader this long past its timeouts hangs in a native call and is replaced.
        refused_login_s: Shortest wait after 401 or 403, so that the account is not locked.
    """

    open_timeout_s: float = 5.0
    read_timeout_s: float = 3.0
    stale_after_s: float = 2.0
    retry_base_s: float = 0.5
    retry_cap_s: float = 30.0
    healthy_s: float = 10.0
    wedged_s: float = 5.0
    refused_login_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture; its pixels are converted only if somebody reads it.

    Attributes:
        size_hw: Height and width in pixels.
        pixels: Returns (H, W, 3) bgr8.
    """

    size_hw: tuple[int, int]
    pixels: Callable[[], U8Image]


Connect = Callable[[LiveOptions], Generator["Decoded | None", None, None]]
"""Open the camera and yield pictures, None for a damaged one; raise SourceError when it is lost."""


class LiveSource(ReadLoop):
    """Reads a camera in its own thread and opens it again whenever it is lost.

    Args:
        uri: The source without credentials.
        connect: A generator function; it must bound every wait of its own.
        options: Time limits.
        seed: Of the back-off's jitter; None for a different one each time.
    """

    live = True

    def __init__(
        self,
        uri: str,
        connect: Connect,
        options: LiveOptions | None = None,
        seed: int | None = None,
    ) -> None:
        self.uri = uri
        self._connect = connect
        self._options = options or LiveOptions()
        self._backoff = Backoff(
            base_s=self._options.retry_base_s,
            cap_s=self._options.retry_cap_s,
            healthy_s=self._options.healthy_s,
            random=random.Random(seed),
        )
        self._board = StatusBoard("CONNECTING", self._options.stale_after_s)
        self._latest: Latest[tuple[int, int, int, Decoded]] = Latest()
        self._connections = itertools.count()
        self._closed = threading.Event()
        self._tried = threading.Event()
        self._first_error: SourceError | None = None
        self._bug: BaseException | None = None
        self._left_behind: list[threading.Thread] = []
        self._away_since: float | None = None
        self._told: set[str] = set()
        self._start_reader()
        atexit.register(self._end_at_exit)

    @property
    def ended(self) -> bool:
        """True after ``close``; a camera itself never ends."""
        return self._closed.is_set()

    def wait_until_tried(self) -> None:
        """Wait for the first picture or the first failure.

        Raises:
            SourceError: The first attempt failed. The source is closed.
        """
        options = self._options
        limit_s = options.open_timeout_s + options.read_timeout_s + options.wedged_s
        error = None
        if not self._tried.wait(limit_s):
            error = SourceError("E312", f"{self.uri}: no answer within {limit_s:.0f} s")
        if self._bug is not None:
            raise self._bug
        error = error or self._first_error
        if error is not None:
            self._board.enter("FAILED", describe(error))
            self.close()
            raise error

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame once, or None when there is no new one within ``timeout_s``."""
        if self._bug is not None:
            raise self._bug
        if not self.ended and time.monotonic() > self._deadline:
            self._replace_reader()
        found = self._latest.take(timeout_s)
        if found is None:
            return None
        index, captured_ns, connection, decoded = found
        pixels = decoded.pixels()
        return Frame(pixels, index=index, captured_ns=captured_ns, connection=connection)

    def status(self) -> SourceStatus:
        """Return state and counters."""
        return self._board.status()

    def close(self) -> None:
        """Tell the reader to stop.

        A reader inside a native call that cannot be interrupted is left behind; it ends by itself
        within the open and read timeouts and touches nothing. Python waits for it when it exits.
        """
        self._closed.set()
        self._stop.set()
        self._thread.join(timeout=0.3)
        if not self._thread.is_alive():
            atexit.unregister(self._end_at_exit)

    def _end_at_exit(self) -> None:
        """Wait for the reader: FFmpeg crashes when the process is taken apart around it."""
        self._stop.set()
        self._thread.join(max(0.0, self._deadline - time.monotonic()))

    def _start_reader(self) -> None:
        """Start a reader thread with a stop event of its own."""
        self._stop = threading.Event()
        self._expect_sign(self._options.open_timeout_s + self._options.read_timeout_s)
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name="edgedl-source", daemon=True
        )
        self._thread.start()

    def _expect_sign(self, within_s: float) -> None:
        """Promise that the reader does something within this time and some more."""
        self._deadline = time.monotonic() + within_s + self._options.wedged_s

    def _replace_reader(self) -> None:
        """Leave a reader behind that is stuck in a native call, past all its timeouts."""
        self._stop.set()
        self._left_behind = [t for t in (*self._left_behind, self._thread) if t.is_alive()]
        if len(self._left_behind) > MAX_WEDGED:
            count = len(self._left_behind)
            msg = f"{count} reader threads hang in native calls; restart the process"
            raise RuntimeError(msg)
        log.warning("%s: the reader hangs; starting another", self.uri)
        self._board.enter("BACKOFF", f"E312: {self.uri}: the connection hangs")
        self._start_reader()

    def _run(self, stop: threading.Event) -> None:
        """Body of the reader thread: connect, read, wait, again."""
        try:
            while not stop.is_set():
                self._board.enter("CONNECTING")
                self._expect_sign(self._options.open_timeout_s + self._options.read_timeout_s)
                error, lived_s = self._one_connection(stop)
                if stop.is_set() or error is None:
                    return
                floor_s = self._options.refused_login_s if error.code == "E313" else 0.0
                delay_s = self._backoff.delay_s(lived_s, at_least_s=floor_s)
                self._board.enter("BACKOFF", describe(error))
                self._expect_sign(delay_s)
                if not self._tried.is_set():
                    self._first_error = error
                    self._tried.set()
                told_after_s = min(delay_s, TELL_AFTER_S)
                if stop.wait(told_after_s):  # whoever waited for the first try raises its error
                    return
                self._tell_of(error)
                stop.wait(delay_s - told_after_s)
        except BaseException as err:  # noqa: BLE001 - handed to whoever reads: no silent dead thread
            if not stop.is_set():
                self._bug = err
                self._tried.set()

    def _one_connection(self, stop: threading.Event) -> tuple[SourceError | None, float]:
        """Read one connection to its end; return why it ended and how long it lived."""
        first_s: float | None = None
        error: SourceError | None = None
        connection = next(self._connections)
        try:
            with closing(self._connect(self._options)) as pictures:
                for decoded in pictures:
                    if stop.is_set():
                        return None, 0.0
                    self._expect_sign(2 * self._options.read_timeout_s)
                    if decoded is None:
                        self._board.saw_corrupt()
                        continue
                    first_s = first_s or time.monotonic()
                    self._accept(decoded, connection)
                    self._tell_of_return(first_s)
        except SourceError as err:
            error = err
        lived_s = time.monotonic() - first_s if first_s else 0.0
        return error or SourceError("E319", f"{self.uri}: the stream ended"), lived_s

    def _tell_of(self, error: SourceError) -> None:
        """Log why the camera is away: each reason once, however often it is tried again."""
        self._away_since = self._away_since or time.monotonic()
        if error.code not in self._told:
            self._told.add(error.code)
            log.warning("%s; trying again until it comes", describe(error))

    def _tell_of_return(self, first_s: float) -> None:
        """Log that pictures come again, once the connection has lived for long enough to last."""
        steady_s = time.monotonic() - first_s
        if self._away_since is not None and steady_s >= self._options.healthy_s:
            away_s = first_s - self._away_since
            log.warning("%s: pictures come again, after %.0f s", self.uri, away_s)
            self._away_since = None
            self._told.clear()

    def _accept(self, decoded: Decoded, connection: int) -> None:
        """Put one picture into the mailbox."""
        index = self._board.saw_frame(decoded.size_hw)
        before = self._latest.dropped
        self._latest.put((index, time.monotonic_ns(), connection, decoded))
        self._board.saw_dropped(self._latest.dropped - before)
        self._board.enter("LIVE")
        self._tried.set()
