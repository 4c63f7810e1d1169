"""Boxes kept and classes chosen, against OpenCV and the definitions in NumPy."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedl import _core
from edgedl.errors import UsageError

RNG = np.random.default_rng(7)
ORDERS = (-1, 0, 1, 2, 3)


def iou(a: np.ndarray, b: np.ndarray) -> np.float32:
    """Intersection over union as OpenCV rounds it; boxes without an area are equal."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    sides = [np.maximum(box[2:] - box[:2], 0) for box in (a, b)]
    both = sides[0].prod() + sides[1].prod()
    if both <= np.finfo(np.float64).eps:
        return np.float32(1)
    common = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return np.float32(1) - np.float32(1.0 - common / (both - common))


def expected(boxes, scores, groups, threshold, score_threshold, limit) -> list[int]:
    usable = np.isfinite(boxes).all(axis=1) & (scores > score_threshold)
    order = [i for i in np.argsort(-scores, kind="stable") if usable[i]]
    kept: list[int] = []
    for i in order[: limit or None]:
        rivals = [j for j in kept if groups is None or groups[i] == groups[j]]
        if not any(iou(boxes[i], boxes[j]) > np.float32(threshold) for j in rivals):
            kept.append(i)
    return kept


def boxes_of(count: int, extent: float = 100.0) -> np.ndarray:
    centre = RNG.uniform(0, extent, (count, 2))
    half = RNG.uniform(1, extent / 4, (count, 2))
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def run(boxes, scores, groups=None, threshold=0.45, score=0.0, limit=0, order=-1) -> list[int]:
    return _core.nms(boxes, scores, groups, threshold, score, limit, order).tolist()


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("count", [0, 1, 2, 31, 33, 64, 65, 130])
def test_matches_the_definition(count: int) -> None:
    boxes = boxes_of(count)
    scores = (RNG.integers(0, 50, count) / 50).astype(np.float32)  # with equal ones
    groups = RNG.integers(-2, 3, count).astype(np.int32)
    for threshold, limit in ((0.45, 0), (0.0, 0), (0.1, count // 2 + 1), (1.0, 0)):
        for group in (None, groups):
            want = expected(boxes, scores, group, threshold, 0.1, limit)
            for order in ORDERS:
                assert run(boxes, scores, group, threshold, 0.1, limit, order) == want


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.45, 0.5, 0.7])
@pytest.mark.parametrize("whole", [False, True])
def test_keeps_what_opencv_keeps(threshold: float, whole: bool) -> None:
    """Boxes of whole pixels have overlaps that equal the threshold."""
    boxes = boxes_of(3000, 200.0) + np.float32(100)  # OpenCV mixes up classes left of 0
    if whole:
        boxes[:, :2] = np.floor(boxes[:, :2] / 10) * 10
        boxes[:, 2:] = boxes[:, :2] + RNG.integers(0, 5, (3000, 2)) * 10
    scores = RNG.random(3000).astype(np.float32)
    classes = RNG.integers(0, 6, 3000).astype(np.int32)
    corners = boxes.astype(np.float64)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    assert run(boxes, scores, None, threshold) == list(
        cv2.dnn.NMSBoxes(xywh, scores, 0.0, threshold)
    )
    assert run(boxes, scores, None, threshold, 0.2, 500) == list(
        cv2.dnn.NMSBoxes(xywh, scores, 0.2, threshold, top_k=500)
    )
    scores[(xywh[:, 2:] == 0).any(axis=1)] = 0  # of these as well
    assert run(boxes, scores, classes, threshold) == list(
        cv2.dnn.NMSBoxesBatched(xywh, scores, classes, 0.0, threshold)
    )


