"""The door to all sources: files, images, network cameras, and a rendered test camera."""

from __future__ import annotations

import os

from edgedl.data.image_header import HEIC, SUFFIXES
from edgedl.deps import explain_missing
from edgedl.frame import MAX_SIDE_PX
from edgedl.stream.status import Source, SourceStatus, State
from edgedl.stream.uri import SourceUri, parse_uri

__all__ = ["Source", "SourceStatus", "State", "open_source"]


def open_source(uri: str, realtime: bool = False, fail_fast: bool = True) -> Source:
    """Open anything that gives frames. Use it in a ``with`` block and iterate over it.

    A camera gives its newest frame, counts the ones nobody read, and is opened again for ever when
    it is lost. A file gives every frame and ends.

    Args:
        uri: A video file, an image, a folder of images, ``rtsp://`` or ``rtsps://``, an
            ``http://`` or ``https://`` MJPEG camera, or ``test://scenes?fps=15&seed=3``.
        realtime: Pace a video file by its media time and let the newest frame win.
        fail_fast: Raise when a camera cannot be opened the first time, instead of trying again.

    Raises:
        SourceError: E300..E305 for a wrong ``uri``; E310..E319 and E336 for a camera that does not
            answer as one; E330..E338 for files.
    """
    checked = parse_uri(uri)
    with explain_missing(f"opening {checked.shown}"):
        if checked.scheme == "test":
            from edgedl.stream.test_source import TestSource

            return TestSource(checked, realtime)
        if checked.scheme:
            return _open_camera(checked, fail_fast)
        if checked.path.is_dir() or checked.path.suffix.lower() in (*SUFFIXES, *HEIC):
            return _open_images(checked)
        from edgedl.stream.file_source import FileSource

        return FileSource(checked, realtime)


def _open_camera(uri: SourceUri, fail_fast: bool) -> Source:
    from edgedl.stream.av_source import open_stream

    source = open_stream(uri)
    if fail_fast:
        source.wait_until_tried()
    return source


def _open_images(uri: SourceUri) -> Source:
    os.environ.setdefault(
        "OPENCV_IO_MAX_IMAGE_PIXELS", str(MAX_SIDE_PX**2)
    )  # read when cv2 is loaded
    from edgedl.stream.image_source import ImageSource

    if not uri.path.exists():
        raise uri.error("E330", "no such file or folder")
    return ImageSource(uri)
