"""From a network's output to an answer, and the motion gate: the cases of post-processing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from edgedl import _core
from edgedl.runtime.detection import nms
from edgedl.runtime.postprocess import denormalize
from edgedl.runtime.postprocess_cuda import (
    CudaBeamStep,
    CudaBestClass,
    CudaNms,
    beam_step_workspace_bytes,
    denormalize_cuda,
    nms_workspace_bytes,
    softmax_top_k_cuda,
    softmax_top_k_workspace_bytes,
)
from edgedl.stream.motion_cuda import CudaFrameDifference
from gpu_cases.case import HD_HW, Case, Device, Trial, waves


def output_cases(largest_batch: int) -> list[Case]:
    """Return the cases of what follows the network, and of the motion gate before it."""
    return [
        Case("denormalize 512x512", partial(_denormalize, min(16, largest_batch))),
        Case("best_class 80x8400", _best_class),
        Case("nms 25200", _nms),
        Case("softmax_top_k 64x1000", partial(_softmax_top_k, 64, 1000)),
        Case("softmax_top_k 1024x10000", partial(_softmax_top_k, 1024, 10_000)),
        Case("beam_step 5x10000", partial(_beam_step, 1)),
        Case("beam_step 32 x 5x10000", partial(_beam_step, 32)),
        Case("frame_difference 1080p", _frame_difference),
    ]


def _denormalize(images: int, device: Device) -> Trial:
    rng = np.random.default_rng(2)
    host = rng.normal(0, 0.6, (images, 3, 512, 512)).astype(np.float32)
    given = device.upload(host)
    out = device.zeros((images, 512, 512, 3), "uint8")
    half = (0.5,) * 3

    def torch_way() -> Sequence[Any]:
        levels = ((given * 0.5 + 0.5) * 255).clamp(0, 255).round()
        return [levels.to(device.torch.uint8).permute(0, 2, 3, 1).contiguous()]

    return Trial(
        ours=lambda: denormalize_cuda(given, out, half, half, "rgb8", device.stream),
        results=[out],
        expected=[denormalize(host, half, half, "rgb8")],
        bytes=host.nbytes + out.numel(),
        torch=torch_way,
        distance=1,
    )


def _best_class(device: Device) -> Trial:
    host = np.random.default_rng(4).random((84, 8400), np.float32)
    predictions = device.upload(host)
    scores, classes = device.zeros((8400,), "float32"), device.zeros((8400,), "int32")
    find = CudaBestClass(4, anchors_are_rows=False, stream=device.stream)
    return Trial(
        ours=lambda: find.into(predictions, scores, classes),
        results=[scores, classes],
        expected=_core.best_class(host, False, 4, -1, 0.0),
        bytes=host[4:].nbytes + 8400 * 8,
        torch=lambda: predictions[4:].max(0),
    )


def _nms(device: Device) -> Trial:
    rng = np.random.default_rng(5)
    count, objects, most = 25_200, 80, 1000
    of = rng.integers(0, objects, count)
    centre = rng.uniform(60, 580, (objects, 2))[of] + rng.normal(0, 6, (count, 2))
    half = rng.uniform(10, 50, (objects, 2))[of] * rng.uniform(0.8, 1.2, (count, 2))
    host = np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)
    likely = rng.permutation(count).astype(np.float32) / count  # none twice
    boxes, scores = device.upload(host), device.upload(likely)
    kept, number = device.zeros((most,), "int32"), device.zeros((1,), "int32")
    space = device.zeros((nms_workspace_bytes(count, most),), "uint8")
    choose = CudaNms(0.45, 0.25, device.stream)
    wanted = nms(host, likely, iou_threshold=0.45, score_threshold=0.25, max_candidates=most)

    torch_nms = _torchvision_nms()

    def torch_way() -> Sequence[Any]:
        assert torch_nms is not None
        candidates = (scores > 0.25).nonzero()[:, 0]
        best = candidates[scores[candidates].topk(min(most, len(candidates))).indices]
        return [best[torch_nms(boxes[best], scores[best], 0.45)]]

    return Trial(
        ours=lambda: choose.into((boxes, scores, None), kept, number, space),
        results=[kept[: len(wanted)], number],
        expected=[wanted, np.array([len(wanted)], np.int32)],
        bytes=host.nbytes + likely.nbytes + wanted.nbytes,
        torch=None if torch_nms is None else torch_way,
    )


def _torchvision_nms() -> Callable[..., Any] | None:
    try:
        ops = importlib.import_module("torchvision.ops")
    except (ImportError, RuntimeError):  # the second: it was made for another torch
        return None
    return ops.nms  # type: ignore[no-any-return]


def _softmax_top_k(rows: int, width: int, device: Device) -> Trial:
    count = 5
    host = np.random.default_rng(6).normal(0, 3, (rows, width)).astype(np.float32)
    logits = device.upload(host)
    found = device.zeros((rows, count), "float32"), device.zeros((rows, count), "int64")
    space = device.zeros((softmax_top_k_workspace_bytes(rows, width, count),), "uint8")
    expected = np.zeros((rows, count), np.float32), np.zeros((rows, count), np.int64)
    _core.softmax_top_k(host, *expected)
    return Trial(
        ours=lambda: softmax_top_k_cuda(logits, *found, space, device.stream),
        results=found,
        expected=expected,
        bytes=host.nbytes + rows * count * 12,
        torch=lambda: logits.softmax(1).topk(count)[:1],
        distance=1e-5,
    )


def _beam_step(searches: int, device: Device) -> Trial:
    beams, words = 5, 10_000
    rows, shape = searches * beams, (searches, beams)
    rng = np.random.default_rng(7)
    hosts = (
        rng.normal(0, 3, (rows, words)).astype(np.float32),
        np.zeros((rows, 1), np.int64),
        np.arange(rows).reshape(shape),
        np.log(rng.uniform(0.1, 1, shape)),
        np.zeros(shape),
    )
    dtypes = ("int64", "int64", "float64", "float64")
    expected = tuple(np.zeros(shape, dtype) for dtype in dtypes)
    options: Any = {"end": words - 1, "may_end": False}
    _core.beam_step(*hosts, *expected, **options)
    logits, history, row, log_prob, score = (device.upload(host) for host in hosts)
    found = tuple(device.zeros(shape, dtype) for dtype in dtypes)
    space = device.zeros((beam_step_workspace_bytes(rows, beams),), "uint8")
    step = CudaBeamStep(**options, stream=device.stream)

    def torch_way() -> Sequence[Any]:
        logs = logits.log_softmax(1).view(searches, beams, words)
        logs[..., -1] = -float("inf")
        total, best = (logs + log_prob[..., None]).view(searches, -1).topk(beams)
        return [best // words, best % words, total]

    return Trial(
        ours=lambda: step.into((logits, history, row, log_prob, score), found, space),
        results=found,
        expected=expected,
        bytes=hosts[0].nbytes + sum(a.nbytes for a in (*hosts[1:], *expected)),
        torch=torch_way,
        distance=1e-4,
    )


def _frame_difference(device: Device) -> Trial:
    box, weights, threshold = 12, (3735, 19235, 9798), 10
    small = HD_HW[0] // box, HD_HW[1] // box
    host = waves(*HD_HW, 3, 1)
    previous = waves(*small, 1, 2)[..., 0]
    pixels, earlier = device.upload(host), device.upload(previous)
    blurred, changed = (device.zeros(small, "uint8") for _ in range(2))
    space = device.zeros((2 * small[0] * small[1],), "uint8")
    compare = CudaFrameDifference(box, weights, threshold=threshold, stream=device.stream)
    shares = device.upload(np.array(weights, np.float32) / (1 << 15))
    kernel = device.upload(np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)[None, None] / 16)

    def torch_way() -> Sequence[Any]:
        functional = device.torch.nn.functional
        luma = (pixels.float() @ shares)[None, None]
        means = functional.pad(functional.avg_pool2d(luma, box), (1, 1, 1, 1), mode="replicate")
        smooth = functional.conv2d(means, kernel).round()
        moved = ((smooth - earlier.float()).abs() > threshold).float()
        functional.max_pool2d(moved, 3, stride=1, padding=1)  # follows the blur's rounding
        return [smooth[0, 0]]

    return Trial(
        ours=lambda: compare.into(pixels, earlier, blurred, changed, space),
        results=[blurred, changed],
        expected=_core.frame_difference(host, previous, box, weights, threshold, 1),
        bytes=host.nbytes + 3 * previous.nbytes,
        torch=torch_way,
        distance=1,
    )
