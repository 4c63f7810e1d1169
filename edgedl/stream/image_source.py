"""A folder of images in the order of their names, or one image."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from edgedl.data.image_header import HEIC, SUFFIXES, image_size_hw, is_complete, is_heic
from edgedl.errors import SourceError
from edgedl.frame import MAX_SIDE_PX, Frame, U8Image
from edgedl.stream.status import ReadLoop, SourceStatus, StatusBoard, describe

if TYPE_CHECKING:
    from edgedl.stream.uri import SourceUri

MAX_FILE_BYTES = 128 << 20
log = logging.getLogger(__name__)


class ImageSource(ReadLoop):
    """Images as frames. In a folder a damaged one is logged, counted and left out."""

    live = False

    def __init__(self, uri: SourceUri) -> None:
        self.uri = uri.shown
        self._paths = _image_paths(uri)
        self._at = 0
        self._board = StatusBoard("LIVE")
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the last image was read, or the source is closed."""
        return self._ended

    def read(self, timeout_s: float) -> Frame | None:  # noqa: ARG002 - a file does not wait
        """Return the next image.

        Raises:
            SourceError: E337 too large, E338 not a complete image; in a folder only when no image
                of it can be read.
        """
        while not self._ended:
            path = self._paths[self._at]
            self._at += 1
            last = self._at == len(self._paths)
            try:
                pixels = read_image(path)
            except SourceError as err:
                self._skip(err, last)
                continue
            self._end_if(last)
            size_hw = (pixels.shape[0], pixels.shape[1])
            index = self._board.saw_frame(size_hw)
            info = {"file": os.fsencode(path.name).decode("utf-8", "backslashreplace")}
            return Frame(pixels, index=index, captured_ns=time.monotonic_ns(), info=info)
        return None

    def status(self) -> SourceStatus:
        """Return state and counters."""
        return self._board.status()

    def close(self) -> None:
        """Stop reading."""
        self._ended = True

    def _skip(self, error: SourceError, last: bool) -> None:
        """Count a damaged image; raise when there is no good one to go on with."""
        self._board.saw_corrupt()
        if last and self._board.status().frames == 0:
            self._ended = True
            self._board.enter("FAILED", describe(error))
            raise error
        log.warning("left out: %s", describe(error))
        self._end_if(last)

    def _end_if(self, last: bool) -> None:
        if last:
            self._ended = True
            self._board.enter("ENDED")


def read_image(path: Path) -> U8Image:
    """Decode one image to bgr8, (H, W, 3), upright, 16-bit and alpha reduced to 8-bit colour.

    Raises:
        SourceError: E332 empty, E337 a side of more than 8192 pixels, E338 not a complete image.
    """
    size_bytes = path.stat().st_size
    if size_bytes == 0:
        raise SourceError("E332", f"{path}: is empty (0 bytes)")
    if size_bytes > MAX_FILE_BYTES:
        raise SourceError("E337", f"{path}: image files over 128 MiB are refused")
    data = path.read_bytes()
    size_hw = image_size_hw(data)
    if is_heic(data):
        raise SourceError("E338", f"{path}: HEIC images are not read; save it as JPEG")
    if size_hw is None or not is_complete(data):
        raise SourceError("E338", f"{path}: not a complete JPEG, PNG, WebP or BMP image")
    height, width = size_hw
    if max(height, width) > MAX_SIDE_PX:
        msg = f"{path}: {width}x{height} exceeds {MAX_SIDE_PX} pixels a side; make it smaller"
        raise SourceError("E337", msg)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise SourceError("E338", f"{path}: the image is damaged")
    return pixels.astype(np.uint8, copy=False)


def _image_paths(uri: SourceUri) -> list[Path]:
    """Return the images of a folder sorted by name, or the one image."""
    path = uri.path
    if not path.is_dir():
        return [path]
    seen = (*SUFFIXES, *HEIC)  # of the latter each is told
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in seen and p.is_file())
    if not found:
        inner = "; give one of the folders in it" if any(p.is_dir() for p in path.iterdir()) else ""
        raise uri.error("E331", f"the folder holds no image ({', '.join(SUFFIXES)}){inner}")
    return found
