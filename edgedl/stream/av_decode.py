"""Packets to pictures with FFmpeg (PyAV); damaged ones are told apart, not shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import av
import av.error
from av.video.frame import VideoFrame

from edgedl.data.upright import size_hw, to_bgr
from edgedl.stream.live_source import Decoded

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from edgedl.stream.uri import SourceUri

MAX_PIXELS = 2**25
MAX_PACKET_BYTES = 8 << 20


def video_stream(container: InputContainer, uri: SourceUri) -> VideoStream:
    """Return the first video stream, prepared to refuse damaged and huge pictures.

    Raises:
        SourceError: E316 without a video stream, E317 when its codec is not in this FFmpeg, E341
            when its pictures are too large.
    """
    if not container.streams.video:
        found = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise uri.error("E316", f"holds no video; found: {found}")
    stream = container.streams.video[0]
    context: Any = stream.codec_context
    if context is None:
        raise uri.error("E317", "its video codec is not in this FFmpeg; send H.264 instead")
    _check_size(context.height or 0, context.width or 0, uri)
    context.options = {"max_pixels": str(MAX_PIXELS)}
    if context.name == "mjpeg":  # for H.264 this would throw away what a small SEI error touches
        context.options |= {"err_detect": "explode"}
    return stream


def pictures(packet: Packet[Any], uri: SourceUri) -> Iterator[VideoFrame | None]:
    """Decode one packet; None stands for a damaged picture.

    Raises:
        SourceError: E341 when a picture is larger than 32 megapixels.
    """
    if packet.size > MAX_PACKET_BYTES or (_is_jpeg(packet) and not _ends_like_jpeg(packet)):
        yield None
        return
    try:
        frames: list[Any] = packet.decode()
    except av.error.FFmpegError:
        yield None
        return
    for frame in frames:
        if not isinstance(frame, VideoFrame):
            continue
        _check_size(frame.height, frame.width, uri)
        yield None if frame.is_corrupt else frame


def decoded(frame: VideoFrame) -> Decoded:
    """Return a picture whose pixels are converted when they are read."""
    return Decoded(size_hw(frame), lambda: to_bgr(frame))


def _check_size(height: int, width: int, uri: SourceUri) -> None:
    """Raise E341 for pictures larger than 32 megapixels."""
    if height * width > MAX_PIXELS:
        text = f"pictures of {width}x{height} exceed 32 megapixels; lower the camera's resolution"
        raise uri.error("E341", text)


def _is_jpeg(packet: Packet[Any]) -> bool:
    return packet.size > 0 and packet.stream.codec_context.name == "mjpeg"


def _ends_like_jpeg(packet: Packet[Any]) -> bool:
    """Say whether the end-of-image marker is there; some cameras pad zeros after it."""
    return bytes(packet).rstrip(b"\x00\r\n").endswith(b"\xff\xd9")
