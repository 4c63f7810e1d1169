"""Network streams through FFmpeg (PyAV), with a limit on every wait and a reason for every loss."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING

import av
import av.error

from edgedl.stream.av_decode import decoded, pictures, video_stream
from edgedl.stream.live_source import Decoded, LiveOptions, LiveSource
from edgedl.stream.stream_error import explain

if TYPE_CHECKING:
    from av.container import InputContainer

    from edgedl.errors import SourceError
    from edgedl.stream.uri import SourceUri

FORMATS = "mpjpeg,mjpeg,mpegts"


def open_stream(uri: SourceUri, options: LiveOptions | None = None) -> LiveSource:
    """Start reading an RTSP or HTTP camera; returns at once."""

    def connect(limits: LiveOptions) -> Generator[Decoded | None, None, None]:
        return read_stream(uri, limits)

    return LiveSource(uri.shown, connect, options)


def read_stream(uri: SourceUri, limits: LiveOptions) -> Generator[Decoded | None, None, None]:
    """Open the stream and yield its pictures, None for a damaged one.

    Raises:
        SourceError: The stream cannot be opened, or was lost.
    """
    with closing(_open(uri, limits)) as container:
        stream = video_stream(container, uri)
        packets = container.demux()  # all streams: sound must not hide that the picture is missing
        before = time.monotonic()
        while True:
            error = None
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as err:
                packet, error = None, err
            waited_s = time.monotonic() - before
            # An expired wait may still flush one old packet: it must not be shown as new.
            if waited_s >= 0.9 * limits.read_timeout_s or isinstance(error, av.error.ExitError):
                raise uri.error("E312", f"no picture for {waited_s:.0f} s; the camera stalled")
            if packet is None or packet.size == 0:
                reason = f" ({error.strerror})" if error is not None and error.strerror else ""
                raise uri.error("E319", f"the camera ended the stream{reason}")
            if packet.stream_index != stream.index:
                continue
            for frame in pictures(packet, uri):
                yield None if frame is None else decoded(frame)
            before = time.monotonic()


def _open(uri: SourceUri, limits: LiveOptions) -> InputContainer:
    """Open a stream within ``open_timeout_s``; the error raised holds no credentials."""
    started = time.monotonic()
    error: SourceError
    try:
        return av.open(
            uri.text,
            options=_ffmpeg_options(uri, limits),
            timeout=(limits.open_timeout_s, limits.read_timeout_s),
        )
    except (av.error.FFmpegError, OSError, ValueError) as err:
        timed_out = time.monotonic() - started >= 0.9 * limits.open_timeout_s
        error = explain(err, uri, timed_out=timed_out, timeout_s=limits.open_timeout_s)
    raise error  # outside the handler: FFmpeg's own error holds the password


def _ffmpeg_options(uri: SourceUri, limits: LiveOptions) -> dict[str, str]:
    """Return FFmpeg's options: TCP, a short analysis, no redirects, no other protocols."""
    micros = str(int(limits.open_timeout_s * 1e6))
    options = {"analyzeduration": "500000", "max_delay": "500000", "timeout": micros}
    if uri.scheme in ("rtsp", "rtsps"):
        protocols = "rtp,tcp,udp,rtsp,rtsps,tls,crypto"
        return options | {"rtsp_transport": "tcp", "protocol_whitelist": protocols}
    return options | {
        "protocol_whitelist": "http,https,tcp,tls",
        "format_whitelist": FORMATS,
        "max_redirects": "0",
    }
