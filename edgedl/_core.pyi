"""Compiled kernels of edgedl."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edgedl.runtime.preprocess import Picture
from edgedl.spec import ImageSpec

class PreprocessPlan:
    def __init__(
        self,
        spec: ImageSpec,
        source_format: str,
        matrix: str,
        range: str,
        rotate: int = 0,
        flip: str = "none",
    ) -> None: ...

Regions = Sequence[tuple[int, int, int, int]]
"""(x, y, width, height), one for each picture."""

def preprocess_cpu(
    plan: PreprocessPlan,
    pixels: Picture | list[Picture],
    out: object,
    regions: Regions | None = None,
    threads: int = 1,
) -> None:
    """Make one image of ``out`` for each picture; a list is a batch."""

def preprocess_touch(plan: PreprocessPlan, pixels: Picture, out: object) -> None:
    """For benchmarks: read each row that is needed once, and write zeros to all of ``out``."""

def preprocess_emulated(
    plan: PreprocessPlan,
    pixels: Picture | list[Picture],
    out: object,
    order: int,
    regions: Regions | None = None,
) -> None:
    """Run the code of the CUDA kernels on the host: slow, for tests. A list is a batch."""

def preprocess_cuda(
    plan: PreprocessPlan,
    pixels: object,
    out: object,
    stream: int,
    regions: Regions | None = None,
) -> None:
    """Queue the kernels for arrays on a GPU; a list is a batch. Not yet run on a GPU."""

def built_with_cuda() -> bool: ...
def cpu_targets() -> list[str]:
    """Return the targets this CPU can run, best first; see ``csrc/simd/targets.h``."""

def cpu_target() -> str: ...
def set_cpu_target(name: str) -> None: ...
def denormalize(
    images: object,
    out: object,
    scale: Sequence[float],
    bias: Sequence[float],
    reversed: bool,
    emulated_order: int = -1,
) -> None:
    """Run the kernel; ``emulated_order`` 0..3 runs the CUDA kernel's code on the host instead."""

def nms(
    boxes: object,
    scores: object,
    groups: object,
    iou_threshold: float,
    score_threshold: float,
    max_candidates: int,
    emulated_order: int = -1,
) -> npt.NDArray[np.int32]:
    """Return the indices of the boxes kept; see ``csrc/kernels/nms.h``."""

def best_class(
    predictions: object,
    anchors_are_rows: bool,
    first_class: int,
    objectness: int,
    threshold: float,
    emulated_order: int = -1,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return score and class of each anchor; see ``csrc/kernels/best_class.h``."""

def softmax_top_k(
    logits: object, probabilities: object, indices: object, emulated_order: int = -1
) -> None:
    """Run the kernel, see ``csrc/kernels/softmax_top_k.h``; ``emulated_order`` as above."""

def beam_step(
    logits: object,
    history: object,
    row: object,
    log_prob: object,
    score: object,
    parent: object,
    token: object,
    new_log_prob: object,
    new_score: object,
    *,
    end: int,
    no_repeat: int = 0,
    may_end: bool = True,
    penalty: float = 1.0,
    emulated_order: int = -1,
) -> None:
    """Run the kernel, see ``csrc/kernels/beam_step.h``; ``emulated_order`` as above."""

def beam_step_cuda(
    logits: object,
    history: object,
    row: object,
    log_prob: object,
    score: object,
    parent: object,
    token: object,
    new_log_prob: object,
    new_score: object,
    workspace: object,
    *,
    end: int,
    no_repeat: int,
    may_end: bool,
    penalty: float,
    stream: int,
) -> None:
    """Queue the kernels for arrays on a GPU. Not yet run on a GPU."""

def beam_step_workspace_bytes(rows: int, beams: int) -> int: ...
def denormalize_cuda(
    images: object,
    out: object,
    scale: Sequence[float],
    bias: Sequence[float],
    reversed: bool,
    stream: int,
) -> None:
    """Queue the kernel for arrays on a GPU. Not yet run on a GPU."""

def nms_cuda(
    boxes: object,
    scores: object,
    groups: object,
    kept: object,
    count: object,
    workspace: object,
    iou_threshold: float,
    score_threshold: float,
    stream: int,
) -> None:
    """Queue the kernels for arrays on a GPU. Not yet run on a GPU."""

def nms_workspace_bytes(boxes: int, max_candidates: int) -> int: ...
def best_class_cuda(
    predictions: object,
    scores: object,
    classes: object,
    anchors_are_rows: bool,
    first_class: int,
    objectness: int,
    threshold: float,
    stream: int,
) -> None:
    """Queue the kernel for arrays on a GPU. Not yet run on a GPU."""

def softmax_top_k_cuda(
    logits: object, probabilities: object, indices: object, workspace: object, stream: int
) -> None:
    """Queue the kernels for arrays on a GPU. Not yet run on a GPU."""

def softmax_top_k_workspace_bytes(rows: int, width: int, count: int) -> int: ...
def frame_difference(
    pixels: object,
    previous: object,
    box: int,
    weights: tuple[int, int, int],
    threshold: int,
    dilate: int,
    emulated_order: int = -1,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return blurred and changed; see ``csrc/kernels/frame_difference.h``."""

def frame_difference_cuda(
    pixels: object,
    previous: object,
    blurred: object,
    changed: object,
    workspace: object,
    box: int,
    weights: tuple[int, int, int],
    threshold: int,
    dilate: int,
    stream: int,
) -> None:
    """Queue the kernels for arrays on a GPU. Not yet run on a GPU."""

class LstmStep:
    """The weights of a decoder's step, checked; see ``csrc/kernels/lstm_step.h``."""

    def __init__(
        self,
        positions: int,
        seen: int,
        words: object,
        score: object,
        query: tuple[object, object, float | None],
        gates: tuple[object, object, float | None],
        logits: tuple[object, object, float | None],
    ) -> None: ...
    def run(
        self,
        token: object,
        h: object,
        c: object,
        features: object,
        logits: object,
        h_out: object,
        c_out: object,
    ) -> None:
        """Take one step of (N,) rows; the last three are written."""

    def greedy(
        self,
        h: object,
        c: object,
        features: object,
        token: object,
        probability: object,
        begin: int,
        end: int,
    ) -> int:
        """Say words into (T, N) ``token`` and ``probability``; see ``csrc/kernels/lstm_greedy.h``.

        Returns how many steps were taken.
        """

def overlay_boxes(
    picture: object,
    boxes: object,
    colors: object,
    thickness: int,
    alpha: int,
    emulated_order: int = -1,
) -> None: ...
def overlay_mask(
    picture: object,
    mask: object,
    at_xy: tuple[int, int],
    color: tuple[int, int, int],
    alpha: int,
    emulated_order: int = -1,
) -> None: ...
def overlay_heat(
    picture: object,
    heat: object,
    xywh: tuple[int, int, int, int],
    colors: object,
    alpha: int,
    emulated_order: int = -1,
) -> None: ...
def overlay_boxes_cuda(
    picture: object, boxes: object, colors: object, thickness: int, alpha: int, stream: int
) -> None:
    """Queue the kernel for arrays on a GPU, as the next two. Not yet run on a GPU."""

def overlay_mask_cuda(
    picture: object,
    mask: object,
    at_xy: tuple[int, int],
    color: tuple[int, int, int],
    alpha: int,
    stream: int,
) -> None: ...
def overlay_heat_cuda(
    picture: object,
    heat: object,
    xywh: tuple[int, int, int, int],
    colors: object,
    alpha: int,
    stream: int,
) -> None: ...
