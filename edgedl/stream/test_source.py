"""``test://scenes``: a camera that needs no hardware, its scenes rendered as they are asked for."""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from edgedl.data.scenes import MovingScene, captions, render
from edgedl.frame import Frame
from edgedl.options import suggest
from edgedl.stream.status import ReadLoop, SourceStatus, StatusBoard

if TYPE_CHECKING:
    from edgedl.stream.uri import SourceUri

EXAMPLE = "test://scenes?fps=15&seed=3"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestOptions:
    """The options after the ``?``.

    Attributes:
        fps: Frames per second, 0.1..120.
        seed: Of the scenes and their noise.
        size: Width and height, ``256`` or ``640x360``; 16..4096 each.
        count: Frames until the end; 0 never ends.
    """

    __test__ = False

    fps: float = 15.0
    seed: int = 0
    size: str = "256"
    count: int = 0


class TestSource(ReadLoop):
    """Renders moving scenes.

    Like a camera it gives the newest frame and drops what was not read in time. With ``count`` and
    without ``realtime`` it behaves like a file instead: every frame, as fast as it is read.
    """

    __test__ = False

    def __init__(self, uri: SourceUri, realtime: bool = False) -> None:
        options = parse_options(uri)
        self.uri = uri.shown
        self.live = realtime or options.count == 0
        self._options = options
        self._size_hw = size_hw_from(options.size, uri)
        self._scene = MovingScene(options.seed)
        self._board = StatusBoard("LIVE", stale_after_s=None)
        self._started = time.monotonic()
        self._next = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether ``count`` frames were given, or the source is closed."""
        return self._ended

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame due within ``timeout_s``."""
        if self._ended:
            return None
        index = self._wait_for_index(timeout_s) if self.live else self._next
        if index is None:
            return None
        count = self._options.count
        if count and index >= count:
            self.close()
            return None
        for _ in range(self._next, index):
            self._board.saw_frame(self._size_hw)
            self._board.saw_dropped()
        self._next = index + 1
        self._board.saw_frame(self._size_hw)
        if count and self._next >= count:
            self.close()
        return self._frame(index)

    def status(self) -> SourceStatus:
        """Return state and counters."""
        return self._board.status()

    def close(self) -> None:
        """Stop."""
        self._ended = True
        self._board.enter("ENDED")

    def _wait_for_index(self, timeout_s: float) -> int | None:
        """Wait until the next frame is due; return the newest that is."""
        now = time.monotonic()
        due = self._started + self._next / self._options.fps
        if due > now + timeout_s:
            time.sleep(timeout_s)
            return None
        time.sleep(max(0.0, due - now))
        newest = math.floor((time.monotonic() - self._started) * self._options.fps)
        return max(self._next, newest)

    def _frame(self, index: int) -> Frame:
        media_s = index / self._options.fps
        scene = self._scene.at(media_s)
        rng = random.Random((self._options.seed << 32) + index)
        pixels = render(scene, self._size_hw, rng)
        captured = self._started + media_s if self.live else time.monotonic()
        return Frame(
            pixels,
            index=index,
            captured_ns=int(captured * 1e9),
            media_time_s=media_s,
            info={"captions": captions(scene)},
        )


def parse_options(uri: SourceUri) -> TestOptions:
    """Read the options of a test source.

    Raises:
        SourceError: E305 for an unknown name, option or value.
    """
    parts = urlsplit(uri.text)
    if parts.netloc != "scenes" or parts.path not in ("", "/"):
        hint = suggest(parts.netloc, ["scenes"])
        raise uri.error("E305", f"the only test source is 'scenes'{hint}; e.g. {EXAMPLE}")
    kinds = {"fps": float, "seed": int, "size": str, "count": int}
    values: dict[str, float | int | str] = {}
    for key, text in parse_qsl(parts.query, keep_blank_values=True):
        if key not in kinds:
            hint = suggest(key, kinds) or f"; known: {', '.join(kinds)}"
            raise uri.error("E305", f"unknown option {key!r}{hint}")
        try:
            values[key] = kinds[key](text)
        except ValueError:
            wanted = kinds[key].__name__
            raise uri.error("E305", f"{key} must be {wanted}; got {text!r}") from None
    options = TestOptions(**values)  # type: ignore[arg-type]
    if not 0.1 <= options.fps <= 120:
        raise uri.error("E305", f"fps must be in 0.1..120; got {options.fps}")
    if options.seed < 0 or options.count < 0:
        raise uri.error("E305", "seed and count must be >= 0")
    return options


def size_hw_from(text: str, uri: SourceUri) -> tuple[int, int]:
    """Return height and width of ``256`` or ``640x360`` (width x height)."""
    sides = text.lower().split("x")
    if len(sides) in (1, 2) and all(s.isascii() and s.isdigit() for s in sides):
        width, height = int(sides[0]), int(sides[-1])
        if 16 <= width <= 4096 and 16 <= height <= 4096:
            return height, width
    raise uri.error("E305", f"size must be like 256 or 640x360, sides in 16..4096; got {text!r}")
