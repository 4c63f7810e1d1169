"""What tools/gpu_speed measures: inputs, what is right, which bytes must move, and torch's way.

A case runs on the torch device that it is given. Tests give it "cpu", where the code of the CUDA
kernels runs on the host; so nothing here meets a GPU for the first time but its speed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from edgedl import ImageSpec, Preprocessor, _core
from edgedl.runtime.detection import nms
from edgedl.runtime.draw import heat_colors
from edgedl.runtime.draw_cuda import draw_boxes_cuda, draw_heat_map_cuda
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
from edgedl.runtime.preprocess_cuda import CudaPreprocessor
from edgedl.runtime.preprocess_reference import linear_taps, placement
from edgedl.stream.motion_cuda import CudaFrameDifference

Array = np.ndarray[Any, Any]
SECTOR_BYTES = 32
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
LEVEL = 1 / 255 / min(STD)  # what a level of 0..255 is at most in a network's input
HD_HW = (1080, 1920)


class Device:
    """Where a case runs: arrays there and back, and the stream that work is queued on."""

    def __init__(self, torch: Any, name: str) -> None:
        self.torch = torch
        self.name = name
        self.stream = torch.cuda.current_stream() if name == "cuda" else 0

    def upload(self, array: Array) -> Any:
        return self.torch.tensor(array, device=self.name)

    def zeros(self, shape: Sequence[int], dtype: str) -> Any:
        return self.torch.zeros(tuple(shape), dtype=getattr(self.torch, dtype), device=self.name)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A case made ready, with its memory.

    Attributes:
        ours: Queues our kernels.
        results: What they write, on the device.
        expected: What must be in there, bit for bit: what the CPU's code makes.
        bytes: Sectors that must be read, and what must be written.
        torch: The same by torch's operators; returns the first of the results, or all. None: torch
            has nothing of the kind here.
        distance: How far its values may be from ours.
        restore: Makes the inputs again what they were, for what draws into them.
    """

    ours: Callable[[], object]
    results: Sequence[Any]
    expected: Sequence[Array]
    bytes: int
    torch: Callable[[], Sequence[Any]] | None = None
    distance: float = 0.0
    restore: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Case:
    """One row of the table: a name, and what makes it ready on a device."""

    name: str
    make: Callable[[Device], Trial]


def cases(largest_batch: int = 64) -> list[Case]:
    """Return every case; batches are cut to so many pictures."""
    made = [
        _preprocess("bgr8", HD_HW, (224, 224), "bilinear", "stretch", 1),
        _preprocess("bgr8", HD_HW, (224, 224), "bilinear", "stretch", min(16, largest_batch)),
        _preprocess("bgr8", HD_HW, (224, 224), "bilinear", "stretch", min(64, largest_batch)),
        _preprocess("bgr8", HD_HW, (640, 640), "bilinear", "letterbox", min(16, largest_batch)),
        _preprocess("bgr8", (480, 640), (640, 640), "bilinear", "stretch", min(16, largest_batch)),
        _preprocess("bgr8", HD_HW, (224, 224), "area", "stretch", min(16, largest_batch)),
        _preprocess("bgr8", HD_HW, (135, 240), "area", "stretch", min(16, largest_batch)),
        _preprocess("nv12", HD_HW, (224, 224), "bilinear", "stretch", min(16, largest_batch)),
        _preprocess("nv12", HD_HW, (224, 224), "area", "stretch", min(16, largest_batch)),
        Case("denormalize 512x512", partial(_denormalize, min(16, largest_batch))),
        Case("overlay outlines 1080p", partial(_boxes, 3, 255)),
        Case("overlay filled 1080p", partial(_boxes, 0, 128)),
        Case("overlay heat 1080p", _heat),
        Case("frame_difference 1080p", _frame_difference),
        Case("best_class 80x8400", _best_class),
        Case("nms 25200", _nms),
        Case("softmax_top_k 64x1000", partial(_softmax_top_k, 64, 1000)),
        Case("softmax_top_k 1024x10000", partial(_softmax_top_k, 1024, 10_000)),
        Case("beam_step 5x10000", partial(_beam_step, 1)),
        Case("beam_step 32 x 5x10000", partial(_beam_step, 32)),
    ]
    return list({case.name: case for case in made}.values())


# ---- bytes --------------------------------------------------------------------------------------


