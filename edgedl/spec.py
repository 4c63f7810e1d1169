"""What goes into a network: the one definition of pre-processing, and of a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgedl.errors import ConfigError
from edgedl.options import options_from

Resize = Literal["bilinear", "area", "nearest"]
Fit = Literal["stretch", "letterbox", "crop"]
Layout = Literal["NCHW", "NHWC"]
DType = Literal["float32", "float16", "uint8", "int8"]
ModelPixelFormat = Literal["rgb8", "bgr8", "gray8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """How a picture becomes a tensor. Training, calibration, bench and camera all execute this.

    Attributes:
        size_hw: Height and width of the tensor in pixels.
        resize: ``bilinear`` equals ``cv2.INTER_LINEAR`` bit for bit on 8-bit pixels; ``area`` is
            antialiased like ``cv2.INTER_AREA``; ``nearest`` equals ``cv2.INTER_NEAREST``.
        fit: ``stretch`` ignores the aspect ratio. ``letterbox``: r = min(Ht/h, Wt/w), the picture
            becomes round(h·r) × round(w·r) at offset ((Ht - h')//2, (Wt - w')//2). ``crop`` takes
            the largest centred rectangle of the target's aspect, then resizes.
        fill: Padding value of a letterbox before normalisation, 0..255.
        pixel_format: Channel order of the tensor.
        mean: Per channel, in units of x/255, in the order of ``pixel_format``.
        std: Per channel, > 0: y = (x/255 - mean) / std.
        layout: Axis order of the tensor.
        dtype: Element type. ``uint8`` is the resized picture itself; mean and std must then be 0
            and 1.
    """

    size_hw: tuple[int, ...]
    resize: Resize = "bilinear"
    fit: Fit = "stretch"
    fill: int = 114
    pixel_format: ModelPixelFormat = "rgb8"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    layout: Layout = "NCHW"
    dtype: DType = "float32"

    def __post_init__(self) -> None:
        channels = self.channels
        if len(self.size_hw) != 2 or not all(1 <= side <= 8192 for side in self.size_hw):
            msg = f"image size_hw must be two numbers in 1..8192; got {self.size_hw}"
            raise ConfigError("E205", msg)
        if not 0 <= self.fill <= 255:
            msg = f"image fill must be in 0..255; got {self.fill}"
            raise ConfigError("E205", msg)
        if len(self.mean) != channels or len(self.std) != channels:
            msg = (
                f"image mean and std must have {channels} values for {self.pixel_format}; "
                f"got {len(self.mean)} and {len(self.std)}"
            )
            raise ConfigError("E205", msg)
        if not all(s > 0 for s in self.std):
            msg = f"image std must be > 0; got {self.std}"
            raise ConfigError("E205", msg)

    @property
    def channels(self) -> int:
        """Number of channels of the tensor."""
        return 1 if self.pixel_format == "gray8" else 3

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the tensor of one picture, batch axis included."""
        height, width = self.size_hw
        if self.layout == "NCHW":
            return (1, self.channels, height, width)
        return (1, height, width, self.channels)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], where: str = "image spec") -> ImageSpec:
        """Read a record written by ``to_dict``.

        Raises:
            ConfigError: A key is unknown, missing, of the wrong type, or out of range.
        """
        return options_from(cls, table, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a graph.

    Attributes:
        name: Its name in the graph.
        dtype: A NumPy dtype name.
        shape: Sizes; a string is a size known only at run time, e.g. ``("N", 3, 64, 64)``.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> TensorSpec:
        """Read a record written by ``to_dict``."""
        return cls(name=table["name"], dtype=table["dtype"], shape=tuple(table["shape"]))
