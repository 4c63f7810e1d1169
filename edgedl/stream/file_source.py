"""Video files: every frame in order, or paced like a camera."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error

from edgedl.data.upright import size_hw, to_bgr
from edgedl.errors import SourceError
from edgedl.frame import Frame
from edgedl.stream.av_decode import pictures, video_stream
from edgedl.stream.status import ReadLoop, SourceStatus, StatusBoard, describe

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame

    from edgedl.stream.uri import SourceUri

OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 10.0
CATCH_UP_S = 0.2


class FileSource(ReadLoop):
    """A video file.

    Args:
        uri: Its path.
        realtime: False gives every frame as fast as it is read. True paces frames by their media
            time, and a slow reader gets the newest; the others are counted as dropped. A video
            that cannot be decoded fast enough plays slower.
    """

    def __init__(self, uri: SourceUri, realtime: bool = False) -> None:
        self.uri = uri.shown
        self.live = realtime
        self._uri = uri
        self._container = _open(uri)
        self._stream: Any = video_stream(self._container, uri)
        self._frames = self._decode()
        self._board = StatusBoard("LIVE")
        self._started: float | None = None
        self._next: tuple[VideoFrame, float] | None = None
        self._media_s = 0.0
        self._ended = False
        self._using = threading.Lock()  # FFmpeg crashes when a file is closed while it is read

    @property
    def ended(self) -> bool:
        """Whether the last frame was read, or the source is closed."""
        return self._ended

    def read(self, timeout_s: float) -> Frame | None:
        """Return the next frame; with ``realtime`` the newest that is due within ``timeout_s``.

        Raises:
            SourceError: E334 when the file ends before all its frames came.
        """
        with self._using:
            if self._ended:
                return None
            try:
                return self._read_paced(timeout_s) if self.live else self._read_next()
            except SourceError as err:
                self._ended = True
                self._board.enter("FAILED", describe(err))
                raise

    def status(self) -> SourceStatus:
        """Return state and counters."""
        return self._board.status()

    def close(self) -> None:
        """Close the file, after a ``read`` of another thread."""
        self._ended = True
        with self._using:
            self._container.close()

    def _read_next(self) -> Frame | None:
        found = self._advance()
        if found is None:
            self._end()
            return None
        return self._frame(*found, captured_ns=time.monotonic_ns())

    def _read_paced(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that is due, waiting for one at most ``timeout_s``."""
        deadline = time.monotonic() + timeout_s
        self._next = self._next or self._advance()
        if self._next is None:
            self._end()
            return None
        if self._started is None:
            self._started = time.monotonic() - self._next[1]
        due = self._started + self._next[1]
        if due > deadline:
            time.sleep(max(0.0, deadline - time.monotonic()))
            return None
        time.sleep(max(0.0, due - time.monotonic()))
        give_up = time.monotonic() + CATCH_UP_S
        newest, self._next = self._next, self._advance()
        while self._next is not None and self._started + self._next[1] <= time.monotonic():
            if time.monotonic() > give_up:
                self._started = time.monotonic() - newest[1]
                break
            self._frame_seen(newest[0])
            self._board.saw_dropped()
            newest, self._next = self._next, self._advance()
        return self._frame(*newest, captured_ns=int((self._started + newest[1]) * 1e9))

    def _frame(self, picture: VideoFrame, media_s: float, captured_ns: int) -> Frame:
        index = self._frame_seen(picture)
        return Frame(to_bgr(picture), index=index, captured_ns=captured_ns, media_time_s=media_s)

    def _frame_seen(self, picture: VideoFrame) -> int:
        return self._board.saw_frame(size_hw(picture))

    def _end(self) -> None:
        self._ended = True
        self._board.enter("ENDED")

    def _advance(self) -> tuple[VideoFrame, float] | None:
        """Decode the next frame and its media time, which never runs backwards."""
        picture = next(self._frames, None)
        if picture is None:
            return None
        rate = float(self._stream.average_rate or 25)
        first = float((self._stream.start_time or 0) * (self._stream.time_base or 0))
        known = picture.time
        media_s = known - first if known is not None else self._media_s + 1 / rate
        self._media_s = max(self._media_s, media_s)
        return picture, self._media_s

    def _decode(self) -> Iterator[VideoFrame]:
        """Yield the undamaged frames; raise E334 at the end if the file is shorter than it says."""
        packets = 0
        for packet in self._container.demux(self._stream):
            packets = self._seen(packets, packet)
            for frame in pictures(packet, self._uri):
                if frame is None:
                    self._board.saw_corrupt()
                else:
                    yield frame
        if packets < self._stream.frames:
            wanted = self._stream.frames
            text = f"is incomplete: {packets} of {wanted} frames are there; copy it again"
            raise self._uri.error("E334", text)

    def _seen(self, before: int, packet: Packet[Any]) -> int:
        """Return how many frames of the file were read with this packet.

        AVI counts frames that repeat the one before, too; they have no packet, but a time.
        """
        if not packet.size:
            return before
        is_avi, place = self._container.format.name == "avi", packet.dts
        return max(before, place) + 1 if is_avi and place is not None else before + 1


def _open(uri: SourceUri) -> InputContainer:
    """Open a video file as nothing but a file."""
    path = uri.path
    _check(uri, path)
    try:
        return av.open(
            str(path.resolve()),
            options={"protocol_whitelist": "file"},
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
        )
    except (av.error.FFmpegError, OSError, ValueError) as err:
        if isinstance(err, PermissionError):
            text = "cannot be read: permission denied"
        elif _starts_like_mp4(path):
            raise uri.error("E334", "is an incomplete video (no index); copy it again") from err
        else:
            text = "is not a video that FFmpeg can read; expected .mp4, .mkv, .avi, … or an image"
    raise uri.error("E333", text)


def _check(uri: SourceUri, path: Path) -> None:
    """Raise the error of a path that cannot be a video file."""
    if not path.exists():
        raise uri.error("E330", "no such file or folder")
    if not path.is_file():
        raise uri.error("E333", "is not a regular file; give a video, an image or a camera")
    if path.stat().st_size == 0:
        raise uri.error("E332", "is empty (0 bytes)")


def _starts_like_mp4(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")
