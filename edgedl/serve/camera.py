"""The one camera of the daemon: its source, its newest frame as JPEG, its state for people."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from edgedl.errors import SourceError
from edgedl.frame import UPRIGHT
from edgedl.serve.rate import Rate
from edgedl.serve.worker import Worker
from edgedl.stream.latest import Latest

if TYPE_CHECKING:
    from edgedl.frame import Frame, Mounting
    from edgedl.stream.source import Source

READ_TIMEOUT_S = 0.2
JPEG_QUALITY = 80
MAX_SIDE_PX = 1280


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame ready to be sent.

    Attributes:
        frame: Its number in the source.
        captured_ns: When it was captured, monotonic.
        jpeg: The encoded picture, at most 1280 pixels wide and high.
    """

    frame: int
    captured_ns: int
    jpeg: bytes

    @property
    def age_s(self) -> float:
        """Seconds since the capture."""
        return (time.monotonic_ns() - self.captured_ns) / 1e9


class Camera:
    """Reads a source in a thread and keeps the newest frame for everybody.

    Args:
        source: An open source; whoever opened it closes it.
        on_frame: Called in the camera's thread after each frame.
        on_death: Called when the thread ends by an exception.
        mounting: How JPEGs are turned; frames stay as they are.
    """

    def __init__(
        self,
        source: Source,
        on_frame: Callable[[], None],
        on_death: Callable[[str, BaseException], None],
        mounting: Mounting = UPRIGHT,
    ) -> None:
        self._source = source
        self._on_frame = on_frame
        self._mounting = mounting
        self._for_captions: Latest[Frame] = Latest()
        self._newest: Frame | None = None
        self._picture: Picture | None = None
        self._encoding = threading.Lock()
        self._rate = Rate()
        self._finished = False
        self._worker = Worker("camera", self._step, on_death)

    def start(self) -> None:
        """Begin to read."""
        self._worker.start()

    def close(self) -> None:
        """Stop reading."""
        self._worker.close(timeout_s=2 * READ_TIMEOUT_S)

    def take(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that was not taken yet."""
        return self._for_captions.take(timeout_s)

    @property
    def newest_frame(self) -> int | None:
        """Number of the newest frame, None before the first."""
        return None if self._newest is None else self._newest.index

    def picture(self) -> Picture | None:
        """Return the newest frame as JPEG; encoded once, however many ask."""
        with self._encoding:
            newest, done = self._newest, self._picture
            if newest is None:
                return None
            if done is None or done.frame != newest.index:
                jpeg = encode_jpeg(newest.pixels, self._mounting)
                done = Picture(newest.index, newest.captured_ns, jpeg)
                self._picture = done
            return done

    def facts(self) -> dict[str, Any]:
        """Return state and counters as plain JSON values."""
        values = asdict(self._source.status())
        for key in ("since_s", "age_s"):
            values[key] = None if values[key] is None else round(values[key], 3)
        skipped = self._for_captions.dropped
        return {
            "uri": self._source.uri,
            **values,
            "fps": round(self._rate.per_s(), 2),
            "not_captioned": skipped,
        }

    def _step(self) -> None:
        """Read one frame, or wait a little."""
        frame = None
        if not self._finished:
            try:
                frame = self._source.read(READ_TIMEOUT_S)
            except SourceError:  # a file that broke off; its status says so
                self._finished = True
        if frame is not None:
            self._newest = frame
            self._rate.tick()
            self._for_captions.put(frame)
            self._on_frame()
        elif self._finished or self._source.ended:
            time.sleep(READ_TIMEOUT_S)


def encode_jpeg(pixels: Any, mounting: Mounting = UPRIGHT) -> bytes:
    """Encode a bgr8 picture, made smaller if a side exceeds 1280 pixels, then turned."""
    height, width = pixels.shape[:2]
    ratio = MAX_SIDE_PX / max(height, width)
    if ratio < 1:
        size_wh = (max(1, round(width * ratio)), max(1, round(height * ratio)))
        pixels = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA)
    pixels = mounting.turn(pixels)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        msg = f"OpenCV could not encode a picture of {width}x{height}"
        raise RuntimeError(msg)
    return np.asarray(data).tobytes()
