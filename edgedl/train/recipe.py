"""One training, described by one TOML file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgedl.errors import ConfigError
from edgedl.models.captioner import CaptionerOptions
from edgedl.options import options_from, parse_toml, parse_value, suggest
from edgedl.spec import ImageSpec  # noqa: TC001 - options_from reads the annotations
from edgedl.train.fit import FitOptions  # noqa: TC001

RECIPES = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesOptions:
    """What pictures to train and measure on.

    Attributes:
        train_px: Sides of the rendered training pictures, in turn; each is then pre-processed
            like a camera's frame.
        camera_px: Side of the pictures of ``val`` and ``test``.
        val: Number of pictures for choosing the best weights.
        test: Number of held-out pictures.
    """

    train_px: tuple[int, ...] = (64,)
    camera_px: int = 256
    val: int = 512
    test: int = 2000

    def __post_init__(self) -> None:
        sides = (*self.train_px, self.camera_px)
        if not self.train_px or not all(16 <= side <= 2048 for side in sides):
            msg = f"scenes.train_px and scenes.camera_px must be in 16..2048; got {sides}"
            raise ConfigError("E205", msg)
        if not (1 <= self.val <= 1 << 20 and 1 <= self.test <= 1 << 20):
            msg = f"scenes.val and scenes.test must be in 1..1048576; got {self.val}, {self.test}"
            raise ConfigError("E205", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonOptions:
    """What is learnt from a batch.

    Attributes:
        cells: Weight of the loss that asks what lies in each cell of the grid.
        looks: Weight of the loss that asks to look at the thing a word is about.
        hide_words: Part of the words before a word that are hidden, so that the network looks.
        label_smoothing: Of the words.
    """

    cells: float = 0.5
    looks: float = 0.2
    hide_words: float = 0.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        parts = (self.hide_words, self.label_smoothing)
        if not all(0 <= part < 1 for part in parts) or not all(
            0 <= weight <= 100 for weight in (self.cells, self.looks)
        ):
            msg = (
                "lesson.hide_words and lesson.label_smoothing must be in [0, 1), "
                f"lesson.cells and lesson.looks in 0..100; got {parts}, {self.cells}, {self.looks}"
            )
            raise ConfigError("E205", msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training of a captioner on rendered scenes.

    Attributes:
        task: What is trained.
        data: On what.
        seed: Of weights and scenes.
        scenes: Which pictures.
        image: How a picture becomes the network's input.
        model: Widths of the network; its ``size_hw`` is the image's.
        lesson: What is learnt from a batch.
        train: How long and how.
    """

    task: Literal["captioner"]
    data: Literal["scenes"]
    image: ImageSpec
    train: FitOptions
    seed: int = 1
    scenes: ScenesOptions = field(default_factory=ScenesOptions)
    model: CaptionerOptions = field(default_factory=CaptionerOptions)
    lesson: LessonOptions = field(default_factory=LessonOptions)

    def __post_init__(self) -> None:
        if self.image.layout != "NCHW" or self.image.channels != 3 or self.image.dtype != "float32":
            msg = "image must be NCHW, float32 and of three channels for a captioner"
            raise ConfigError("E205", msg)
        if not 0 <= self.seed < 1 << 31:
            msg = f"seed must be in 0..{(1 << 31) - 1}; got {self.seed}"
            raise ConfigError("E205", msg)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a table that ``read_recipe`` reads."""
        table = asdict(self)
        del table["model"]["size_hw"]
        plain = {k: v for k, v in table.items() if not isinstance(v, dict)}
        return plain | {k: v for k, v in table.items() if isinstance(v, dict)}


def read_recipe(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe of the package by its name, or any by its path.

    Args:
        name: ``"scenes-captioner"``, or a path that ends with ``.toml``.
        overrides: Dotted key to value: ``{"train.steps": 100}``. A text is read as a TOML value.

    Raises:
        ConfigError: E200 no such file, E203 an unknown recipe or key, E204 a wrong type, E205 out
            of range.
    """
    path = Path(name)
    if path.suffix != ".toml":
        known = sorted(p.stem for p in RECIPES.glob("*.toml"))
        if str(name) not in known:
            hint = suggest(str(name), known) or f"; known: {', '.join(known)}"
            msg = f"unknown recipe {str(name)!r}{hint}; a file ends with .toml"
            raise ConfigError("E203", msg)
        path = RECIPES / f"{name}.toml"
    table = parse_toml(path)
    for key, value in (overrides or {}).items():
        _set(table, key, parse_value(value) if isinstance(value, str) else value)
    where = f"{path.name}"
    model = table.setdefault("model", {})
    if isinstance(model, dict) and isinstance(table.get("image"), dict):
        if "size_hw" in model:
            msg = f"{where} model: size_hw is the image's; set image.size_hw"
            raise ConfigError("E203", msg)
        model["size_hw"] = table["image"].get("size_hw")
    return options_from(Recipe, table, where)


def _set(table: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        inner = table.setdefault(section, {})
        if not isinstance(inner, dict):
            msg = f"override {key!r}: {section!r} is a value, not a section"
            raise ConfigError("E203", msg)
        table = inner
    table[last] = value
