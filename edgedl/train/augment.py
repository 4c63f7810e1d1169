"""Changes of training batches that leave their class as it is; whole batches at once.

All take and return pictures (N, C, H, W), uint8 or float32; a clip is one whose C is the channels
of its frames one after the other, so that all change alike. Chance comes from PyTorch's global
generator, which the training loop seeds before every step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgedl.options import check_ranges

Padding = Literal["reflect", "edge", "zero", "wrap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """What is changed; the defaults change nothing.

    Attributes:
        translate: Pixels that a picture is moved by at most, each way.
        padding: What comes in at the border; ``wrap``: what left at the other side.
        flip: Mirror left and right: ``random`` tosses a coin for each picture at each step;
            ``alternate`` tosses once for each picture and then mirrors it every second epoch.
        rotate: Degrees at most, each way.
        scale: Part by which the size changes at most: 0.1 is 0.9..1.1.
        shear: Degrees at most, each way.
        brightness: Part of the full range that is added at most, each way.
        contrast: Part by which differences to the mean grow or shrink at most.
        saturation: The same for differences to grey.
        hue: Part of the colour circle that colours turn at most, each way; 0..0.5.
        erase: Side of a square that is set to ``fill``, in pixels.
        fill: Value of erased pixels, 0..255.
        mixup: Parameter of the Beta distribution that says how much of a second picture is
            mixed in.
        time_jitter: Frames by which a clip's frames are taken too early or too late at most.
    """

    translate: int = 0
    padding: Padding = "reflect"
    flip: Literal["none", "random", "alternate"] = "none"
    rotate: float = 0.0
    scale: float = 0.0
    shear: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    erase: int = 0
    fill: int = 0
    mixup: float = 0.0
    time_jitter: int = 0

    def __post_init__(self) -> None:
        check_ranges(
            "augment",
            self,
            translate=(0, 64),
            rotate=(0, 180),
            scale=(0, 0.9),
            shear=(0, 60),
            brightness=(0, 1),
            contrast=(0, 1),
            saturation=(0, 1),
            hue=(0, 0.5),
            erase=(0, 1024),
            fill=(0, 255),
            mixup=(0, 10),
            time_jitter=(0, 64),
        )


def augment(
    pictures: Tensor,
    options: AugmentOptions,
    *,
    epoch: int = 0,
    indices: Tensor | None = None,
    frames: int = 1,
) -> Tensor:
    """Change pictures (N, C, H, W) as ``options`` say; all but mixup and time jitter.

    Args:
        pictures: uint8 0..255, or float32 0..1; not yet normalised.
        options: What to do.
        epoch: For ``flip = "alternate"``.
        indices: (N,) int64, which sample of the data each picture is; for the same.
        frames: Of a clip; its C is this many times its frames' channels.

    Returns:
        Pictures of the same type; the given ones are left as they are.
    """
    if options.flip != "none":
        pictures = flip(pictures, _mirrored(len(pictures), options, epoch, indices))
    if options.rotate or options.scale or options.shear:
        pictures = warp(pictures, _affine(len(pictures), options))
    if options.translate:
        moves = torch.randint(-options.translate, options.translate + 1, (2, len(pictures)))
        pictures = move(pictures, moves[0], moves[1], options.padding)
    if options.brightness or options.contrast or options.saturation or options.hue:
        pictures = recolour(pictures, options, frames)
    if options.erase:
        fill = options.fill / 255 if pictures.is_floating_point() else options.fill
        pictures = erase(pictures, options.erase, fill)
    return pictures


def flip(pictures: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror left and right the pictures of which ``mirrored`` (N,) is True."""
    return torch.where(mirrored.view(-1, 1, 1, 1), pictures.flip(3), pictures)


def move(pictures: Tensor, down: Tensor, right: Tensor, padding: Padding) -> Tensor:
    """Move each picture by whole pixels.

    Args:
        pictures: (N, C, H, W).
        down: (N,) int64, negative is up.
        right: (N,) int64, negative is left.
        padding: What comes in: the picture mirrored at its outermost pixel, that pixel, or
            0.
    """
    n, _, height, width = pictures.shape
    y, outside_y = _from(height, down, padding)
    x, outside_x = _from(width, right, padding)
    rows = y.view(n, 1, height, 1)
    at = (rows * width + x.view(n, 1, 1, width)).flatten(2)  # (N, 1, H · W)
    flat = pictures.reshape(n, -1, height * width)
    out = flat.gather(2, at.expand(-1, flat.shape[1], -1)).view(pictures.shape)
    if padding == "zero":
        out.masked_fill_(outside_y.view(n, 1, height, 1) | outside_x.view(n, 1, 1, width), 0)
    return out


