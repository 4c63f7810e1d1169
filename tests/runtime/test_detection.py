"""A detector's output as boxes in the source picture."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.errors import UsageError
from edgedl.runtime.detection import (
    DetectionOptions,
    SsdPriors,
    boxes_to_source,
    decode_ssd,
    decode_yolo,
    nms,
)
from edgedl.spec import ImageSpec

BOXES = np.float32([[20, 10, 60, 50], [21, 11, 61, 51], [100, 40, 180, 100], [22, 11, 60, 50]])
SCORES = np.float32([0.6, 0.9, 0.5, 0.8])
CLASSES = np.int32([2, 2, 0, 1])
KEPT = [1, 3, 2]  # by class; 3 falls if classes do not matter
SPECS = [
    ImageSpec(size_hw=(128, 192), fit="stretch"),
    ImageSpec(size_hw=(128, 192), fit="letterbox"),
    ImageSpec(size_hw=(128, 192), fit="crop"),
]
SOURCE_HW = (480, 640)


def to_input(boxes: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Where source boxes lie in the tensor, written down again from the definition of the fit."""
    (height, width), (target_height, target_width) = SOURCE_HW, spec.size_hw
    if spec.fit == "stretch":
        across, down, x, y = target_width / width, target_height / height, 0.0, 0.0
    elif spec.fit == "letterbox":  # 128 x 171 at column 10
        across, down, x, y = 171 / width, 128 / height, 10.0, 0.0
    else:  # rows 26..453 of the source
        across, down, x, y = 192 / 640, 128 / 427, 0.0, -26 * 128 / 427
    return boxes * np.array([across, down, across, down]) + np.array([x, y, x, y])


def as_cxcywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)


def yolo(boxes: np.ndarray, style: str) -> np.ndarray:
    scores = np.zeros((len(boxes), 3), np.float32)
    scores[np.arange(len(boxes)), CLASSES] = SCORES if style == "v8" else SCORES / 0.95
    parts = [as_cxcywh(boxes), scores]
    if style == "v5":
        parts.insert(1, np.full((len(boxes), 1), 0.95))
    rows = np.concatenate(parts, axis=1).astype(np.float32)[np.newaxis]
    return rows if style == "v5" else rows.transpose(0, 2, 1)


@pytest.mark.parametrize("style", ["v5", "v8"])
@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.fit)
def test_yolo_boxes_come_back_in_source_pixels(spec: ImageSpec, style: str) -> None:
    source = BOXES * np.float32([3, 3, 3, 3]) + np.float32(30)
    output = yolo(to_input(source, spec), style)
    (found,) = decode_yolo(output, spec, [SOURCE_HW], style)
    assert found.classes.tolist() == CLASSES[KEPT].tolist()
    np.testing.assert_allclose(found.scores, SCORES[KEPT], rtol=1e-6)
    np.testing.assert_allclose(found.boxes_xyxy, source[KEPT], atol=1e-3)
    options = DetectionOptions(class_aware=False, max_boxes=1)
    (found,) = decode_yolo(output, spec, [SOURCE_HW], style, options)
    assert found.classes.tolist() == [2]


def test_a_batch_has_a_record_for_each_picture() -> None:
    spec = SPECS[1]
    output = np.concatenate([yolo(BOXES, "v8"), yolo(BOXES, "v8") * 0])
    full, empty = decode_yolo(output.astype(np.float16), spec, [(128, 192), (10, 10)])
    np.testing.assert_allclose(full.boxes_xyxy, BOXES[KEPT], atol=0.1)
    assert len(empty) == 0
    assert empty.boxes_xyxy.shape == (0, 4)
    assert (empty.scores.dtype, empty.classes.dtype) == (np.float32, np.int32)


@pytest.mark.parametrize("has_background", [False, True])
def test_ssd_boxes(has_background: bool) -> None:
    spec = ImageSpec(size_hw=(128, 192))
    priors = as_cxcywh(BOXES / np.float32([192, 128, 192, 128])).astype(np.float32)
    shifted = priors + np.float32([0.02, -0.01, 0, 0])
    shifted[:, 2:] *= 1.25
    locations = np.zeros((1, 4, 4), np.float32)
    locations[0, :, :2] = (priors[:, :2] - shifted[:, :2]) / (0.1 * shifted[:, 2:])
    locations[0, :, 2:] = np.log(priors[:, 2:] / shifted[:, 2:]) / 0.2
    confidences = np.zeros((1, 4, 3 + has_background), np.float32)
    confidences[0, np.arange(4), CLASSES + has_background] = SCORES
    if has_background:
        confidences[..., 0] = 0.99
    made_with = SsdPriors(boxes_cxcywh=shifted, has_background=has_background)
    (found,) = decode_ssd(locations, confidences, made_with, spec, [(128, 192)])
    assert found.classes.tolist() == CLASSES[KEPT].tolist()
    np.testing.assert_allclose(found.boxes_xyxy, BOXES[KEPT], atol=1e-3)


