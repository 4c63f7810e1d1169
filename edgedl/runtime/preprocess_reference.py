"""What pre-processing means, in plain NumPy: slow, and the measure of every compiled executor.

Six steps, the first five on 8-bit values: colour, turn, fit, resize, padding, normalisation. Whole
numbers are OpenCV's fixed-point arithmetic; floating point is float32 with every product and every
sum rounded on its own, so that no executor may fuse a multiplication with an addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from edgedl.frame import UPRIGHT

if TYPE_CHECKING:
    from edgedl.frame import Mounting, PixelFormat, Pixels, U8Image
    from edgedl.runtime.preprocess import Matrix, Range
    from edgedl.spec import ImageSpec

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class Placement(NamedTuple):
    """Which rows and columns of the source go to which rows and columns of the tensor."""

    source_rows: slice
    source_columns: slice
    rows: slice
    columns: slice


def preprocess_reference(
    spec: ImageSpec,
    pixels: Pixels,
    source_format: PixelFormat = "bgr8",
    matrix: Matrix = "bt601",
    range: Range = "limited",
    mounting: Mounting = UPRIGHT,
) -> npt.NDArray[Any]:
    """Return what ``Preprocessor`` of the same arguments must return for ``pixels``.

    A region is the same rectangle of ``to_rgb(pixels)`` as an ``rgb8`` picture. Arguments are
    trusted: it is the compiled code that checks them.
    """
    rgb = to_rgb(pixels, source_format, matrix, range)
    source = to_channels(mounting.turn(rgb), spec.pixel_format)
    at = placement(spec, source.shape[0], source.shape[1])
    picture = np.full((*spec.size_hw, spec.channels), spec.fill, np.uint8)
    target_hw = (at.rows.stop - at.rows.start, at.columns.stop - at.columns.start)
    picture[at.rows, at.columns] = resize(
        source[at.source_rows, at.source_columns], target_hw, spec.resize
    )
    values = picture if spec.dtype == "uint8" else normalize(picture, spec)
    if spec.layout == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values)[np.newaxis]


def to_u8(values: npt.NDArray[Any]) -> U8Image:
    """Return values that are in 0..255 already as bytes."""
    return values.astype(np.uint8)


# ---- colour -------------------------------------------------------------------------------------


def to_rgb(pixels: Pixels, source_format: PixelFormat, matrix: Matrix, range: Range) -> U8Image:
    """Return a picture of any source format as RGB, shape (H, W, 3)."""
    if source_format in ("nv12", "i420"):
        planes = split_planes(pixels, source_format)
        y, u, v = (plane.astype(np.int64) for plane in planes)
        u, v = (plane.repeat(2, axis=0).repeat(2, axis=1) for plane in (u, v))
        return yuv_to_rgb(y, u, v, matrix, range)
    image = np.asarray(pixels)
    if source_format == "yuyv":
        whole = image.astype(np.int64)
        u, v = (whole[:, first::2, 1].repeat(2, axis=1) for first in (0, 1))
        return yuv_to_rgb(whole[:, :, 0], u, v, matrix, range)
    if source_format == "gray8":
        return np.stack([image] * 3, axis=2)
    return image if source_format == "rgb8" else image[:, :, ::-1]


def split_planes(pixels: Pixels, source_format: PixelFormat) -> tuple[U8Image, U8Image, U8Image]:
    """Return Y (H, W), U and V (H/2, W/2) of a packed array or a tuple of planes."""
    if isinstance(pixels, tuple):
        y, *chroma = pixels
        height, width = y.shape
    else:
        height, width = pixels.shape[0] * 2 // 3, pixels.shape[1]
        y, chroma = pixels[:height], [pixels[height:]]
    if source_format == "nv12":
        pairs = chroma[0].reshape(height // 2, width // 2, 2)
        return y, pairs[:, :, 0], pairs[:, :, 1]
    if len(chroma) == 1:
        chroma = list(chroma[0].reshape(2, height // 2, width // 2))
    return y, chroma[0], chroma[1]


def yuv_to_rgb(y: Ints, u: Ints, v: Ints, matrix: Matrix, range: Range) -> U8Image:
    """Convert with coefficients scaled by 2^20; BT.601 limited is OpenCV's table.

    The others follow from ITU-R BT.601 and BT.709: with the luma weights Kr, Kg, Kb,
    R = Y + 2 (1 - Kr) V, G = Y - 2 (1 - Kr) Kr/Kg V - 2 (1 - Kb) Kb/Kg U, B = Y + 2 (1 - Kb) U.
    """
    if (matrix, range) == ("bt601", "limited"):
        k_y, v_to_r, v_to_g, u_to_g, u_to_b = 1220542, 1673527, -852492, -409993, 2116026
    else:
        red, blue = (0.299, 0.114) if matrix == "bt601" else (0.2126, 0.0722)
        green = 1 - red - blue
        luma, chroma = (255 / 219, 255 / 224) if range == "limited" else (1.0, 1.0)
        k_y = round(luma * 2**20)
        v_to_r = round(2 * (1 - red) * chroma * 2**20)
        v_to_g = round(-2 * (1 - red) * red / green * chroma * 2**20)
        u_to_g = round(-2 * (1 - blue) * blue / green * chroma * 2**20)
        u_to_b = round(2 * (1 - blue) * chroma * 2**20)
    black = 16 if range == "limited" else 0
    base = np.maximum(y - black, 0) * k_y + 2**19
    u, v = u - 128, v - 128
    rgb = np.stack([base + v_to_r * v, base + v_to_g * v + u_to_g * u, base + u_to_b * u], axis=2)
    return to_u8((rgb >> 20).clip(0, 255))


def to_channels(rgb: U8Image, pixel_format: str) -> U8Image:
    """Return the channels of the tensor; gray uses OpenCV's weights."""
    if pixel_format == "gray8":
        gray = (rgb.astype(np.int64) @ np.array([9798, 19235, 3735]) + 2**14) >> 15
        return to_u8(gray[:, :, np.newaxis])
    return rgb if pixel_format == "rgb8" else rgb[:, :, ::-1]


