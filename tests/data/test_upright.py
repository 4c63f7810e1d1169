"""Videos of phones: training and a source see what a player shows, turned and mirrored."""

import struct

import cv2
import numpy as np
import pytest
from videos import write_video

from edgedl.data.clips import read_clip
from edgedl.stream.source import open_source

CORNERS = [[20, 80], [140, 200]]  # the grays of a picture, as it is stored
SHOWN = {  # by the definition of ISO 14496-12: x' = a x + c y, y' = b x + d y
    (1, 0, 0, 1): [[20, 80], [140, 200]],
    (0, 1, -1, 0): [[140, 20], [200, 80]],  # a phone held upright
    (-1, 0, 0, -1): [[200, 140], [80, 20]],
    (0, -1, 1, 0): [[80, 200], [20, 140]],
    (-1, 0, 0, 1): [[80, 20], [200, 140]],  # the mirror of a front camera
    (1, 0, 0, -1): [[140, 200], [20, 80]],
    (0, 1, 1, 0): [[20, 140], [80, 200]],
    (0, -1, -1, 0): [[200, 80], [140, 20]],
}


def write_turned(path, matrix):
    """Write a video of 48x32 with ``matrix`` in the header of its track."""
    picture = np.kron(np.array(CORNERS, np.uint8), np.ones((16, 24), np.uint8))
    write_video(path, [np.dstack([picture] * 3)] * 3)
    raw = bytearray(path.read_bytes())
    start = raw.index(b"tkhd") + 44  # version 0
    a, b, c, d = (65536 * x for x in matrix)
    raw[start : start + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("matrix", SHOWN)
def test_pictures_are_as_a_player_shows_them(tmp_path, matrix):
    path = write_turned(tmp_path / "a.mp4", matrix)
    with open_source(str(path)) as source:
        frames = list(source)
        size = source.status().size_hw
    pictures = [frame.pixels for frame in frames]
    for picture in [*pictures, *read_clip(path, 2)]:
        assert picture.shape[:2] == ((48, 32) if matrix[0] == 0 else (32, 48))
        assert picture.flags.c_contiguous
        height, width = picture.shape[:2]
        found = picture[height // 4 :: height // 2, width // 4 :: width // 2, 1].astype(int)
        assert np.abs(found - SHOWN[matrix]).max() <= 4
    assert size == pictures[0].shape[:2]


def test_turned_as_opencv_does(tmp_path):
    path = write_turned(tmp_path / "a.mp4", (0, 1, -1, 0))
    _, expected = cv2.VideoCapture(str(path)).read()
    assert np.abs(read_clip(path, 2)[0].astype(int) - expected).max() <= 2
