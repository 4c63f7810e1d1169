"""What the reports have in common."""

import base64

import cv2
import numpy as np
import pytest

from edgedl.html_page import jpeg_uri


@pytest.mark.parametrize(
    ("size_hw", "shown_hw"),
    [
        ((20, 30), (20, 30)),
        ((640, 640), (640, 640)),
        ((1200, 1600), (480, 640)),
        ((1920, 1280), (640, 427)),
        ((1, 8000), (1, 640)),
    ],
)
def test_large_pictures_are_shown_smaller(size_hw, shown_hw):
    picture = np.zeros((*size_hw, 3), np.uint8)
    picture[:, : size_hw[1] // 2] = 200
    kind, _, text = jpeg_uri(picture).partition(",")
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)
    assert kind == "data:image/jpeg;base64"
    assert shown.shape == (*shown_hw, 3)
    assert abs(int(shown[:, 0].mean()) - 200) < 5
    assert shown[:, -1].mean() < 5
