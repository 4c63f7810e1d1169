"""From a detector's raw output to boxes in the pixels of the picture it was shown.

Arrays are NumPy's or whatever else lends memory of the host through DLPack; results are NumPy's.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgedl import _core
from edgedl.errors import UsageError
from edgedl.runtime.host_array import as_numpy
from edgedl.runtime.preprocess_reference import placement

if TYPE_CHECKING:
    from edgedl.runtime.host_array import HostArray
    from edgedl.spec import ImageSpec

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
YoloStyle = Literal["v5", "v8"]

_V8 = (4, -1)
_V5 = (5, 4)
"""Of a YOLO anchor: index of its first class, index of its objectness."""
_MOST = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOptions:
    """Which of a detector's boxes are told.

    Attributes:
        score_threshold: A box needs a score above this, in [0, 1].
        iou_threshold: Of two boxes that overlap by more than this share of their union, the one
            with the lower score is dropped; in [0, 1].
        class_aware: Only boxes of the same class drop one another.
        max_candidates: So many of the best boxes are compared, 0 for all.
        max_boxes: So many of the best boxes are told, 0 for all.

    Raises:
        UsageError: E110 for a value out of range.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.45
    class_aware: bool = True
    max_candidates: int = 0
    max_boxes: int = 300

    def __post_init__(self) -> None:
        for name in ("max_candidates", "max_boxes"):
            value = getattr(self, name)
            is_count = isinstance(value, int) and 0 <= value <= _MOST
            text = f"{name} must be a whole number in 0..{_MOST}; got {value!r}"
            _require(is_count, "DetectionOptions", text)
        for name in ("score_threshold", "iou_threshold"):
            value = getattr(self, name)
            _require(0 <= value <= 1, "DetectionOptions", f"{name} must be in [0, 1]; got {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SsdPriors:
    """The boxes that an SSD network moves and stretches.

    Attributes:
        boxes_cxcywh: (A, 4): centre x, centre y, width, height as shares of the network's input,
            0..1.
        variances: Of the centre and of the size.
        has_background: Class 0 is "nothing" and is left out; the next one becomes class 0.

    Raises:
        UsageError: E110 the boxes are no such array of floats, or there are not two variances.
    """

    boxes_cxcywh: HostArray
    variances: tuple[float, float] = (0.1, 0.2)
    has_background: bool = True

    def __post_init__(self) -> None:
        _float_array(self.boxes_cxcywh, "SsdPriors", "boxes_cxcywh", 2)
        count = len(self.variances)
        _require(count == 2, "SsdPriors", f"there must be two variances; got {count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What a detector found in one picture, best first.

    Attributes:
        boxes_xyxy: float32, (K, 4): left, top, right, bottom in pixels of the source picture, where
            0 is its left or top edge and its width or height the other; inside the picture.
        scores: float32, (K,), falling.
        classes: int32, (K,), from 0.
    """

    boxes_xyxy: Floats
    scores: Floats
    classes: Ints

    def __len__(self) -> int:
        return len(self.scores)


def nms(
    boxes_xyxy: HostArray,
    scores: HostArray,
    groups: HostArray | None = None,
    *,
    iou_threshold: float = 0.45,
    score_threshold: float = 0.0,
    max_candidates: int = 0,
) -> Ints:
    """Keep the best of boxes that overlap: the same ones as ``cv2.dnn.NMSBoxes``.

    From the best box down, one is kept unless it overlaps one already kept by more than
    ``iou_threshold``. Two boxes without an area count as equal.

    Args:
        boxes_xyxy: float32, (K, 4): x1, y1, x2, y2 in any unit; one that is not finite is dropped.
        scores: float32, (K,); NaN is dropped.
        groups: int32, (K,): boxes of different groups never drop one another: classes, or
            ``picture * num_classes + class`` for a batch. None for one group.
        iou_threshold: Intersection over union, in [0, 1].
        score_threshold: Boxes need a score above this.
        max_candidates: So many of the best boxes are looked at, 0 for all.

    Returns:
        int32, indices of the boxes kept, by falling score; of equal scores the lower index first.

    Raises:
        UsageError: E110 an array has another type or shape, a threshold is out of range.
    """
    return _core.nms(boxes_xyxy, scores, groups, iou_threshold, score_threshold, max_candidates)


def decode_yolo(
    output: HostArray,
    spec: ImageSpec,
    sources_hw: Sequence[tuple[int, int]],
    style: YoloStyle = "v8",
    options: DetectionOptions | None = None,
) -> tuple[Detections, ...]:
    """Read the output of a YOLO network, boxes already decoded to pixels of its input.

    Args:
        output: ``v8``: (N, 4 + C, A), no objectness (YOLOv8, 9, 11). ``v5``: (N, A, 5 + C), the
            fifth value is the objectness (YOLOv5, 7, X). Boxes are centre x, centre y, width,
            height in pixels of the network's input; scores are probabilities.
        spec: How the pictures became the input; it is undone.
        sources_hw: Height and width in pixels of each of the N pictures.
        style: Which of the two.
        options: Thresholds and limits.

    Returns:
        One record for each picture.

    Raises:
        UsageError: E110 the output has another shape or no floats, or the number of pictures
            differs.
    """
    options = options or DetectionOptions()
    known = style in ("v5", "v8")
    _require(known, "decode_yolo", f"style must be v5 or v8; got {style!r}")
    first_class, objectness = _V8 if style == "v8" else _V5
    outputs = _float_array(output, "decode_yolo", "an output", 3)
    _check_pictures(outputs, sources_hw, "decode_yolo")
    found = []
    for raw, source_hw in zip(_floats(outputs), sources_hw, strict=True):
        scores, classes = _core.best_class(
            raw, style == "v5", first_class, objectness, options.score_threshold
        )
        chosen = np.flatnonzero(scores > options.score_threshold)
        boxes = raw[chosen, :4] if style == "v5" else raw[:4, chosen].T
        found.append(
            _detections(_corners(boxes), scores[chosen], classes[chosen], spec, source_hw, options)
        )
    return tuple(found)


def decode_ssd(
    locations: HostArray,
    confidences: HostArray,
    priors: SsdPriors,
    spec: ImageSpec,
    sources_hw: Sequence[tuple[int, int]],
    options: DetectionOptions | None = None,
) -> tuple[Detections, ...]:
    """Read the output of an SSD network (Liu et al. 2016, arXiv:1512.02325, section 2.2).

    A prior (x, y, w, h) and a location (a, b, c, d) with the variances (u, v) are the box with its
    centre at (x + a u w, y + b u h), w exp(c v) wide and h exp(d v) high.

    Args:
        locations: (N, A, 4).
        confidences: (N, A, C), probabilities.
        priors: What the network was trained with.
        spec: How the pictures became the input; it is undone.
        sources_hw: Height and width in pixels of each of the N pictures.
        options: Thresholds and limits.

    Returns:
        One record for each picture.

    Raises:
        UsageError: E110 the arrays do not fit one another, or the number of pictures differs.
    """
    options = options or DetectionOptions()
    moves = _float_array(locations, "decode_ssd", "locations", 3)
    likely = _float_array(confidences, "decode_ssd", "confidences", 3)
    boxes_cxcywh = _float_array(priors.boxes_cxcywh, "decode_ssd", "priors", 2)
    for array in (moves, likely):
        _check_pictures(array, sources_hw, "decode_ssd")
    _require(
        moves.shape[1:] == boxes_cxcywh.shape == (likely.shape[1], 4),
        "decode_ssd",
        "locations (N, A, 4), confidences (N, A, C) and priors (A, 4) must agree in A; "
        f"got {moves.shape}, {likely.shape} and {boxes_cxcywh.shape}",
    )
    scale = np.array([spec.size_hw[1], spec.size_hw[0]], np.float32)
    found = []
    for offsets, raw, source_hw in zip(moves, _floats(likely), sources_hw, strict=True):
        scores, classes = _core.best_class(
            raw, True, int(priors.has_background), -1, options.score_threshold
        )
        chosen = np.flatnonzero(scores > options.score_threshold)
        prior, offset = _floats(boxes_cxcywh[chosen]), _floats(offsets[chosen])
        with np.errstate(over="ignore", invalid="ignore"):  # a box that is not finite is dropped
            size = prior[:, 2:] * np.exp(offset[:, 2:] * np.float32(priors.variances[1]))
            centre = prior[:, :2] + offset[:, :2] * np.float32(priors.variances[0]) * prior[:, 2:]
            boxes = np.concatenate([centre * scale, size * scale], axis=1)
        found.append(
            _detections(_corners(boxes), scores[chosen], classes[chosen], spec, source_hw, options)
        )
    return tuple(found)


def boxes_to_source(boxes_xyxy: HostArray, spec: ImageSpec, source_hw: tuple[int, int]) -> Floats:
    """Map boxes from pixels of a network's input to pixels of the picture it was made from.

    Args:
        boxes_xyxy: float32, (K, 4).
        spec: How the picture became the input: stretch, letterbox or crop is undone.
        source_hw: Height and width of the picture.

    Returns:
        float32, (K, 4), cut to the picture.

    Raises:
        UsageError: E110 the boxes are no such array, or the picture has no size.
    """
    given = _float_array(boxes_xyxy, "boxes_to_source", "boxes_xyxy", 2)
    shape = given.shape
    _require(shape[1] == 4, "boxes_to_source", f"boxes_xyxy must be (K, 4); got {shape}")
    _check_size(source_hw, "boxes_to_source")
    height, width = source_hw
    at = placement(spec, height, width)
    x, across = _line(at.columns, at.source_columns)
    y, down = _line(at.rows, at.source_rows)
    boxes = given.astype(np.float64) * [across, down, across, down] + [x, y, x, y]
    return boxes.clip(0, [width, height, width, height]).astype(np.float32)


def _line(target: slice, source: slice) -> tuple[float, float]:
    """Return offset and scale from positions in the tensor to positions in the picture."""
    scale = (source.stop - source.start) / (target.stop - target.start)
    return source.start - target.start * scale, scale


def _corners(boxes_cxcywh: npt.NDArray[np.float32]) -> Floats:
    centre, half = boxes_cxcywh[:, :2], boxes_cxcywh[:, 2:] * np.float32(0.5)
    with np.errstate(invalid="ignore"):
        return np.concatenate([centre - half, centre + half], axis=1)


def _detections(
    boxes: Floats,
    scores: Floats,
    classes: Ints,
    spec: ImageSpec,
    source_hw: tuple[int, int],
    options: DetectionOptions,
) -> Detections:
    kept = nms(
        boxes,
        scores,
        classes if options.class_aware else None,
        iou_threshold=options.iou_threshold,
        score_threshold=options.score_threshold,
        max_candidates=options.max_candidates,
    )
    if options.max_boxes:
        kept = kept[: options.max_boxes]
    return Detections(
        boxes_xyxy=boxes_to_source(boxes[kept], spec, source_hw),
        scores=scores[kept],
        classes=classes[kept],
    )


def _floats(output: npt.NDArray[Any]) -> Floats:
    with np.errstate(over="ignore"):  # a box that is not finite is dropped
        return np.ascontiguousarray(output, np.float32)


def _float_array(value: object, operation: str, name: str, axes: int) -> npt.NDArray[Any]:
    rule = f"{name} must be an array of floats with {axes} axes"
    array = as_numpy(value, f"[{operation}] {rule}")
    is_fit = array.dtype.kind == "f" and array.ndim == axes
    _require(is_fit, operation, f"{rule}; got {array.shape} {array.dtype}")
    return array


def _check_pictures(
    output: npt.NDArray[Any], sources_hw: Sequence[tuple[int, int]], operation: str
) -> None:
    _require(
        len(output) == len(sources_hw),
        operation,
        "there must be a size in sources_hw for each picture of an output; "
        f"got {output.shape} and {len(sources_hw)} sizes",
    )
    for source_hw in sources_hw:
        _check_size(source_hw, operation)


def _check_size(source_hw: tuple[int, int], operation: str) -> None:
    try:
        height, width = map(operator.index, source_hw)
    except (TypeError, ValueError):
        height = width = 0
    text = f"a picture's size must be two whole numbers >= 1, height and width; got {source_hw!r}"
    _require(height >= 1 and width >= 1, operation, text)


def _require(ok: bool, operation: str, text: str) -> None:
    if not ok:
        msg = f"[{operation}] {text}"
        raise UsageError("E110", msg)
