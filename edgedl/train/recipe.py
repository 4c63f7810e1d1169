"""What all recipes have, and how one is read from a TOML file."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.errors import ConfigError
from edgedl.models.build import families, model_options
from edgedl.options import check_ranges, parse_toml, parse_value, suggest
from edgedl.train.optimizer import OptimizerOptions
from edgedl.train.options import TrainOptions  # noqa: TC001 - its hints are read
from edgedl.train.schedule import ScheduleOptions

if TYPE_CHECKING:
    from edgedl.models.build import Options

RECIPES = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training; each task adds its own sections, ``[data]`` and ``[model]`` among them.

    Attributes:
        task: What is trained.
        seed: Of first weights, order and augmentation. Splits have their own, ``data.seed``.
        optimizer: Which optimiser and its rates.
        schedule: How the rates rise and fall.
        train: How long and how.
    """

    task: str
    train: TrainOptions
    seed: int = 1
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)

    def __post_init__(self) -> None:
        check_ranges("recipe", self, seed=(0, (1 << 31) - 1))

    @classmethod
    def model_keys(cls) -> tuple[str, ...]:
        """Return what ``[model]`` may say beside ``family`` and its options."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record as a table that can be read again; what is None is left out."""
        plain, sections = {}, {}
        for key, value in asdict(self).items():
            if isinstance(value, dict):
                sections[key] = {k: v for k, v in value.items() if v is not None}
            elif value is not None:
                plain[key] = value
        return plain | sections


def network_options(model: Mapping[str, Any], family: str) -> Options:
    """Read a recipe's ``[model]`` where only one family of networks does what the task asks for.

    Raises:
        ConfigError: E203 an unknown key, E204 a wrong type, E205 another family, or out of range.
    """
    given = model.get("family", family)
    if given in families() and given != family:
        msg = f"model.family must be {family!r} for this task; got {given!r}"
        raise ConfigError("E205", msg)
    return model_options({"family": family, **model}, "recipe [model]")


def recipe_table(name: str | Path) -> tuple[dict[str, Any], str]:
    """Read a recipe of the package by its name, or any by its path.

    Args:
        name: E.g. ``"mnist-cnn"``, or a path that ends with ``.toml``.

    Returns:
        The table and the file's name for errors.

    Raises:
        ConfigError: E200 no such file, E202, E209, E216 it is no TOML, E203 an unknown recipe.
    """
    path = Path(name)
    if path.suffix != ".toml":
        known = sorted(p.stem for p in RECIPES.glob("*.toml"))
        if str(name) not in known:
            hint = suggest(str(name), known) or f"; known: {', '.join(known)}"
            msg = f"unknown recipe {str(name)!r}{hint}; a file ends with .toml"
            raise ConfigError("E203", msg)
        path = RECIPES / f"{name}.toml"
    return parse_toml(path), path.name


def override(table: dict[str, Any], record: type[Recipe], overrides: Mapping[str, Any]) -> None:
    """Set keys of a recipe's table.

    Args:
        table: Changed in place.
        record: What the table is going to be; says which keys there are.
        overrides: ``train.epochs``, or ``epochs`` where no other section has such a key. A text
            is read as a TOML value.

    Raises:
        ConfigError: E203 a key that is unknown or in more than one section, E205 two that exclude
            each other, E216 a text that a recipe cannot hold.
    """
    names = {given.split(".")[-1] for given in overrides}
    if {"epochs", "steps"} <= names:
        msg = "override: either epochs or steps says how long to train; got both, leave one out"
        raise ConfigError("E205", msg)
    if {"path", "generated"} <= names:
        msg = "override: either path or generated says what the data is; got both, leave one out"
        raise ConfigError("E205", msg)
    family_first = sorted(overrides.items(), key=lambda item: item[0].split(".")[-1] != "family")
    for given, value in family_first:
        key = _full_key(given, _keys(record, table))
        if isinstance(value, str) and not _is_utf8(value):
            msg = f"override {given!r}: {value!r} is not UTF-8; rename the file or folder"
            raise ConfigError("E216", msg)
        section, _, name = key.rpartition(".")
        inner = table.setdefault(section, {}) if section else table
        if not isinstance(inner, dict):
            msg = f"override {given!r}: {section!r} is a value, not a section"
            raise ConfigError("E203", msg)
        for other in _replaced(key, inner, overrides):
            inner.pop(other, None)
        inner[name] = parse_value(value) if isinstance(value, str) else value


def _is_utf8(text: str) -> bool:
    """Return whether a text holds none of the bytes that file names may have beside UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _replaced(key: str, section: Mapping[str, Any], overrides: Mapping[str, Any]) -> set[str]:
    """Return the keys of its section that have no meaning any more once ``key`` is set."""
    if key == "model.family":
        return _family_keys(section.get("family"))
    if key in ("train.epochs", "train.steps"):  # who asks for a length gets it
        return {"epochs", "steps"} | ({"minutes"} - {name.split(".")[-1] for name in overrides})
    return {"path", "generated"} if key in ("data.path", "data.generated") else set()


def _keys(record: type[Recipe], table: Mapping[str, Any]) -> set[str]:
    """Return all dotted keys that a recipe of this kind has or may have."""
    keys: set[str] = set()
    for name, hint in typing.get_type_hints(record).items():
        options = [h for h in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(h)]
        inner = {f.name for option in options for f in dataclasses.fields(option)}
        written = table.get(name)
        if isinstance(written, Mapping):
            inner |= set(written) | _family_keys(written.get("family"))
            inner |= set(record.model_keys()) if name == "model" else set()
        keys |= {f"{name}.{key}" for key in inner} or {name}
    return keys


def _family_keys(family: object) -> set[str]:
    """Return the options of a family of networks, none of one that is unknown."""
    known = families()
    found = known.get(family) if isinstance(family, str) else None
    return {f.name for f in dataclasses.fields(found.options)} if found else set()


def _full_key(given: str, keys: set[str]) -> str:
    if given in keys:
        return given
    found = sorted(key for key in keys if key.endswith(f".{given}"))
    if len(found) == 1:
        return found[0]
    if found:
        msg = f"override {given!r} is in several sections: say {' or '.join(map(repr, found))}"
        raise ConfigError("E203", msg)
    section = given.partition(".")[0]
    if any(key.startswith(f"{section}.") for key in keys) and "." in given:
        return given  # the section checks its own keys and says which it knows
    bare = {key.rpartition(".")[2]: key for key in sorted(keys)}
    hint = suggest(given, keys)
    if not hint:
        hint = suggest(given.rpartition(".")[2], bare)
        hint = f"; did you mean {bare[hint.split(chr(39))[1]]!r}?" if hint else ""
    msg = f"override {given!r}: no such key{hint or '; sections: ' + _sections(keys)}"
    raise ConfigError("E203", msg)


def _sections(keys: set[str]) -> str:
    return ", ".join(sorted({key.partition(".")[0] for key in keys if "." in key}))