# ---- fit ----------------------------------------------------------------------------------------


def placement(spec: ImageSpec, height: int, width: int) -> Placement:
    """Return where the picture is cut and where it lies in the tensor."""
    target_height, target_width = spec.size_hw
    y, x, cut_height, cut_width = 0, 0, height, width
    top, left, new_height, new_width = 0, 0, target_height, target_width
    if spec.fit == "letterbox":
        ratio = min(target_height / height, target_width / width)
        new_height = min(max(round(height * ratio), 1), target_height)
        new_width = min(max(round(width * ratio), 1), target_width)
        top, left = (target_height - new_height) // 2, (target_width - new_width) // 2
    elif spec.fit == "crop":
        cut_height = min(max(round(width * target_height / target_width), 1), height)
        cut_width = min(max(round(height * target_width / target_height), 1), width)
        y, x = (height - cut_height) // 2, (width - cut_width) // 2
    return Placement(
        slice(y, y + cut_height),
        slice(x, x + cut_width),
        slice(top, top + new_height),
        slice(left, left + new_width),
    )


# ---- resize -------------------------------------------------------------------------------------


def resize(image: U8Image, size_hw: tuple[int, int], how: str) -> U8Image:
    """Resize (H, W, C) as ``cv2.resize`` does with INTER_LINEAR, INTER_AREA or INTER_NEAREST."""
    height, width = image.shape[:2]
    down, across = scale(height, size_hw[0]), scale(width, size_hw[1])
    if how == "nearest":
        rows = np.minimum(np.floor(np.arange(size_hw[0]) * down), height - 1).astype(np.int64)
        columns = np.minimum(np.floor(np.arange(size_hw[1]) * across), width - 1).astype(np.int64)
        return to_u8(image[np.ix_(rows, columns)])
    if how == "bilinear":
        return bilinear(image, size_hw, enlarging_area=False)
    if height < size_hw[0] or width < size_hw[1]:
        return bilinear(image, size_hw, enlarging_area=True)
    if down.is_integer() and across.is_integer():
        return box(image, size_hw)
    return area(image, size_hw)


def scale(source: int, target: int) -> float:
    """Return source pixels per target pixel, rounded as OpenCV rounds it."""
    return 1.0 / (target / source)


def linear_taps(source: int, target: int, *, enlarging_area: bool) -> tuple[Ints, Floats]:
    """Return the first of two neighbours for every target pixel and the fraction of the second."""
    i = np.arange(target)
    if enlarging_area:
        index = np.floor(i * scale(source, target))
        fraction = ((i + 1) - (index + 1) * (target / source)).astype(np.float32)
        fraction = np.where(fraction <= 0, np.float32(0), fraction - np.floor(fraction))
        return index.astype(np.int64), fraction
    position = ((i + 0.5) * scale(source, target) - 0.5).astype(np.float32)
    index = np.floor(position)
    return index.astype(np.int64), position - index


def weights(fraction: Floats) -> tuple[Ints, Ints]:
    """Return the fixed-point weights of both neighbours, scaled by 2048."""
    first, second = np.rint((1 - fraction) * 2048), np.rint(fraction * 2048)
    return first.astype(np.int64), second.astype(np.int64)


