"""From pictures of a data set to tensors: as the recipe's ``[image]`` and the data say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgedl.data.picture_list import sizes
from edgedl.errors import ConfigError
from edgedl.evaluate.prepared import Prepared
from edgedl.options import options_from
from edgedl.runtime.preprocess_reference import gain_and_bias
from edgedl.spec import Fit, ImageSpec, ModelPixelFormat, Resize

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    U8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOptions:
    """The section ``[image]``: the keys of an ``ImageSpec``.

    What is left out comes from the data: the size where all pictures have the same, ``gray8``
    where they have one channel, mean and std of the training pictures.
    """

    size_hw: tuple[int, ...] | None = None
    resize: Resize | None = None
    fit: Fit | None = None
    fill: int | None = None
    pixel_format: ModelPixelFormat | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def given(self) -> dict[str, Any]:
        """Return what is not left out."""
        table = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in table.items() if value is not None}

    def check(self) -> None:
        """Refuse values that fit no picture, before the data is read.

        Raises:
            ConfigError: E205 out of range, or mean without std.
        """
        given = self.given()
        example = {"size_hw": (32, 32), **plain(given.get("pixel_format", "rgb8"))}
        if "pixel_format" in given or not {"mean", "std"} & given.keys():
            options_from(ImageSpec, {**example, **given}, "recipe [image]")
        if len({"mean", "std"} & given.keys()) == 1:
            msg = "image.mean and image.std belong together: give both, or none"
            raise ConfigError("E205", msg)


def image_spec(options: ImageOptions, pictures: Sequence[U8Array]) -> ImageSpec:
    """Return the spec a recipe's ``[image]`` means for these pictures.

    Raises:
        ConfigError: E205 no size is given and the pictures have several.
    """
    found, first = options.given(), pictures[0]
    if options.size_hw is None:
        found_sizes = sizes(pictures)
        if len(found_sizes) > 1:
            msg = f"the pictures have {len(found_sizes)} sizes; set image.size_hw, e.g. [64, 64]"
            raise ConfigError("E205", msg)
        found["size_hw"] = first.shape[:2]
    default = "gray8" if first.ndim == 2 else "rgb8"
    pixel_format = found.setdefault("pixel_format", default)
    return options_from(ImageSpec, {**plain(pixel_format), **found}, "recipe [image]")


def plain(pixel_format: object) -> dict[str, Any]:
    """Return a mean and std that change nothing."""
    channels = 1 if pixel_format == "gray8" else 3
    return {"mean": (0.0,) * channels, "std": (1.0,) * channels}


def normalising(image: ImageSpec, pixels: Tensor) -> ImageSpec:
    """Return ``image`` with the mean and std of pixels (N, C, H, W)."""
    some = pixels[:: max(1, len(pixels) // 10_000)].double() / 255
    mean, std = some.mean((0, 2, 3)), some.std((0, 2, 3), correction=0).clamp(min=1e-3)
    rounded = [tuple(round(float(v), 4) for v in values) for values in (mean, std)]
    return dataclasses.replace(image, mean=rounded[0], std=rounded[1])


def affine(image: ImageSpec) -> tuple[Tensor, Tensor]:
    """Return gain and bias (C, 1, 1) such that a pixel's value is x * gain + bias."""
    tensors = (torch.from_numpy(array).view(-1, 1, 1) for array in gain_and_bias(image))
    return next(tensors), next(tensors)


def resized(image: ImageSpec, pictures: Sequence[U8Array]) -> Tensor:
    """Return all pictures (N, C, H, W) uint8, resized as the network's input is."""
    spec = dataclasses.replace(image, dtype="uint8", **plain(image.pixel_format))
    return torch.from_numpy(Prepared(spec, pictures)[:])
