"""What goes into a network and comes out of it: the one definition of pre-processing."""

from __future__ import annotations

import math
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
Task = Literal[
    "captioning",
    "classification",
    "clip-classification",
    "text-generation",
    "text-classification",
    "regression",
    "tensor",
]
KINDS: Mapping[Task, str] = {
    "captioning": "captioner",
    "classification": "classifier",
    "clip-classification": "clip-classifier",
    "text-generation": "text-generator",
    "text-classification": "text-classifier",
    "regression": "regressor",
    "tensor": "tensor-model",
}
ROLES: Mapping[Task, tuple[str, ...]] = {
    "captioning": ("encoder", "step"),
    "classification": ("model",),
    "clip-classification": ("encoder", "model"),
    "text-generation": ("step",),
    "text-classification": ("model",),
    "regression": ("model",),
    "tensor": ("model",),
}
NEEDS: Mapping[Task, tuple[str, ...]] = {
    "captioning": ("image", "tokens"),
    "classification": ("image", "labels"),
    "clip-classification": ("image", "clip", "labels"),
    "text-generation": ("text", "tokens"),
    "text-classification": ("text", "tokens", "labels"),
    "regression": ("series",),
    "tensor": (),
}
"""Which parts of a ``ModelSpec`` a task has."""
MAY_HAVE: Mapping[Task, tuple[str, ...]] = {"tensor": ("image",)}
"""Which further parts it may have."""

_MAX_STEPS = 4096


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
            and 1. ``int8`` is y / ``scale``, rounded (halves to even) and clamped to -128..127.
        scale: What one step of an int8 tensor is worth, > 0; 1 for every other type.
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
    scale: float = 1.0

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
        if not 0 < self.scale < math.inf or (self.dtype != "int8" and self.scale != 1):
            rule = "> 0" if self.dtype == "int8" else f"1 for {self.dtype}"
            msg = f"image scale must be {rule}; got {self.scale}"
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
        """Return the record as plain JSON values; ``scale`` only where it means something."""
        table = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if self.dtype != "int8":
            del table["scale"]
        return table

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """How a video becomes a clip.

    Attributes:
        frames: T, frames of a clip, 1..4096.
        every: Of a live source every so many-th frame is taken, >= 1.
    """

    frames: int
    every: int = 1

    def __post_init__(self) -> None:
        _check_sizes("clip", frames=self.frames, every=self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """How a text becomes tokens; ``edgedl.tokenizer.Tokenizer`` executes it.

    Attributes:
        unit: Whether a token is one character, or one word or punctuation mark.
        lower: Read capital letters as small ones.
        length: T, tokens of a text: longer ones are cut, shorter ones padded on the right. 0 for
            a text that is generated.
    """

    unit: Literal["character", "word"]
    lower: bool = False
    length: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.length <= _MAX_STEPS:
            msg = f"text length must be in 0..{_MAX_STEPS}; got {self.length}"
            raise ConfigError("E205", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSpec:
    """How the rows of a table become a window, and what is predicted from it.

    Attributes:
        inputs: F names of the columns that are seen.
        outputs: O names of the columns that are predicted.
        window: T, rows that are seen.
        horizon: So many rows after the last one seen lies the predicted one, >= 1.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    window: int
    horizon: int = 1

    def __post_init__(self) -> None:
        _check_sizes("series", window=self.window, horizon=self.horizon)
        for name in ("inputs", "outputs"):
            columns = getattr(self, name)
            if not columns or len(set(columns)) != len(columns):
                msg = f"series {name} must name at least one column, each once; got {columns}"
                raise ConfigError("E205", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """All that is needed to feed a model and to read its answer, whatever runs it.

    Attributes:
        task: What it does; decides which of the others are there.
        image: Pictures to tensors: captioning, classification, clip-classification, and tensor
            where the one input is a picture.
        clip: Frames of a clip: clip-classification.
        text: Texts to tokens: text-generation, text-classification.
        series: Tables to windows: regression.
        labels: Names of the classes, in the order of the logits.
        tokens: Words or characters, in the order of their ids; see ``edgedl.vocab``.
    """

    task: Task
    image: ImageSpec | None = None
    clip: ClipSpec | None = None
    text: TextSpec | None = None
    series: SeriesSpec | None = None
    labels: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needed, optional = NEEDS[self.task], MAY_HAVE.get(self.task, ())
        for name in ("image", "clip", "text", "series", "labels", "tokens"):
            if bool(getattr(self, name)) != (name in needed) and name not in optional:
                what = "needs" if name in needed else "has no"
                msg = f"a model for {self.task} {what} {name}"
                raise ConfigError("E205", msg)
        columns = (*self.series.inputs, *self.series.outputs) if self.series else ()
        for name in (*self.labels, *columns):
            if not name.isprintable():
                msg = f"the name {name!a} holds a character that cannot be printed; rename it"
                raise ConfigError("E205", msg)

    @property
    def kind(self) -> str:
        """What the manifest calls such a model."""
        return KINDS[self.task]

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of its graphs."""
        return ROLES[self.task]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values; what is not there is left out."""
        table = {k: v for k, v in asdict(self).items() if v}
        if self.image:
            table["image"] = self.image.to_dict()
        return {k: _plain(v) for k, v in table.items()}

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], where: str = "model spec") -> ModelSpec:
        """Read a record written by ``to_dict``.

        Raises:
            ConfigError: A key is unknown, missing, of the wrong type, or out of range.
        """
        return options_from(cls, table, where)


def _check_sizes(record: str, **sizes: int) -> None:
    for name, size in sizes.items():
        if not 1 <= size <= _MAX_STEPS:
            msg = f"{record} {name} must be in 1..{_MAX_STEPS}; got {size}"
            raise ConfigError("E205", msg)


def _plain(value: Any) -> Any:
    """Return tuples as lists, in a table as well."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return list(value) if isinstance(value, tuple) else value