def warp(pictures: Tensor, matrices: Tensor) -> Tensor:
    """Sample each picture bilinearly where a matrix says; the border's pixels continue outside.

    Args:
        pictures: (N, C, H, W).
        matrices: (N, 2, 2), from where a pixel of the result lies, in pixels right and down of
            the centre, to where it comes from.
    """
    height, width = pictures.shape[2:]
    sides = torch.tensor([width / 2, height / 2])
    in_parts = matrices * sides / sides.view(2, 1)  # grid_sample counts in halves of the picture
    theta = functional.pad(in_parts, (0, 1))
    grid = functional.affine_grid(theta, list(pictures.shape), align_corners=False)
    out = functional.grid_sample(
        pictures.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return _as(out, pictures)


def recolour(pictures: Tensor, options: AugmentOptions, frames: int = 1) -> Tensor:
    """Turn the colours, then change saturation, contrast and brightness; (N, C, H, W) in rgb."""
    full = 1.0 if pictures.is_floating_point() else 255.0
    n, channels = len(pictures), pictures.shape[1] // frames
    x = pictures.float().reshape(n, frames, channels, *pictures.shape[2:])
    if channels == 3 and (options.hue or options.saturation):
        x = _turned(x, _around(n, 2 * math.pi * options.hue), 1 + _around(n, options.saturation))
    if options.contrast:
        mean = x.mean(dim=(1, 2, 3, 4), keepdim=True)
        x = mean + (x - mean) * (1 + _around(n, options.contrast)).view(-1, 1, 1, 1, 1)
    if options.brightness:
        x = x + full * _around(n, options.brightness).view(-1, 1, 1, 1, 1)
    return _as(x.flatten(1, 2).clamp(0, full), pictures)


def erase(pictures: Tensor, side: int, fill: float) -> Tensor:
    """Set a square of ``side`` pixels of each picture to ``fill``; it lies wholly inside."""
    n, _, height, width = pictures.shape
    masks = []
    for length in (height, width):
        start = torch.randint(0, max(1, length - side + 1), (n, 1))
        at = torch.arange(length)
        masks.append((at >= start) & (at < start + side))
    mask = masks[0].view(n, 1, height, 1) & masks[1].view(n, 1, 1, width)
    return pictures.masked_fill(mask, fill)


def mixup(
    pictures: Tensor, targets: Tensor, classes: int, strength: float
) -> tuple[Tensor, Tensor]:
    """Mix each picture with another of the batch.

    Args:
        pictures: (N, ...) float32.
        targets: (N,) int64.
        classes: K.
        strength: ``AugmentOptions.mixup``; 0 mixes nothing.

    Returns:
        The mixed pictures, and the parts of each class (N, K) float32, that sum to 1.
    """
    soft = functional.one_hot(targets, classes).float()
    if not strength:
        return pictures, soft
    # A Beta number is G / (G + H) of two Gamma numbers. Those of small strengths are too small for
    # floats, but not their logarithms: log G(a) = log G(a + 1) + log(U) / a.
    above = torch._standard_gamma(torch.full((2,), strength + 1, dtype=torch.float64))
    chance = 1 - torch.rand(2, dtype=torch.float64)  # in (0, 1]
    one, other = above.log() + chance.log() / strength
    part = float(torch.sigmoid(one - other))
    order = torch.randperm(len(pictures))
    return torch.lerp(pictures[order], pictures, part), torch.lerp(soft[order], soft, part)


def jitter_time(clips: Tensor, most: int) -> Tensor:
    """Shift, drop or repeat frames of clips (N, T, ...), by at most ``most`` frames; in order.

    Each clip is shifted as a whole, and within it each frame may be its neighbour; what would lie
    before the first or after the last frame is that frame.
    """
    n, length = clips.shape[:2]
    if not most:
        return clips
    shift = torch.randint(-(most // 2), most // 2 + 1, (n, 1))
    own = torch.randint(-(most - most // 2), most - most // 2 + 1, (n, length))
    at = (torch.arange(length) + shift + own).clamp(0, length - 1)
    at = at.sort(dim=1).values
    return clips[torch.arange(n).view(n, 1), at]


def _mirrored(n: int, options: AugmentOptions, epoch: int, indices: Tensor | None) -> Tensor:
    """Return (N,) which pictures are mirrored."""
    if options.flip == "random" or indices is None:
        return torch.rand(n) < 0.5
    mixed = (indices * 0x9E3779B1) & 0xFFFFFFFF  # a coin that is always the same for a sample
    mixed = ((mixed ^ (mixed >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    return ((mixed >> 16) + epoch) % 2 == 1


def _from(length: int, moves: Tensor, padding: Padding) -> tuple[Tensor, Tensor]:
    """Return (N, length) where each pixel of a moved axis comes from, and whether from outside."""
    at = torch.arange(length) - moves.unsqueeze(1)
    if padding == "wrap":
        at = at % length
    outside = (at < 0) | (at >= length)
    last = length - 1
    if padding == "reflect" and last:
        at = last - (last - at.abs() % (2 * last)).abs()
    return at.clamp(0, last), outside


def _affine(n: int, options: AugmentOptions) -> Tensor:
    """Return (N, 2, 2), drawn: a turn, a shear along x, and a scale."""
    turn, lean = (torch.deg2rad(_around(n, most)) for most in (options.rotate, options.shear))
    size = 1 / (1 + _around(n, options.scale))
    cos, sin = torch.cos(turn), torch.sin(turn)
    turned = torch.stack((cos, -sin, sin, cos), dim=1).view(n, 2, 2)
    leaning = torch.eye(2).repeat(n, 1, 1)
    leaning[:, 0, 1] = torch.tan(lean)
    return size.view(n, 1, 1) * (turned @ leaning)


def _turned(x: Tensor, angle: Tensor, factor: Tensor) -> Tensor:
    """Turn colours (N, T, 3, H, W) by angles (N,) around grey and stretch them by factors (N,).

    A linear map of each pixel: in the plane of equal r + g + b, a rotation.
    """
    cos, sin = (f(angle).view(-1, 1, 1) for f in (torch.cos, torch.sin))
    grey = torch.full((3, 3), 1 / 3)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    colour = cos * (torch.eye(3) - grey) + sin * across
    return torch.einsum("nij,ntjhw->ntihw", grey + factor.view(-1, 1, 1) * colour, x)


def _around(n: int, most: float) -> Tensor:
    """Return (N,) numbers between -``most`` and ``most``."""
    return (2 * torch.rand(n) - 1) * most


def _as(x: Tensor, pictures: Tensor) -> Tensor:
    """Return ``x`` as the type of ``pictures``."""
    return x if pictures.is_floating_point() else x.round().to(torch.uint8)
