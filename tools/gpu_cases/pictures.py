"""From a camera's picture to a tensor: the cases of pre-processing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from edgedl import ImageSpec, Preprocessor
from edgedl.runtime.preprocess_cuda import CudaPreprocessor
from edgedl.runtime.preprocess_reference import linear_taps, placement
from gpu_cases.case import HD_HW, Array, Case, Device, Trial, sector_bytes, waves

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
LEVEL = 1 / 255 / min(STD)  # what a level of 0..255 is at most in a network's input


def picture_cases(largest_batch: int) -> list[Case]:
    """Return the cases of pre-processing; each of one size once."""
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
    ]
    return list({case.name: case for case in made}.values())


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
