"""What is drawn into pictures, as people call it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedl.errors import UsageError
from edgedl.runtime.detection import Detections
from edgedl.runtime.draw import (
    class_color,
    draw_boxes,
    draw_detections,
    draw_heat_map,
    draw_text,
    heat_colors,
    text_mask,
)


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def test_edges_of_boxes_are_rounded_to_those_of_pixels() -> None:
    picture = gray(9, 12)
    draw_boxes(picture, [(1.6, 0.4, 8.5, 6.0)], (0, 255, 7), thickness_px=1)
    expected = cv2.rectangle(gray(9, 12), (2, 0), (7, 5), (0, 255, 7), 1)
    assert np.array_equal(picture, expected)


def test_opacity_of_boxes_and_a_colour_for_each() -> None:
    picture = gray(4, 8)
    boxes = [(0, 0, 4, 4), (4, 0, 8, 1e30)]
    draw_boxes(picture, boxes, [(0, 0, 0), (255, 0, 0)], thickness_px=0, opacity=0.6)
    assert (picture[:, :4] == 40).all()
    assert (picture[:, 4:] == (193, 40, 40)).all()


def test_detections_have_boxes_labels_and_the_best_one_on_top() -> None:
    picture = gray(60, 90)
    found = Detections(
        boxes_xyxy=np.array([(10, 30, 60, 55), (10, 30, 60, 58)], np.float32),
        scores=np.array([0.9, 0.5], np.float32),
        classes=np.array([1, 0], np.int32),
    )
    draw_detections(picture, found, ["cat"], text_px=16)
    assert tuple(picture[40, 10]) == class_color(1)
    assert tuple(picture[57, 30]) == class_color(0)
    label = picture[14:30, 10:50]
    assert (label != 100).mean() > 0.9
    plain = gray(60, 90)
    draw_detections(plain, found, text_px=0)
    assert (plain[:30] == 100).all()
    nothing = Detections(
        boxes_xyxy=np.zeros((0, 4), np.float32),
        scores=np.zeros(0, np.float32),
        classes=np.zeros(0, np.int32),
    )
    draw_detections(plain, nothing)


def test_text_looks_as_opencv_writes_it() -> None:
    picture, expected = gray(40, 200), gray(40, 200)
    draw_text(picture, "Tëxt\ngy", (5, 4), height_px=32, color=(10, 20, 250))
    cv2.putText(
        expected, "T?xt gy", (6, 28), cv2.FONT_HERSHEY_SIMPLEX, 1, (10, 20, 250), 1, cv2.LINE_AA
    )
    difference = np.abs(picture.astype(int) - expected)
    assert difference.max() <= 2
    assert (picture != 100).any()


def test_text_on_a_rectangle_beyond_the_edge() -> None:
    picture = gray(20, 30)
    draw_text(picture, "wide text", (-6, 10), height_px=16, background=(0, 0, 0))
    assert (picture[:10] == 100).all()
    assert picture[10:].min() == 25
    draw_text(picture, "far", (10**12, -(10**12)))
    draw_text(picture, "", (0, 0))


def test_masks_of_text_are_kept() -> None:
    assert text_mask("kept", 20) is text_mask("kept", 20)
    assert not text_mask("kept", 20).flags.writeable


def test_heat_maps_cover_a_picture_or_a_region() -> None:
    heat = np.array([[0, 1]], np.float32)
    picture = gray(10, 40)
    draw_heat_map(picture, heat, opacity=1)
    assert np.array_equal(picture[3, [0, -1]], heat_colors()[[0, 255]])
    picture = gray(10, 40)
    draw_heat_map(picture, heat, region_xywh=(30, 2, 20, 4), colors=heat_colors("rgb8"), opacity=1)
    assert (picture[:, :30] == 100).all()
    assert np.array_equal(picture[2, 30], heat_colors()[0, ::-1])
    draw_heat_map(picture[:0], heat)


def test_wrong_arguments_are_named() -> None:
    picture = gray(4, 4)
    box = [(0, 0, 2, 2)]
    with pytest.raises(UsageError, match=r"\[draw_boxes\] boxes_xyxy must be \(K, 4\) and finite"):
        draw_boxes(picture, [(0, 0, np.nan, 2)], (1, 2, 3))
    with pytest.raises(UsageError, match=r"got \(4,\)"):
        draw_boxes(picture, (0, 0, 1, 2), (1, 2, 3))
    with pytest.raises(UsageError, match=r"whole numbers in 0..255; got \[1, 2, 256\]"):
        draw_boxes(picture, box, (1, 2, 256))
    with pytest.raises(UsageError, match=r"whole numbers in 0..255; got \[\[1, 2, 3\], \[4"):
        draw_boxes(picture, box, [(1, 2, 3), (4, 5, 6)])
    with pytest.raises(UsageError, match=r"opacity must be in \[0, 1\]; got nan"):
        draw_boxes(picture, box, (1, 2, 3), opacity=float("nan"))
    with pytest.raises(UsageError, match=r"height_px must be in 1..1024; got 0"):
        draw_text(picture, "x", (0, 0), height_px=0)
    with pytest.raises(UsageError, match=r"at most 32768 pixels wide; got \d+ .*shorten it"):
        draw_text(picture, "x" * 10_000, (0, 0), height_px=32)
    with pytest.raises(UsageError, match=r"whole numbers in 0..255; got \[-1, 0, 0\]"):
        draw_text(picture, "x", (0, 0), color=(-1, 0, 0))
    with pytest.raises(UsageError, match=r"\(h, w\) float32 array; got \(2, 2\) float64"):
        draw_heat_map(picture, np.zeros((2, 2)))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"picture must be a writable \(H, W, 3\)"):
        draw_heat_map(picture[..., 0], np.zeros((2, 2), np.float32))
