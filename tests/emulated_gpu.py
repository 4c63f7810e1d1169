"""A stand-in for a GPU: the code of the CUDA kernels runs on the host, for what calls the GPU's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl import _core

if TYPE_CHECKING:
    import pytest

ORDER = 3  # of threads: scattered


class EmulatedGpu:
    """Arrays as tests/gpu has them on a GPU, with room around each that nobody may touch."""

    POISON = 0xA5
    ROOM = 256

    def __init__(self) -> None:
        self.memory = self
        self.stream = 0
        self._blocks: dict[int, np.ndarray] = {}

    def synchronize(self) -> None:
        """Nothing is ever left to do."""

    def upload(self, array: np.ndarray) -> np.ndarray:
        """The same bytes in other memory, padding between rows included."""
        base = array
        while isinstance(base.base, np.ndarray):
            base = base.base
        content = np.ascontiguousarray(base).reshape(-1).view(np.uint8)
        offset = array.ctypes.data - base.ctypes.data
        return self._placed(content, array.shape, array.dtype.name, offset, array.strides)

    def poisoned(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """A result that nothing has written yet."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return self._placed(np.full(size, self.POISON, np.uint8), shape, dtype)

    def download(self, view: np.ndarray) -> np.ndarray:
        """What has been written; the room around it must be as it was."""
        block = self._blocks[view.ctypes.data]
        assert np.all(block[: self.ROOM] == self.POISON)
        assert np.all(block[-self.ROOM :] == self.POISON)
        return view.copy()

    def _placed(
        self, content: np.ndarray, shape: Any, dtype: str, offset: int = 0, strides: Any = None
    ) -> np.ndarray:
        block = np.full(content.size + 2 * self.ROOM, self.POISON, np.uint8)
        block[self.ROOM : self.ROOM + content.size] = content
        view = np.ndarray(shape, dtype, block.data, self.ROOM + offset, strides)
        self._blocks[view.ctypes.data] = block
        return view


def emulate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every ``*_cuda`` of ``_core`` run on the host, on NumPy arrays or torch tensors."""
    for emulated in (
        preprocess_cuda,
        denormalize_cuda,
        nms_cuda,
        best_class_cuda,
        softmax_top_k_cuda,
        beam_step_cuda,
        frame_difference_cuda,
        overlay_boxes_cuda,
        overlay_mask_cuda,
        overlay_heat_cuda,
    ):
        assert hasattr(_core, emulated.__name__)
        monkeypatch.setattr(_core, emulated.__name__, emulated)
    monkeypatch.setattr(_core, "built_with_cuda", lambda: True)


def on_host(value: Any) -> Any:
    """Return an array that shares the memory of a tensor; lists and tuples of them likewise."""
    if isinstance(value, (list, tuple)):
        return type(value)(on_host(one) for one in value)
    return value if value is None or isinstance(value, np.ndarray) else value.numpy()


def preprocess_cuda(plan: Any, pixels: Any, out: Any, stream: int, regions: Any = None) -> None:
    assert isinstance(stream, int)
    _core.preprocess_emulated(plan, on_host(pixels), on_host(out), ORDER, regions)


def denormalize_cuda(
    images: Any, out: Any, scale: Any, bias: Any, reversed: bool, stream: int
) -> None:
    assert isinstance(stream, int)
    _core.denormalize(on_host(images), on_host(out), scale, bias, reversed, ORDER)


def nms_cuda(
    boxes: Any,
    scores: Any,
    groups: Any,
    kept: Any,
    count: Any,
    workspace: Any,
    iou_threshold: float,
    score_threshold: float,
    stream: int,
) -> None:
    assert isinstance(stream, int)
    kept = on_host(kept)
    assert on_host(workspace).nbytes >= _core.nms_workspace_bytes(len(scores), len(kept))
    given = on_host((boxes, scores, groups))
    found = _core.nms(*given, iou_threshold, score_threshold, len(kept), ORDER)
    kept[: len(found)] = found
    on_host(count)[0] = len(found)


def best_class_cuda(
    predictions: Any,
    scores: Any,
    classes: Any,
    anchors_are_rows: bool,
    first_class: int,
    objectness: int,
    threshold: float,
    stream: int,
) -> None:
    assert isinstance(stream, int)
    job = anchors_are_rows, first_class, objectness, threshold
    found = _core.best_class(on_host(predictions), *job, ORDER)
    on_host(scores)[:], on_host(classes)[:] = found


def softmax_top_k_cuda(
    logits: Any, probabilities: Any, indices: Any, workspace: Any, stream: int
) -> None:
    assert isinstance(stream, int)
    needed = _core.softmax_top_k_workspace_bytes(*logits.shape, indices.shape[1])
    assert on_host(workspace).nbytes >= needed
    _core.softmax_top_k(on_host(logits), on_host(probabilities), on_host(indices), ORDER)


def beam_step_cuda(*arrays: Any, stream: int, **options: Any) -> None:
    assert isinstance(stream, int)
    *before_and_after, workspace = on_host(arrays)
    rows, beams = len(before_and_after[0]), before_and_after[2].shape[1]
    assert workspace.nbytes >= _core.beam_step_workspace_bytes(rows, beams)
    _core.beam_step(*before_and_after, **options, emulated_order=ORDER)


def frame_difference_cuda(
    pixels: Any,
    previous: Any,
    blurred: Any,
    changed: Any,
    workspace: Any,
    box: int,
    weights: tuple[int, int, int],
    threshold: int,
    dilate: int,
    stream: int,
) -> None:
    assert isinstance(stream, int)
    blurred, changed = on_host((blurred, changed))
    assert on_host(workspace).nbytes >= 2 * blurred.size
    given = on_host((pixels, previous))
    found = _core.frame_difference(*given, box, weights, threshold, dilate, ORDER)
    blurred[:], changed[:] = found


def overlay_boxes_cuda(
    picture: Any, boxes: Any, colors: Any, thickness: int, alpha: int, stream: int
) -> None:
    assert isinstance(stream, int)
    _core.overlay_boxes(*on_host((picture, boxes, colors)), thickness, alpha, ORDER)


def overlay_mask_cuda(
    picture: Any, mask: Any, at_xy: tuple[int, int], color: Any, alpha: int, stream: int
) -> None:
    assert isinstance(stream, int)
    _core.overlay_mask(*on_host((picture, mask)), at_xy, color, alpha, ORDER)


def overlay_heat_cuda(
    picture: Any, heat: Any, xywh: Any, colors: Any, alpha: int, stream: int
) -> None:
    assert isinstance(stream, int)
    _core.overlay_heat(*on_host((picture, heat)), xywh, on_host(colors), alpha, ORDER)