def bilinear(image: U8Image, size_hw: tuple[int, int], *, enlarging_area: bool) -> U8Image:
    """Interpolate with 11-bit weights, first across, then down."""
    height, width = image.shape[:2]
    pixels = image.astype(np.int64)

    x, fraction = linear_taps(width, size_hw[1], enlarging_area=enlarging_area)
    fraction[(x < 0) | (x >= width - 1)] = 0  # at both ends the edge pixel gets all the weight
    x = x.clip(0, width - 1)
    first, second = (w[:, np.newaxis] for w in weights(fraction))
    rows = (pixels[:, x] * first + pixels[:, np.minimum(x + 1, width - 1)] * second) >> 4

    y, fraction = linear_taps(height, size_hw[0], enlarging_area=enlarging_area)
    first, second = (w[:, np.newaxis, np.newaxis] for w in weights(fraction))
    above, below = rows[y.clip(0, height - 1)], rows[(y + 1).clip(0, height - 1)]
    return to_u8((((above * first) >> 16) + ((below * second) >> 16) + 2) >> 2)


def box(image: U8Image, size_hw: tuple[int, int]) -> U8Image:
    """Average whole pixels: halves go up for 2 x 2 boxes, else to the even neighbour."""
    height, width = image.shape[0] // size_hw[0], image.shape[1] // size_hw[1]
    cells = image.reshape(size_hw[0], height, size_hw[1], width, -1).astype(np.int64)
    total = cells.sum(axis=(1, 3))
    if (height, width) == (2, 2):
        return to_u8((total + 2) >> 2)
    share = np.float32(1) / np.float32(height * width)
    return to_u8(np.rint(total.astype(np.float32) * share))


def area_taps(source: int, target: int) -> tuple[Ints, Floats]:
    """Return indices and weights (target, taps) of the source pixels under each target pixel."""
    taps: list[list[tuple[int, float]]] = []
    step = scale(source, target)
    for i in range(target):
        begin, end = i * step, i * step + step
        cell = min(step, source - begin)
        inner_end = min(int(np.floor(end)), source - 1)
        inner_begin = min(int(np.ceil(begin)), inner_end)
        under = [(k, 1.0 / cell) for k in range(inner_begin, inner_end)]
        if inner_begin - begin > 1e-3:
            under.insert(0, (inner_begin - 1, (inner_begin - begin) / cell))
        if end - inner_end > 1e-3:
            under.append((inner_end, min(end - inner_end, 1.0, cell) / cell))
        taps.append(under)
    most = max(len(under) for under in taps)
    padded = [under + [(0, 0.0)] * (most - len(under)) for under in taps]
    table = np.array(padded, np.float64)
    return table[:, :, 0].astype(np.int64), table[:, :, 1].astype(np.float32)


def area(image: U8Image, size_hw: tuple[int, int]) -> U8Image:
    """Average with the share of each source pixel, in float32, first across, then down."""
    height, width = image.shape[:2]
    pixels = image.astype(np.float32)

    index, weight = area_taps(width, size_hw[1])
    rows = np.zeros((height, size_hw[1], image.shape[2]), np.float32)
    for k in range(index.shape[1]):
        rows += pixels[:, index[:, k]] * weight[:, k, np.newaxis]

    index, weight = area_taps(height, size_hw[0])
    total = np.zeros((*size_hw, image.shape[2]), np.float32)
    for k in range(index.shape[1]):
        total += rows[index[:, k]] * weight[:, k, np.newaxis, np.newaxis]
    return to_u8(np.rint(total).clip(0, 255))


# ---- the value written --------------------------------------------------------------------------


def normalize(image: U8Image, spec: ImageSpec) -> npt.NDArray[Any]:
    """Return (x/255 - mean) / std / scale of (H, W, C) as x · gain + bias, each rounded once."""
    gain, bias = gain_and_bias(spec)
    values = image.astype(np.float32) * gain + bias
    if spec.dtype == "int8":
        values = np.rint(values.clip(-128, 127))
    typed: npt.NDArray[Any] = values.astype(spec.dtype)
    return typed


def gain_and_bias(spec: ImageSpec) -> tuple[Floats, Floats]:
    """Return what a pixel of each channel is multiplied with, and what is added, (C,) each."""
    gain = np.array([1.0 / (255.0 * std * spec.scale) for std in spec.std])
    pairs = zip(spec.mean, spec.std, strict=True)
    bias = np.array([-m / (s * spec.scale) for m, s in pairs])
    return gain.astype(np.float32), bias.astype(np.float32)
