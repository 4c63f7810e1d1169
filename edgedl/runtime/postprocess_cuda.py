"""What follows a network, for arrays that lie on a GPU: the same results as on the CPU.

Arrays are whatever has DLPack or ``__cuda_array_interface__``; results and workspaces are the
caller's, so that nothing is allocated per call. All must live until the stream has done the work.
Compiled by nvcc; its code is tested on the host. Not yet run on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from edgedl import _core
from edgedl.errors import UsageError
from edgedl.runtime.device_array import stream_number
from edgedl.runtime.postprocess import scale_and_bias


def denormalize_cuda(
    images: Any,
    out: Any,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    pixel_format: Literal["rgb8", "bgr8"] = "rgb8",
    stream: Any = 0,
) -> None:
    """Begin to undo the normalisation of ``images``; see ``postprocess.denormalize``.

    Args:
        images: float32, contiguous, (N, 3, H, W) or (N, 1, H, W).
        out: uint8, contiguous, (N, H, W, C); must not overlap ``images``.
        mean: One value per channel, in units of x/255.
        std: One value per channel.
        pixel_format: Order of the channels of the result.
        stream: In whose order the work is done; 0 is the default stream.

    Raises:
        UsageError: E110 an array has another type or shape, or lies elsewhere, or mean or std has
            a value that no picture was normalised with.
    """
    if pixel_format not in ("rgb8", "bgr8"):
        msg = f"[denormalize_cuda] pixel_format must be rgb8 or bgr8; got {pixel_format!r}"
        raise UsageError("E110", msg)
    scale, bias = scale_and_bias("denormalize_cuda", len(mean), mean, std)
    is_reversed = pixel_format == "bgr8"
    _core.denormalize_cuda(images, out, scale, bias, is_reversed, stream_number(stream))


def softmax_top_k_workspace_bytes(rows: int, width: int, count: int) -> int:
    """Return how many bytes of workspace ``softmax_top_k_cuda`` needs for such sizes."""
    return _core.softmax_top_k_workspace_bytes(rows, width, count)


def softmax_top_k_cuda(
    logits: Any, probabilities: Any, indices: Any, workspace: Any, stream: Any = 0
) -> None:
    """Begin to find the likeliest entries of each row of ``logits``.

    Args:
        logits: float32, contiguous, (N, C).
        probabilities: float32, contiguous, (N, K): becomes the softmax, largest first.
        indices: int64, contiguous, (N, K): becomes where they are; -1 in rows that have no maximum.
        workspace: uint8, of ``softmax_top_k_workspace_bytes(N, C, K)`` or more.
        stream: In whose order the work is done; 0 is the default stream.

    Raises:
        UsageError: E110 an array has another type or shape, or lies elsewhere.
    """
    number = stream_number(stream)
    _core.softmax_top_k_cuda(logits, probabilities, indices, workspace, number)


def beam_step_workspace_bytes(rows: int, beams: int) -> int:
    """Return how many bytes of workspace ``CudaBeamStep`` needs for R rows and B beams."""
    return _core.beam_step_workspace_bytes(rows, beams)


class CudaBeamStep:
    """One step of beam searches on a GPU; see ``csrc/kernels/beam_step.h``.

    Args:
        end: The token that completes a hypothesis.
        no_repeat: So many tokens in a row must not come twice; 0 allows all.
        may_end: Whether ``end`` may be taken.
        penalty: A score is the log-probability over this; above 0.
        stream: In whose order the work is done; 0 is the default stream.
    """

    def __init__(
        self,
        end: int,
        *,
        no_repeat: int = 0,
        may_end: bool = True,
        penalty: float = 1.0,
        stream: Any = 0,
    ) -> None:
        self.end = end
        self.no_repeat = no_repeat
        self.may_end = may_end
        self.penalty = penalty
        self.stream = stream_number(stream)

    def into(
        self,
        before: tuple[Any, Any, Any, Any, Any],
        after: tuple[Any, Any, Any, Any],
        workspace: Any,
    ) -> None:
        """Begin to choose how G searches of B hypotheses each go on.

        Args:
            before: All contiguous: float32 logits (R, V) and int64 tokens (R, T) of the hypotheses
                that are still written; int64 rows of these (G, B), -1 for what is complete;
                float64 log-probabilities (G, B), -inf where there is none; float64 scores (G, B).
            after: All contiguous, (G, B), best first: int64 places that go on, int64 tokens they
                go on with, float64 log-probabilities and scores. A search with a row that is not
                there, or with logits that are NaN or infinite, becomes -1 and NaN.
            workspace: uint8, of ``beam_step_workspace_bytes(R, B)`` or more, aligned to 8.

        Raises:
            UsageError: E110 an array has another type or shape, or lies elsewhere, or a number is
                out of its range.
        """
        _core.beam_step_cuda(
            *before,
            *after,
            workspace,
            end=self.end,
            no_repeat=self.no_repeat,
            may_end=self.may_end,
            penalty=self.penalty,
            stream=self.stream,
        )


class CudaBestClass:
    """The best class of each anchor of a detector, on a GPU; see ``csrc/kernels/best_class.h``.

    Args:
        first_class: Which of an anchor's values is its first class; the classes are the last ones.
        anchors_are_rows: Whether predictions are (anchors, values), not (values, anchors).
        objectness: Which value says that there is an object at all; -1 for none.
        threshold: Of the objectness; without one it changes nothing.
        stream: In whose order the work is done; 0 is the default stream.
    """

    def __init__(
        self,
        first_class: int,
        *,
        anchors_are_rows: bool,
        objectness: int = -1,
        threshold: float = 0.0,
        stream: Any = 0,
    ) -> None:
        self.first_class = first_class
        self.anchors_are_rows = anchors_are_rows
        self.objectness = objectness
        self.threshold = threshold
        self.stream = stream_number(stream)

    def into(self, predictions: Any, scores: Any, classes: Any) -> None:
        """Begin to find the classes.

        Args:
            predictions: float32, contiguous, (values, anchors), or (anchors, values).
            scores: float32, contiguous, (anchors,): becomes the score of the best class, times the
                objectness where there is one; -inf where that is not above the threshold, or all
                classes are NaN.
            classes: int32, contiguous, (anchors,): becomes the class, counted from 0.

        Raises:
            UsageError: E110 an array has another type or shape, or lies elsewhere, or an anchor has
                no class.
        """
        _core.best_class_cuda(
            predictions,
            scores,
            classes,
            self.anchors_are_rows,
            self.first_class,
            self.objectness,
            self.threshold,
            self.stream,
        )


def nms_workspace_bytes(boxes: int, max_candidates: int) -> int:
    """Return how many bytes of workspace ``nms_cuda`` needs for so many boxes."""
    return _core.nms_workspace_bytes(boxes, max_candidates)


class CudaNms:
    """Greedy non-maximum suppression on a GPU; see ``detection.nms``.

    Args:
        iou_threshold: Boxes that overlap a better one by more are dropped; in [0, 1].
        score_threshold: Boxes with a score not above it are dropped.
        stream: In whose order the work is done; 0 is the default stream.
    """

    def __init__(self, iou_threshold: float, score_threshold: float, stream: Any = 0) -> None:
        self.iou_threshold = iou_threshold
        self.score_threshold = score_threshold
        self.stream = stream_number(stream)

    def into(
        self, boxes: tuple[Any, Any, Any | None], kept: Any, count: Any, workspace: Any
    ) -> None:
        """Begin to choose boxes.

        Args:
            boxes: float32 corners x1, y1, x2, y2 (K, 4), float32 scores (K,), and int32 groups
                (K,) or None; boxes of different groups never suppress one another.
            kept: int32, (M,), M in 1..8192: becomes the indices of the boxes kept, best first, of
                the best M candidates.
            count: int32, (1,): becomes how many are kept; the rest of ``kept`` is undefined.
            workspace: uint8, of ``nms_workspace_bytes(K, M)`` or more.

        Raises:
            UsageError: E110 an array has another type or shape, or lies elsewhere.
        """
        corners, scores, groups = boxes
        _core.nms_cuda(
            corners,
            scores,
            groups,
            kept,
            count,
            workspace,
            self.iou_threshold,
            self.score_threshold,
            self.stream,
        )
