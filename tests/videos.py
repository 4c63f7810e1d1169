"""Small videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np


def write_video(path: Path, pictures: Sequence[Any], codec: str = "mpeg4", rate: int = 10) -> Path:
    """Write bgr8 pictures (H, W, 3) of one size; ``ffv1`` keeps them as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())
    return path


def gray(levels: Iterable[int], size_hw: tuple[int, int] = (16, 32)) -> list[Any]:
    """Return a picture of one gray for each level, 0..255."""
    return [np.full((*size_hw, 3), level, np.uint8) for level in levels]
