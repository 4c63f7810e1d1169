"""Where captions go: lines of text, lines of JSON, or a video with the caption drawn."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO, TypeVar

import av
import av.error
import cv2
from av.video.frame import VideoFrame

from edgedl.errors import UsageError
from edgedl.frame import UPRIGHT
from edgedl.printable import escaped
from edgedl.stream.overlay import with_caption

if TYPE_CHECKING:
    from edgedl.frame import Frame, Mounting, U8Image
    from edgedl.runtime.base import Result

TICKS_PER_S = 90_000
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CODECS = ("libx264", "mpeg4")
Self = TypeVar("Self", bound="LineSink | VideoSink")


class Sink(Protocol):
    """Takes captions one by one. Leaving the ``with`` block without an error completes it."""

    def write(self, frame: Frame, caption: Result) -> None:
        """Take the caption of one frame."""

    def __enter__(self) -> Sink: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def caption_event(frame: Frame, caption: Result) -> dict[str, Any]:
    """Return one caption as plain JSON values.

    Keys: ``frame`` number in the source, ``media_time_s`` (null for cameras), ``age_ms`` from
    capture to now, ``file`` where each frame is a file of its own, and those of the result:
    ``text``, ``log_prob``, ``stage_ms``, ``backend``, ``precision``, ``model_hash``.
    """
    media_s, file = frame.media_time_s, frame.info.get("file")
    return {
        "frame": frame.index,
        "media_time_s": None if media_s is None else round(media_s, 4),
        "age_ms": round(1000 * frame.age_s, 2),
        **({} if file is None else {"file": file}),
        **caption.to_json(),
    }


def open_sink(path: str, as_json: bool | None = None, mounting: Mounting = UPRIGHT) -> Sink:
    """Open a file for captions; its ending says which kind.

    Args:
        path: ``.mp4`` draws the caption under the picture and appears only when complete;
            ``.jsonl`` and ``.txt`` get a line per frame at once.
        as_json: Lines of JSON or of text whatever the ending.
        mounting: How pictures are turned before they are drawn on.

    Raises:
        UsageError: E130 for another ending, E131 when the file cannot be written.
    """
    kind = Path(path).suffix.lower()
    if as_json is None and kind == ".mp4":
        return VideoSink(Path(path), mounting)
    if as_json is None and kind not in (".jsonl", ".txt"):
        msg = f"a sink must end in .mp4, .jsonl or .txt; got {path!r}"
        raise UsageError("E130", msg)
    json_lines = kind == ".jsonl" if as_json is None else as_json
    try:
        stream = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed by the sink
    except OSError as err:
        raise _cannot_write(path, err) from err
    return LineSink(stream, as_json=json_lines, owned=True)


class LineSink:
    """Writes a line per frame and flushes it, so that a reader sees it at once.

    Args:
        stream: Where to.
        as_json: One JSON object per line instead of text and its time, or the name of its file.
        owned: Close the stream at the end.
    """

    def __init__(self, stream: TextIO, *, as_json: bool, owned: bool = False) -> None:
        self._stream = stream
        self._as_json = as_json
        self._owned = owned
        self._first_ns: int | None = None

    def write(self, frame: Frame, caption: Result) -> None:
        """Write one line."""
        if self._as_json:
            line = json.dumps(caption_event(frame, caption), ensure_ascii=False)
        else:
            text, file = " ".join(caption.text.split()), frame.info.get("file")
            told = f"{self._time_s(frame):9.3f} s  {text}" if file is None else f"{text}  {file}"
            line = escaped(told)
        with _writing(getattr(self._stream, "name", "a line")):
            self._stream.write(line + "\n")
            self._stream.flush()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._owned:
            with contextlib.suppress(OSError):  # each line was flushed, and told of if it could not
                self._stream.close()

    def _time_s(self, frame: Frame) -> float:
        """Return the media time, for cameras the time since the first frame."""
        if self._first_ns is None:
            self._first_ns = frame.captured_ns
        if frame.media_time_s is not None:
            return frame.media_time_s
        return (frame.captured_ns - self._first_ns) / 1e9


class VideoSink:
    """Writes an .mp4 with the caption drawn under each picture.

    The file is written under another name beside its place and moved there when it is complete;
    after an error nothing is left. Later frames of another size are fitted to the first one's.

    Args:
        path: Where to.
        mounting: How pictures are turned first.
    """

    def __init__(self, path: Path, mounting: Mounting = UPRIGHT) -> None:
        self._mounting = mounting
        self._path = path
        self._partial = path.with_name(f".{path.stem}.partial-{secrets.token_hex(4)}.mp4")
        self._stream: Any = None
        self._size_wh: tuple[int, int] | None = None
        self._started_ns = 0
        self._first_media_s = 0.0
        self._last_pts = -1
        if path.is_dir():
            raise _cannot_write(str(path), IsADirectoryError(errno.EISDIR, "it is a folder"))
        with _writing(str(path)):
            self._partial.touch()  # PyAV would notice a missing folder only at the first frame
            self._container = av.open(str(self._partial), "w", options={"movflags": "+faststart"})

    def write(self, frame: Frame, caption: Result) -> None:
        """Draw and encode one frame."""
        drawn = with_caption(self._fitted(self._mounting.turn(frame.pixels)), caption.text)
        if self._stream is None:
            self._start(frame, drawn)
        picture = VideoFrame.from_ndarray(drawn, format="bgr24")
        self._last_pts = max(self._last_pts + 1, self._pts(frame))
        picture.pts = self._last_pts
        picture.time_base = Fraction(1, TICKS_PER_S)
        with _writing(str(self._path)):
            self._container.mux(self._stream.encode(picture))

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._stream is not None:
                with _writing(str(self._path)):
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    _move_into_place(self._partial, self._path)
        finally:
            if self._stream is not None:
                with contextlib.suppress(OSError):  # the end of a video that is thrown away
                    self._container.close()
            self._partial.unlink(missing_ok=True)

    def _start(self, frame: Frame, drawn: U8Image) -> None:
        """Add the video stream once the size is known."""
        codec = next(name for name in CODECS if name in av.codecs_available)
        self._stream = self._container.add_stream(codec, rate=30)
        self._stream.height, self._stream.width = drawn.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
        if codec == "libx264":
            self._stream.options = {"preset": "veryfast", "crf": "20"}
        self._started_ns = frame.captured_ns
        self._first_media_s = frame.media_time_s or 0.0

    def _pts(self, frame: Frame) -> int:
        """Return the frame's time from the first one, in ticks."""
        if frame.media_time_s is not None:
            return round((frame.media_time_s - self._first_media_s) * TICKS_PER_S)
        return round((frame.captured_ns - self._started_ns) * TICKS_PER_S / 1e9)

    def _fitted(self, picture: U8Image) -> U8Image:
        """Return the picture in the size of the first one."""
        size_wh = (picture.shape[1], picture.shape[0])
        if self._size_wh is None:
            self._size_wh = size_wh
        if size_wh == self._size_wh:
            return picture
        return cv2.resize(picture, self._size_wh).astype("uint8", copy=False)


def _move_into_place(partial: Path, path: Path) -> None:
    """Flush a finished file to disk and give it its name."""
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
    """Turn what the system says while ``path`` is written into E131; a reader that left is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (av.error.FFmpegError, OSError) as err:
        raise _cannot_write(path, err) from err


def _cannot_write(path: str, error: Exception) -> UsageError:
    reason = getattr(error, "strerror", None) or error
    number = getattr(error, "errno", None)
    todo = "choose another place"
    if number in NO_ROOM:
        todo = "make room, or choose another disk"
    elif number == errno.ENOENT:
        todo = "choose a folder that exists"
    return UsageError("E131", f"cannot write {path}: {reason}; {todo}")