@pytest.mark.usefixtures("target")
def test_boxes_and_scores_of_every_kind() -> None:
    nan, inf, huge, tiny = np.nan, np.inf, 3e38, 1e-30
    kinds = [
        *((0, 0, 10, 10), (0, 0, 10, 10), (5, 5, 5, 5), (7, 7, 7, 9), (9, 9, 1, 1)),
        *((nan, 0, 1, 1), (0, 0, inf, 1), (-huge, -huge, huge, huge), (0, 0, huge, 1)),
        *((0, 0, tiny, tiny), (0, 0, tiny, tiny), (0, 0, 1e-8, 1e-8), (1e-9, 0, 1e-8, 1e-8)),
        *((-5, -5, 5, 5), (0, 0, 10, 9), (0, 0, 1e16, 1e16), (0, 0, 1e16, 9e15)),
    ]
    boxes = np.array(kinds * 3, np.float32)
    scores = RNG.random(len(boxes)).astype(np.float32)
    scores[3:8] = nan, inf, -inf, 0.0, -0.0
    for threshold in (0.0, 0.5, 1.0):
        with np.errstate(over="ignore", invalid="ignore"):
            want = expected(boxes, scores, None, threshold, -1.0, 0)
        for order in ORDERS:
            assert run(boxes, scores, None, threshold, -1.0, 0, order) == want


def test_wrong_boxes_are_named() -> None:
    boxes, scores = boxes_of(4), np.ones(4, np.float32)
    with pytest.raises(UsageError, match=r"\[nms\] boxes .* \(K, 4\) .*; got \(4, 4\) float64"):
        run(boxes.astype(np.float64), scores)
    with pytest.raises(UsageError, match=r"one per box; got \(3,\) float32"):
        run(boxes, scores[:3])
    with pytest.raises(UsageError, match=r"groups .* int32 .*; got \(4,\) int64"):
        run(boxes, scores, np.zeros(4, np.int64))
    with pytest.raises(UsageError, match=r"iou_threshold must be in \[0, 1\]; got nan"):
        run(boxes, scores, None, np.nan)
    with pytest.raises(UsageError, match=r"score_threshold must be a number"):
        run(boxes, scores, None, 0.5, np.nan)
    with pytest.raises(UsageError, match=r"max_candidates must be >= 0; got -1"):
        run(boxes, scores, None, 0.5, 0.0, -1)


# ---- best_class ---------------------------------------------------------------------------------


def best(anchors: np.ndarray, first: int, objectness: int, threshold: float):
    """Definition: rows are anchors."""
    values = np.where(np.isnan(anchors[:, first:]), -np.inf, anchors[:, first:])
    classes = values.argmax(axis=1).astype(np.int32)
    scores = values.max(axis=1)
    if objectness >= 0:
        factor = anchors[:, objectness]
        is_there = factor > threshold
        with np.errstate(invalid="ignore"):
            scores = np.where(is_there, factor * scores, -np.inf)
        classes[~is_there] = 0
    return scores.astype(np.float32), classes


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("objectness", [-1, 4])
@pytest.mark.parametrize("classes", [1, 2, 15, 16, 17, 80])
@pytest.mark.parametrize("anchors", [0, 1, 7, 17, 600])
def test_best_class(anchors: int, classes: int, objectness: int) -> None:
    first = 4 if objectness < 0 else 5
    values = RNG.random((anchors, first + classes)).astype(np.float32)
    values[:, first:] = np.round(values[:, first:] * 20) / 20  # with equal ones
    values.reshape(-1)[::13] = np.nan
    values[2::5, first:] = np.nan
    want = best(values, first, objectness, 0.3)
    columns = np.ascontiguousarray(values.T)
    for order in ORDERS:
        for source, are_rows in ((values, True), (columns, False)):
            got = _core.best_class(source, are_rows, first, objectness, 0.3, order)
            assert np.array_equal(got[0], want[0])
            assert np.array_equal(got[1], want[1])


def test_wrong_predictions_are_named() -> None:
    values = np.zeros((3, 4), np.float32)
    with pytest.raises(UsageError, match=r"at least one class; got \(3, 4\) float32"):
        _core.best_class(values, True, 4, -1, 0.5)
    with pytest.raises(UsageError, match=r"two axes; got \(3,\) float32"):
        _core.best_class(values[:, 0].copy(), True, 4, -1, 0.5)
