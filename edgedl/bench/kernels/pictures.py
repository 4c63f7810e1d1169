"""From a camera's picture to a tensor: the cases of pre-processing."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from edgedl import _core
from edgedl.bench.kernels.case import (
    BEST,
    LIMIT,
    OURS,
    Array,
    Bound,
    Case,
    Check,
    Contender,
    Trial,
    at_least,
    at_most,
    enough,
    same_bits,
    within,
)
from edgedl.bench.kernels.kornia import kornia_call
from edgedl.bench.kernels.opencv import OpenCvChains
from edgedl.runtime.preprocess import Preprocessor
from edgedl.runtime.preprocess_reference import linear_taps, placement, preprocess_reference
from edgedl.spec import ImageSpec

if TYPE_CHECKING:
    from edgedl.frame import PixelFormat

NAIVE = "OpenCV + NumPy"
BLOB, SPLIT, TABLE = "OpenCV blob", "OpenCV split", "OpenCV table"
FASTER = (BLOB, SPLIT, TABLE)
Size = tuple[int, ...]
P1080, P720, P480 = (1080, 1920), (720, 1280), (480, 640)
IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TO_224 = ImageSpec(size_hw=(224, 224), **IMAGENET)
TO_640 = ImageSpec(size_hw=(640, 640), **IMAGENET)
FLOAT_ERROR = 2e-5
"""What float32 chains in another order of operations may differ by."""
AVX2 = Bound(of="avx2", to="avx512", at_most=1.3)


def picture_cases() -> list[Case]:
    """Return the cases of pre-processing."""
    boxed_224, boxed_640 = (replace(spec, fit="letterbox") for spec in (TO_224, TO_640))
    return [
        _case("1080p-224", TO_224, P1080, bounds=(*_bounds(7, 2.1, 1.15), AVX2)),
        _case("720p-224-letterbox", boxed_224, P720, bounds=(*_bounds(13, 3, 1.25), AVX2)),
        _case("1080p-640-letterbox", boxed_640, P1080, bounds=(*_bounds(15, 3.5, 1.35), AVX2)),
        _case("480p-640", TO_640, P480, bounds=_bounds(22, 4.4, 1.6)),
        _case(
            "nv12-1080p-224",
            TO_224,
            P1080,
            "nv12",
            (at_least(9, NAIVE), at_least(5.5, BLOB), at_most(3, LIMIT), AVX2),
        ),
        _case(
            "area-1080p-224",
            replace(TO_224, resize="area"),
            P1080,
            bounds=(at_least(7, NAIVE), at_least(6, BLOB), AVX2),
        ),
        _case("i420-1080p-224", TO_224, P1080, "i420"),
        _case("yuyv-1080p-224", TO_224, P1080, "yuyv"),
        _case("half-1280-640", TO_640, (1280, 1280)),
        _case("same-640", TO_640, (640, 640)),
        _bytes_case("1080p-224", TO_224, P1080, "uint8"),
        _bytes_case("1080p-640-letterbox", boxed_640, P1080, "uint8"),
        _bytes_case("1080p-640-letterbox", boxed_640, P1080, "int8"),
        _planes_case(),
        _batch_case(),
        _threads_case(),
        _call_case(),
    ]


def _bounds(naive: float, best: float, limit: float) -> tuple[Bound, ...]:
    return at_least(naive, NAIVE), at_least(best, BEST), at_most(limit, LIMIT)


def _case(
    name: str,
    spec: ImageSpec,
    source_hw: Size,
    source_format: PixelFormat = "bgr8",
    bounds: tuple[Bound, ...] = (),
) -> Case:
    return Case(
        name=f"preprocess/{name}",
        what=_described(spec, source_hw, source_format),
        checked_against="NumPy definition, bit for bit; "
        + ("cv2.INTER_AREA within a level" if spec.resize == "area" else "OpenCV within 2e-5"),
        make=partial(_against_chains, spec, source_hw, source_format),
        bounds=bounds,
    )


def _described(spec: ImageSpec, source_hw: Size, source_format: str) -> str:
    (height, width), (rows, columns) = source_hw, spec.size_hw
    fit = "" if spec.fit == "stretch" else f" {spec.fit}"
    return f"{source_format} {width}×{height} → {columns}×{rows}{fit} {spec.resize} {spec.dtype}"


def _against_chains(
    spec: ImageSpec, source_hw: Size, source_format: PixelFormat, set_mib: int
) -> Trial:
    chains = OpenCvChains(spec, source_format, source_hw)
    ours = preprocessing(spec, source_format)
    others = {
        NAIVE: Contender(chains.naive, _near(spec, source_format)),
        BLOB: Contender(chains.blob, _near(spec, source_format)),
        SPLIT: Contender(chains.split, _near(spec, source_format)),
        TABLE: Contender(chains.table, _near(spec, source_format)),
    }
    plan, out = _core.PreprocessPlan(spec, source_format, "bt601", "limited"), empty(spec)
    others[LIMIT] = Contender(lambda pixels: _core.preprocess_touch(plan, pixels, out))
    if source_format == "bgr8" and (call := kornia_call(spec)):
        others["kornia_rs"] = Contender(call)
    return Trial(
        inputs=noise(source_format, source_hw, set_mib),
        ours=ours,
        others=others,
        opencv=FASTER,
        bytes=touched_bytes(spec, source_format, source_hw),
    )


def _bytes_case(
    name: str, spec: ImageSpec, source_hw: Size, dtype: Literal["uint8", "int8"]
) -> Case:
    if dtype == "int8":
        small = replace(spec, dtype=dtype, scale=0.02)
    else:
        small = ImageSpec(size_hw=spec.size_hw, fit=spec.fit, dtype=dtype)

    def make(set_mib: int) -> Trial:
        return Trial(
            inputs=noise("bgr8", source_hw, set_mib),
            ours=preprocessing(small, "bgr8"),
            others={"float32": preprocessing(spec, "bgr8")},
            bytes=touched_bytes(small, "bgr8", source_hw),
        )

    return Case(
        name=f"preprocess/{name}-{dtype}",
        what=_described(small, source_hw, "bgr8"),
        checked_against="NumPy definition, bit for bit",
        make=make,
        bounds=(at_most(1.05, "float32"),),
    )


def _threads_case() -> Case:
    spec = replace(TO_640, fit="letterbox")
    return Case(
        name="preprocess/1080p-640-letterbox-2-threads",
        what=f"{_described(spec, P1080, 'bgr8')}, its rows divided among 2 threads",
        checked_against="NumPy definition, bit for bit",
        make=lambda set_mib: Trial(
            inputs=noise("bgr8", P1080, set_mib),
            ours=preprocessing(spec, "bgr8", threads=2),
            others={"1 thread": preprocessing(spec, "bgr8")},
            bytes=touched_bytes(spec, "bgr8", P1080),
        ),
    )


def _batch_case() -> Case:
    count = 8
    pre = Preprocessor(TO_224)

    def make(set_mib: int) -> Trial:
        pictures = noise("bgr8", P1080, set_mib)
        tensor = np.empty((count, *TO_224.shape[1:]), np.float32)

        def singly(batch: list[Array]) -> Array:
            for index, picture in enumerate(batch):
                pre.into(picture, tensor[index : index + 1])
            return tensor

        def definition(batch: list[Array]) -> Array:
            return np.concatenate([preprocess_reference(TO_224, one) for one in batch])

        check = same_bits(definition)
        return Trial(
            inputs=[[*pictures, *pictures * count][i : i + count] for i in range(len(pictures))],
            ours=Contender(lambda batch: pre.batch(batch, into=tensor), check),
            others={"one by one": Contender(singly, check)},
            bytes=count * touched_bytes(TO_224, "bgr8", P1080),
        )

    return Case(
        name=f"preprocess/1080p-224-batch-{count}",
        what=f"{count} pictures into one tensor: {_described(TO_224, P1080, 'bgr8')}",
        checked_against="NumPy definition, bit for bit",
        make=make,
    )


def _planes_case() -> Case:
    spec = ImageSpec(size_hw=(640, 640), pixel_format="bgr8", dtype="uint8")

    def make(set_mib: int) -> Trial:
        planes = empty(spec)

        def split(frame: Array) -> Array:
            cv2.split(frame, list(planes[0]))
            return planes

        return Trial(
            inputs=noise("bgr8", spec.size_hw, set_mib),
            ours=preprocessing(spec, "bgr8"),
            others={"cv2.split": Contender(split, _exact(spec, "bgr8"))},
            bytes=touched_bytes(spec, "bgr8", spec.size_hw),
        )

    return Case(
        name="preprocess/same-640-uint8",
        what=_described(spec, spec.size_hw, "bgr8"),
        checked_against="NumPy definition, bit for bit",
        make=make,
        bounds=(at_least(1, "cv2.split"),),
    )


def _call_case() -> Case:
    spec = ImageSpec(size_hw=(1, 1), resize="nearest")
    return Case(
        name="preprocess/call",
        what="a picture of one pixel: what a call costs",
        checked_against="NumPy definition, bit for bit",
        make=lambda set_mib: Trial(
            inputs=noise("bgr8", (1, 1), set_mib), ours=preprocessing(spec, "bgr8"), repeats=200
        ),
        bounds=(Bound(of=OURS, to=None, at_most=0.0015),),
    )


def preprocessing(spec: ImageSpec, source_format: PixelFormat, threads: int = 1) -> Contender:
    """Return our pre-processing into memory that is reused."""
    pre, out = Preprocessor(spec, source_format, threads=threads), empty(spec)

    def call(pixels: Any) -> Array:
        pre.into(pixels, out)
        return out

    return Contender(call, _exact(spec, source_format))


def empty(spec: ImageSpec) -> Array:
    """Return memory for a tensor."""
    return np.empty(spec.shape, spec.dtype)


def _exact(spec: ImageSpec, source_format: PixelFormat) -> Check:
    return same_bits(lambda pixels: preprocess_reference(spec, pixels, source_format))


def _near(spec: ImageSpec, source_format: PixelFormat) -> Check:
    def definition(pixels: Any) -> Array:
        return preprocess_reference(spec, pixels, source_format)

    if spec.resize != "area":
        return within(definition, FLOAT_ERROR)
    return within(definition, 1.01 / (255 * min(spec.std)), share=0.02)


def noise(source_format: str, source_hw: Size, set_mib: int) -> list[Array]:
    """Return pictures of noise, to be taken in turn."""
    height, width = source_hw
    shapes = {"bgr8": (height, width, 3), "yuyv": (height, width, 2)}
    shape = shapes.get(source_format, (height * 3 // 2, width))
    one = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    return enough(one, lambda index: np.roll(one, 7 * index), set_mib)


def touched_bytes(spec: ImageSpec, source_format: PixelFormat, source_hw: Size) -> int:
    """Return how many bytes must be read and written: rows that no output needs do not count."""
    at = placement(spec, source_hw[0], source_hw[1])
    rows = np.arange(at.source_rows.start, at.source_rows.stop)
    if spec.resize == "bilinear":
        first, fraction = linear_taps(len(rows), at.rows.stop - at.rows.start, enlarging_area=False)
        needed = np.concatenate([first[fraction < 1], first[fraction > 0] + 1])
        rows = np.unique(rows[needed.clip(0, len(rows) - 1)])
    width = at.source_columns.stop - at.source_columns.start
    per_pixel = {"bgr8": 3, "yuyv": 2}.get(source_format, 1)
    read = len(rows) * width * per_pixel
    if source_format in ("nv12", "i420"):
        read += len(np.unique(rows // 2)) * width
    return int(read + empty(spec).nbytes)
