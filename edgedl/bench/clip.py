"""A short H.264 clip of given pictures, so that decoding is measured on real compressed video."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
from av.video.frame import VideoFrame

if TYPE_CHECKING:
    from edgedl.frame import U8Image

CLIP_FRAMES = 60
CLIP_HZ = 30


def write_clip(path: Path, pictures: Sequence[U8Image]) -> Path:
    """Write ``CLIP_FRAMES`` frames that show ``pictures`` in turn, each for a few frames.

    Args:
        path: An ``.mp4`` file to be written.
        pictures: (H, W, 3) bgr8, at least one; all are brought to the even size of the first.
    """
    height, width = (side // 2 * 2 for side in pictures[0].shape[:2])
    with av.open(str(path), "w") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream: Any = container.add_stream(codec, rate=CLIP_HZ)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(CLIP_FRAMES):
            picture = pictures[index * len(pictures) // CLIP_FRAMES]
            fitted = cv2.resize(picture, (width, height)).astype("uint8", copy=False)
            frame = VideoFrame.from_ndarray(fitted, format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