def test_boxes_are_cut_to_the_picture() -> None:
    got = boxes_to_source(np.float32([[-50, -50, 500, 500]]), SPECS[1], SOURCE_HW)
    assert got.tolist() == [[0, 0, 640, 480]]


def test_groups_keep_pictures_of_a_batch_apart() -> None:
    assert nms(BOXES, SCORES).tolist() == [1, 2]
    assert nms(BOXES, SCORES, np.int32([0, 1, 0, 1])).tolist() == [1, 0, 2]
    assert nms(BOXES, SCORES, score_threshold=0.5, max_candidates=3).tolist() == [1]
    assert nms(BOXES[:0], SCORES[:0]).tolist() == []


def test_wrong_outputs_are_named() -> None:
    spec, output = SPECS[0], yolo(BOXES, "v8")
    with pytest.raises(UsageError, match=r"\[decode_yolo\] an output .* 3 axes; got \(7, 4\)"):
        decode_yolo(output[0], spec, [SOURCE_HW])
    with pytest.raises(UsageError, match=r"got \(1, 7, 4\) and 2 sizes"):
        decode_yolo(output, spec, [SOURCE_HW] * 2)
    with pytest.raises(UsageError, match=r"style must be v5 or v8; got 'v9'"):
        decode_yolo(output, spec, [SOURCE_HW], "v9")
    priors = SsdPriors(boxes_cxcywh=np.zeros((4, 4)))
    with pytest.raises(UsageError, match=r"must agree in A; got"):
        decode_ssd(np.zeros((1, 5, 4)), np.zeros((1, 5, 2)), priors, spec, [SOURCE_HW])
    with pytest.raises(UsageError, match=r"numbers >= 1, height and width; got \(0, 5\)"):
        decode_yolo(output, spec, [(0, 5)])
    with pytest.raises(UsageError, match=r"iou_threshold must be in \[0, 1\]; got 2"):
        DetectionOptions(iou_threshold=2)
    with pytest.raises(UsageError, match=r"max_boxes must be a whole number in 0\.\..*; got -1"):
        DetectionOptions(max_boxes=-1)
    with pytest.raises(UsageError, match=r"max_candidates must be a whole number .*; got 1\.5"):
        DetectionOptions(max_candidates=1.5)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (5,), (4.5, 5), (np.inf, 5), "ab", 5, None])
def test_wrong_sizes_are_named_before_anything_is_read(size: object) -> None:
    for read in (
        lambda: decode_yolo(yolo(BOXES, "v8"), SPECS[0], [size]),
        lambda: decode_yolo(np.zeros((1, 7, 0), np.float32), SPECS[0], [size]),
        lambda: boxes_to_source(BOXES, SPECS[0], size),
    ):
        with pytest.raises(UsageError, match=r"height and width; got "):
            read()


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (None, "NoneType"),
        ([[1.0]], "list"),
        (np.zeros((1, 7, 4), np.int64), r"\(1, 7, 4\) int64"),
        (np.zeros((1, 7, 4), np.complex64), r"\(1, 7, 4\) complex64"),
        (np.full((1, 7, 4), None), r"\(1, 7, 4\) object"),
        (np.full((1, 7, 4), "x"), r"\(1, 7, 4\) <U1"),
    ],
)
def test_what_is_no_array_of_floats_is_named(output: object, got: str) -> None:
    scores, priors = np.zeros((1, 4, 2)), SsdPriors(boxes_cxcywh=np.zeros((4, 4)))
    for read in (
        lambda: decode_yolo(output, SPECS[0], [SOURCE_HW]),
        lambda: decode_ssd(output, scores, priors, SPECS[0], [SOURCE_HW]),
        lambda: decode_ssd(np.zeros((1, 4, 4)), output, priors, SPECS[0], [SOURCE_HW]),
        lambda: SsdPriors(boxes_cxcywh=output),
        lambda: boxes_to_source(output, SPECS[0], SOURCE_HW),
    ):
        with pytest.raises(UsageError, match=r"must be an array of floats .*; got " + got):
            read()
    with pytest.raises(UsageError, match=r"boxes_xyxy must be \(K, 4\); got \(2, 5\)"):
        boxes_to_source(np.zeros((2, 5), np.float32), SPECS[0], SOURCE_HW)
    with pytest.raises(UsageError, match=r"two variances; got 1"):
        SsdPriors(boxes_cxcywh=np.zeros((4, 4)), variances=(0.1,))


def test_double_precision_beyond_single_is_dropped() -> None:
    output = yolo(BOXES, "v8").astype(np.float64)
    assert len(decode_yolo(output, SPECS[0], [SOURCE_HW])[0]) == len(KEPT)
    output[0, :4] = 1e300
    assert len(decode_yolo(output, SPECS[0], [SOURCE_HW])[0]) == 0
    priors = SsdPriors(boxes_cxcywh=np.full((4, 4), 1e300))
    (found,) = decode_ssd(
        np.full((1, 4, 4), -1e300), np.ones((1, 4, 2)), priors, SPECS[0], [SOURCE_HW]
    )
    assert len(found) == 0