def sector_bytes(touched: Array) -> int:
    """Return the size of the 32-byte sectors of packed memory in which a byte is touched.

    Args:
        touched: bool, one for each byte; the first one lies at the beginning of a sector.
    """
    flat = touched.reshape(-1)
    padded = np.zeros(-(-flat.size // SECTOR_BYTES) * SECTOR_BYTES, bool)
    padded[: flat.size] = flat
    return SECTOR_BYTES * int(padded.reshape(-1, SECTOR_BYTES).any(axis=1).sum())


def touched_source(spec: ImageSpec, source: str, hw: tuple[int, int]) -> int:
    """Return the bytes of the sectors of one packed picture that its image is made of."""
    at = placement(spec, *hw)
    size = at.rows.stop - at.rows.start, at.columns.stop - at.columns.start
    rows = _taken(spec.resize, at.source_rows, size[0], is_down=True)
    columns = _taken(spec.resize, at.source_columns, size[1], is_down=False)
    wanted = np.zeros(hw, bool)
    wanted[np.ix_(rows, columns)] = True
    if source == "bgr8":
        return sector_bytes(np.repeat(wanted, 3, axis=1))
    pairs = wanted.reshape(hw[0] // 2, 2, hw[1] // 2, 2).any(axis=(1, 3))
    return sector_bytes(wanted) + sector_bytes(np.repeat(pairs, 2, axis=1))  # nv12


def _taken(resize: str, source: slice, target: int, *, is_down: bool) -> Array:
    """Return the rows or columns of the source that weigh anything in the result."""
    count = source.stop - source.start
    if resize == "area" and count >= target:
        return np.arange(source.start, source.stop)
    first, fraction = linear_taps(count, target, enlarging_area=resize == "area")
    second = first[fraction > 0] + 1
    if not is_down:  # beyond an edge the last pixel has all the weight
        second = second[second < count]
    return source.start + np.unique(np.concatenate([first, second]).clip(0, count - 1))


# ---- pictures -----------------------------------------------------------------------------------


def waves(height: int, width: int, channels: int, seed: int) -> Array:
    """Return a uint8 picture without sharp edges, in which ways to resize agree."""
    y, x, c = np.ogrid[:height, :width, :channels]
    value = 128 + 60 * np.sin(x / 97 + c + seed) + 60 * np.cos(y / 71 - c)
    return np.asarray(value + 0.5, np.uint8)


def _preprocess(
    source: str, hw: tuple[int, int], size_hw: tuple[int, int], resize: Any, fit: Any, batch: int
) -> Case:
    spec = ImageSpec(size_hw=size_hw, resize=resize, fit=fit, mean=MEAN, std=STD)
    name = f"preprocess {source} {hw[0]}x{hw[1]} to {size_hw[0]}x{size_hw[1]} {resize} {fit}"
    return Case(f"{name}, {batch}", partial(_preprocess_trial, spec, source, hw, batch))


def _preprocess_trial(
    spec: ImageSpec, source: Any, hw: tuple[int, int], batch: int, device: Device
) -> Trial:
    rows, channels = (hw[0], 3) if source == "bgr8" else (hw[0] * 3 // 2, 1)
    hosts = [waves(rows, hw[1], channels, seed) for seed in range(min(batch, 4))]
    hosts = [host if source == "bgr8" else host[..., 0] for host in hosts]
    frames = [device.upload(hosts[i % len(hosts)]) for i in range(batch)]
    out = device.zeros((batch, *spec.shape[1:]), "float32")
    pre = CudaPreprocessor(spec, source, stream=device.stream)
    images = [Preprocessor(spec, source)(host)[0] for host in hosts]
    chain = _TorchChain(device, spec, source)
    return Trial(
        ours=lambda: pre.into(frames, out),
        results=[out],
        expected=[np.stack([images[i % len(images)] for i in range(batch)])],
        bytes=batch * touched_source(spec, source, hw) + out.numel() * 4,
        torch=lambda: [chain(frames)],
        distance=(8 if spec.resize == "area" else 3) * LEVEL,  # its averages weigh neighbours, too
    )


class _TorchChain:
    """What is written with torch instead: decode, resize, pad, normalise."""

    def __init__(self, device: Device, spec: ImageSpec, source: str) -> None:
        self.torch, self.spec, self.source = device.torch, spec, source
        mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
        self.mean, self.std = (device.upload(a).view(1, 3, 1, 1) for a in (mean, std))

    def __call__(self, frames: list[Any]) -> Any:
        functional = self.torch.nn.functional
        stacked = self.torch.stack(frames)
        if self.source == "bgr8":
            x = stacked.permute(0, 3, 1, 2).flip(1).float()
        else:
            x = _rgb(self.torch, stacked)
        at = placement(self.spec, *x.shape[2:])
        height, width = self.spec.size_hw
        size = at.rows.stop - at.rows.start, at.columns.stop - at.columns.start
        is_area = self.spec.resize == "area"
        x = functional.interpolate(
            x / 255, size, mode="bilinear", align_corners=False, antialias=is_area
        )
        pad = at.columns.start, width - at.columns.stop, at.rows.start, height - at.rows.stop
        if any(pad):
            x = functional.pad(x, pad, value=self.spec.fill / 255)
        return (x - self.mean) / self.std


def _rgb(torch: Any, nv12: Any) -> Any:
    """Return float32 (N, 3, H, W) in 0..255 of packed uint8 NV12, BT.601, limited range."""
    height, width = nv12.shape[1] * 2 // 3, nv12.shape[2]
    luma = (nv12[:, :height].float() - 16).clamp(min=0) * (255 / 219)
    chroma = nv12[:, height:].reshape(-1, height // 2, width // 2, 2).float() - 128
    whole = chroma.repeat_interleave(2, 1).repeat_interleave(2, 2)
    u, v = whole[..., 0], whole[..., 1]
    rgb = [luma + 1.596027 * v, luma - 0.391762 * u - 0.812968 * v, luma + 2.017232 * u]
    return torch.stack(rgb, 1).clamp(0, 255)


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


# ---- drawing ------------------------------------------------------------------------------------


def _drawing(
    device: Device, draw: Callable[[Any], object], definition: Callable[[Array], object]
) -> tuple[Any, Any, dict[str, Any]]:
    """Return two pictures on the device, one for each way, and what all trials of drawing have."""
    clean = waves(*HD_HW, 3, 0)
    expected = clean.copy()
    definition(expected)
    given, picture, other = (device.upload(clean) for _ in range(3))

    def restore() -> None:
        picture.copy_(given)
        other.copy_(given)

    common = {
        "ours": lambda: draw(picture),
        "results": [picture],
        "expected": [expected],
        "restore": restore,
    }
    return picture, other, common


def _boxes(thickness: int, alpha: int, device: Device) -> Trial:
    rng = np.random.default_rng(10)
    size = rng.integers(60, 400, (20, 2))
    first = rng.integers(0, np.array(HD_HW[::-1]) - size)
    corners = np.concatenate([first, first + size], axis=1).astype(np.int32)
    colors = rng.integers(0, 256, (len(corners), 3), np.uint8)
    held = device.upload(corners), device.upload(colors)
    options: Any = {"thickness_px": thickness, "alpha": alpha, "stream": device.stream}
    _, other, common = _drawing(
        device,
        lambda picture: draw_boxes_cuda(picture, *held, **options),
        lambda picture: _core.overlay_boxes(picture, corners, colors, thickness, alpha),
    )
    shades = [device.upload(color.astype(np.float32)) for color in colors]
    areas = [_areas(box, thickness) for box in corners.tolist()]

    def torch_way() -> Sequence[Any]:
        share = alpha / 255
        for parts, shade in zip(areas, shades, strict=True):
            for rows, columns in parts:
                part = other[rows, columns]
                blended = shade * share + part.float() * (1 - share)
                part.copy_(blended.round().to(device.torch.uint8))
        return [other]

    touched = np.zeros((*HD_HW, 3), bool)
    for parts in areas:
        for rows, columns in parts:
            touched[rows, columns] = True
    times = 1 if alpha == 255 else 2  # what is covered need not be read
    return Trial(
        **common,
        bytes=times * sector_bytes(touched) + corners.nbytes + colors.nbytes,
        torch=torch_way,
        distance=len(corners),  # it rounds at each box
    )


def _areas(box: list[int], thickness: int) -> list[tuple[slice, slice]]:
    """Return the rectangles that a box or its outline consists of, none twice."""
    left, top, right, bottom = box
    t = thickness
    if t == 0:
        return [(slice(top, bottom), slice(left, right))]
    sides = slice(top + t, bottom - t)
    return [
        (slice(top, top + t), slice(left, right)),
        (slice(bottom - t, bottom), slice(left, right)),
        (sides, slice(left, left + t)),
        (sides, slice(right - t, right)),
    ]


def _heat(device: Device) -> Trial:
    heat = np.random.default_rng(11).random((14, 14), np.float32)
    colors = heat_colors()
    held = device.upload(heat), device.upload(colors)
    place = (0, 0, HD_HW[1], HD_HW[0])
    _, other, common = _drawing(
        device,
        lambda picture: draw_heat_map_cuda(picture, *held, place, alpha=128, stream=device.stream),
        lambda picture: _core.overlay_heat(picture, heat, place, colors, 128),
    )

    def torch_way() -> Sequence[Any]:
        whole = device.torch.nn.functional.interpolate(
            held[0][None, None], HD_HW, mode="bilinear", align_corners=False
        )[0, 0]
        over = held[1][(whole.clamp(0, 1) * 255).round().long()].float()
        share = 128 / 255
        other.copy_((over * share + other.float() * (1 - share)).round().to(device.torch.uint8))
        return [other]

    picture_bytes = 3 * HD_HW[0] * HD_HW[1]
    return Trial(
        **common,
        bytes=2 * picture_bytes + heat.nbytes + colors.nbytes,
        torch=torch_way,
        distance=8,  # neighbours in the table of colours
    )


# ---- motion -------------------------------------------------------------------------------------


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


# ---- detections ---------------------------------------------------------------------------------


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


# ---- words and classes --------------------------------------------------------------------------


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
