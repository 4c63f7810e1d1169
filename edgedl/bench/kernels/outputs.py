"""From a network's output to an answer: the cases of post-processing, and of the motion gate."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np

from edgedl import _core
from edgedl.bench.kernels.case import (
    Array,
    Call,
    Case,
    Check,
    Contender,
    Trial,
    at_least,
    enough,
    same_bits,
    within,
)
from edgedl.runtime.detection import nms

NUMPY, OPENCV = "NumPy", "OpenCV"
OPENCV_NMS = "cv2.dnn.NMSBoxes"


def output_cases() -> list[Case]:
    """Return the cases of what follows the network, and of the motion gate before it."""
    return [
        Case(
            name="denormalize/512",
            what="a float32 image 3×512×512 in -1..1 → rgb8 512×512",
            checked_against="NumPy definition, bit for bit; OpenCV within a level",
            make=_denormalize,
        ),
        Case(
            name="softmax-top-k/64x1000",
            what="the 5 likeliest of 1000 classes of each of 64 pictures",
            checked_against="NumPy: the same classes, probabilities within 1e-6",
            make=_softmax_top_k,
        ),
        Case(
            name="beam-step/5x10000",
            what="a step of beam search: 5 beams, 10 000 words",
            checked_against="NumPy: the same words, log-probabilities within 1e-5",
            make=_beam_step,
            bounds=(at_least(5, NUMPY),),
        ),
        Case(
            name="best-class/80x8400",
            what="the best of 80 classes of each of 8400 anchors",
            checked_against="NumPy, bit for bit",
            make=_best_class,
        ),
        _nms_case("nms/25200", "a score above 0.25 for one in five", 0.25, 0.05),
        _nms_case("nms/25200-all", "all with a score above the threshold", 0.0, 0.0),
        Case(
            name="frame-difference/1080p",
            what="where the luma of two pictures differs, at 160×90",
            checked_against="NumPy, bit for bit; the OpenCV chain within a level",
            make=_frame_difference,
        ),
    ]


# ---- denormalize --------------------------------------------------------------------------------

_GAIN, _OFFSET = 127.5, 127.5


def _denormalize(set_mib: int) -> Trial:
    height, width = 512, 512
    image = np.random.default_rng(2).normal(0, 0.6, (1, 3, height, width)).astype(np.float32)
    out = np.empty((1, height, width, 3), np.uint8)
    planes = [np.empty((height, width), np.uint8) for _ in range(3)]

    def ours(images: Array) -> Array:
        _core.denormalize(images, out, (_GAIN,) * 3, (_OFFSET,) * 3, False)
        return out

    def opencv(images: Array) -> Array:
        for plane, made in zip(images[0], planes, strict=True):
            cv2.addWeighted(plane, _GAIN, plane, 0, _OFFSET, dst=made, dtype=cv2.CV_8U)
        cv2.merge(planes, dst=out[0])
        return out

    return Trial(
        inputs=enough(image, lambda index: np.roll(image, 7 * index), set_mib),
        ours=Contender(ours, same_bits(_denormalized)),
        others={
            NUMPY: Contender(_denormalized),
            OPENCV: Contender(opencv, within(_denormalized, 1)),
        },
        bytes=image.nbytes + out.nbytes,
    )


def _denormalized(images: Array) -> Array:
    values = images * np.float32(_GAIN) + np.float32(_OFFSET)
    return np.ascontiguousarray(np.rint(values.clip(0, 255)).astype(np.uint8).transpose(0, 2, 3, 1))


# ---- detections ----------------------------------------------------------------------------------

_BOX = 4  # the values of an anchor that stand before its classes


def _best_class(set_mib: int) -> Trial:
    output = np.random.default_rng(4).random((_BOX + 80, 8400), np.float32)

    def ours(output: Array) -> tuple[Array, ...]:
        return _core.best_class(output, False, _BOX, -1, 0.25)

    def numpy(output: Array) -> tuple[Array, ...]:
        classes = output[_BOX:].argmax(axis=0)
        return np.take_along_axis(output[_BOX:], classes[np.newaxis], axis=0)[0], classes

    return Trial(
        inputs=enough(output, lambda index: np.roll(output, 7 * index), set_mib),
        ours=Contender(ours, _all_within(numpy, 0)),
        others={NUMPY: Contender(numpy)},
        bytes=output[_BOX:].nbytes + output.shape[1] * 8,
    )


_IOU = 0.45
_Boxes = tuple[Array, Array, Array]
"""Corners, scores, and the same boxes as OpenCV wants them: x, y, width, height in float64."""


def _nms_case(name: str, scores: str, threshold: float, lowest: float) -> Case:
    return Case(
        name=name,
        what=f"25 200 boxes around 80 objects, {scores}",
        checked_against="cv2.dnn.NMSBoxes, the same boxes",
        make=partial(_nms, threshold, lowest),
        bounds=(at_least(5, OPENCV_NMS),),
    )


def _nms(threshold: float, lowest: float, set_mib: int) -> Trial:
    def opencv(given: Any) -> Array:
        _corners, scores, xywh = given
        return np.asarray(cv2.dnn.NMSBoxes(xywh, scores, threshold, _IOU), np.int32)

    def ours(given: _Boxes) -> Array:
        return nms(given[0], given[1], iou_threshold=_IOU, score_threshold=threshold)

    rng = np.random.default_rng(5)
    one = _boxes(rng, lowest)
    return Trial(
        inputs=enough(one[2], lambda _index: _boxes(rng, lowest), set_mib),
        ours=Contender(ours, same_bits(opencv)),
        others={OPENCV_NMS: Contender(opencv)},
    )


def _boxes(rng: np.random.Generator, lowest: float) -> _Boxes:
    """Return what a detector finds in a picture of 640×640: many boxes around each object."""
    count, objects = 25_200, 80
    of = rng.integers(0, objects, count)
    centre = (rng.uniform(60, 580, (objects, 2)))[of] + rng.normal(0, 6, (count, 2))
    half = (rng.uniform(10, 50, (objects, 2)))[of] * rng.uniform(0.8, 1.2, (count, 2))
    corners = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    scores = (lowest + 1e-3 + (1 - lowest) * rng.random(count) ** 5).astype(np.float32)
    exact = corners.astype(np.float64)
    return corners, scores, np.concatenate([exact[:, :2], exact[:, 2:] - exact[:, :2]], axis=1)


# ---- words and classes --------------------------------------------------------------------------

_BEAMS, _WORDS = 5, 10_000
_ROWS, _CLASSES, _TOP = 64, 1000, 5


def _softmax_top_k(set_mib: int) -> Trial:
    logits = np.random.default_rng(6).normal(0, 3, (_ROWS, _CLASSES)).astype(np.float32)
    probabilities = np.empty((_ROWS, _TOP), np.float32)
    indices = np.empty((_ROWS, _TOP), np.int64)

    def ours(logits: Array) -> tuple[Array, ...]:
        _core.softmax_top_k(logits, probabilities, indices)
        return indices, probabilities

    def numpy(logits: Array) -> tuple[Array, ...]:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        likely = powers / powers.sum(axis=1, keepdims=True)
        some = np.argpartition(-likely, _TOP, axis=1)[:, :_TOP]
        order = np.argsort(-np.take_along_axis(likely, some, axis=1), axis=1)
        best = np.take_along_axis(some, order, axis=1)
        return best, np.take_along_axis(likely, best, axis=1)

    return Trial(
        inputs=enough(logits, lambda index: np.roll(logits, 7 * index), set_mib),
        ours=Contender(ours, _all_within(numpy, 1e-6)),
        others={NUMPY: Contender(numpy)},
        bytes=logits.nbytes + probabilities.nbytes + indices.nbytes,
    )


def _beam_step(set_mib: int) -> Trial:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 3, (_BEAMS, _WORDS)).astype(np.float32)
    log_prob, score = np.log(rng.random((1, _BEAMS))), np.zeros((1, _BEAMS))
    history, row = np.zeros((_BEAMS, 1), np.int64), np.arange(_BEAMS)[np.newaxis]
    parent, token = (np.empty((1, _BEAMS), np.int64) for _ in range(2))
    new_log_prob, new_score = (np.empty((1, _BEAMS)) for _ in range(2))
    made = (parent, token, new_log_prob)

    def ours(logits: Array) -> tuple[Array, ...]:
        given = (logits, history, row, log_prob, score)
        _core.beam_step(*given, *made, new_score, end=_WORDS - 1, may_end=False)
        return made

    def numpy(logits: Array) -> tuple[Array, ...]:
        shifted = logits - logits.max(axis=1, keepdims=True)
        logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        logs[:, -1] = -np.inf
        total = (logs + log_prob.T).ravel()
        some = np.argpartition(total, -_BEAMS)[-_BEAMS:]
        best = some[np.argsort(-total[some])][np.newaxis]
        return best // _WORDS, best % _WORDS, total[best]

    return Trial(
        inputs=enough(logits, lambda index: np.roll(logits, 7 * index), set_mib),
        ours=Contender(ours, _all_within(numpy, 1e-5)),
        others={NUMPY: Contender(numpy)},
        bytes=logits.nbytes,
    )


def _all_within(definition: Call, distance: float) -> Check:
    """Return the check that arrays of the same shape are near those of ``definition``."""
    check = within(lambda given: np.stack(definition(given)).astype(np.float64), distance)
    return lambda result, given: check(np.stack(result).astype(np.float64), given)


# ---- motion -------------------------------------------------------------------------------------

_CELL, _SMALL_HW, _THRESHOLD = 12, (90, 160), 10
_SPREAD = np.ones((3, 3), np.uint8)


def _frame_difference(set_mib: int) -> Trial:
    rng = np.random.default_rng(8)
    luma = rng.integers(0, 256, (_SMALL_HW[0] * _CELL, _SMALL_HW[1] * _CELL), np.uint8)
    previous = rng.integers(90, 160, _SMALL_HW, np.uint8)
    small, blurred = np.empty(_SMALL_HW, np.uint8), np.empty(_SMALL_HW, np.uint8)

    def ours(luma: Array) -> tuple[Array, ...]:
        weights = (1 << 15, 0, 0)  # luma is all there is
        return _core.frame_difference(luma, previous, _CELL, weights, _THRESHOLD, 1)

    def changed(blurred: Array) -> Array:
        moved = cv2.absdiff(blurred, previous)
        cv2.threshold(moved, _THRESHOLD, 1, cv2.THRESH_BINARY, dst=moved)
        return np.asarray(cv2.dilate(moved, _SPREAD), np.uint8)

    def opencv(luma: Array) -> tuple[Array, ...]:
        cv2.resize(luma, _SMALL_HW[::-1], dst=small, interpolation=cv2.INTER_AREA)
        cv2.GaussianBlur(small, (3, 3), 0, dst=blurred, borderType=cv2.BORDER_REPLICATE)
        return blurred, changed(blurred)

    def definition(luma: Array) -> tuple[Array, ...]:
        rows, columns = _SMALL_HW
        total = luma.reshape(rows, _CELL, columns, _CELL).sum(axis=(1, 3), dtype=np.int64)
        means = np.pad(np.floor(total / _CELL**2 + 0.5).astype(np.int64), 1, mode="edge")
        down = means[:-2] + 2 * means[1:-1] + means[2:]
        smooth = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:] + 8) >> 4
        smooth = smooth.astype(np.uint8)
        return smooth, changed(smooth)

    return Trial(
        inputs=enough(luma, lambda index: np.roll(luma, 7 * index), set_mib),
        ours=Contender(ours, _all_within(definition, 0)),
        others={
            OPENCV: Contender(
                lambda luma: opencv(luma)[0], within(lambda luma: definition(luma)[0], 1)
            )
        },
        bytes=luma.nbytes,
    )
