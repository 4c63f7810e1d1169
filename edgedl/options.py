"""Frozen option records from plain tables; a typo is an error that names the key."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgedl.errors import ConfigError

T = TypeVar("T")


def suggest(wrong: str, known: typing.Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the nearest known word, or an empty string."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def options_from(
    record: type[T], table: Mapping[str, Any], where: str, others: typing.Collection[str] = ()
) -> T:
    """Make a frozen dataclass from a table, checking every key and type.

    Args:
        record: A dataclass whose fields are plain values, tuples of them, or dataclasses.
        table: Key to value, e.g. one section of a recipe.
        where: Named in errors: ``"recipe.toml [prune]"``.
        others: Keys that the table may have as well; somebody else reads them.

    Raises:
        ConfigError: E203 for an unknown or missing key, E204 for a wrong type.
    """
    hints = typing.get_type_hints(record)
    fields = {f.name: f for f in dataclasses.fields(typing.cast("Any", record))}
    known = [*fields, *others]
    for key in table:
        if key not in known:
            hint = suggest(key, known) or f"; known keys: {', '.join(known)}"
            msg = f"{where}: unknown key {key!r}{hint}"
            raise ConfigError("E203", msg)
    values = {
        key: _checked(hints[key], value, f"{where} {key}")
        for key, value in table.items()
        if key in fields
    }
    for name, field in fields.items():
        no_default = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if no_default and name not in values:
            msg = f"{where}: key {name!r} is missing"
            raise ConfigError("E203", msg)
    return record(**values)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """Return ``value`` as the type ``hint`` asks for, or raise E204."""
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return options_from(typing.cast("type[Any]", hint), value, where)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        kinds = [a for a in args if a is not type(None)]
        return _checked(next((a for a in kinds if type(value) is a), kinds[0]), value, where)
    if origin is typing.Literal:
        if value in args:
            return value
        hint_text = suggest(str(value), map(str, args))
        allowed = ", ".join(map(repr, args))
        msg = f"{where} must be one of {allowed}; got {value!r}{hint_text}"
        raise ConfigError("E204", msg)
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_checked(args[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Mapping and isinstance(value, Mapping):
        return {str(k): _checked(args[1], item, f"{where}[{k!r}]") for k, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _float_of(value, where)
    wanted = object if hint is Any else origin or hint
    if isinstance(value, wanted) and not (wanted in (int, float) and isinstance(value, bool)):
        return value
    name = "a list" if origin is tuple else getattr(hint, "__name__", str(hint))
    msg = f"{where} must be {name}; got {value!r}"
    raise ConfigError("E204", msg)


def _float_of(value: int, where: str) -> float:
    """Return a whole number as a float, or raise E204 where none is so large."""
    try:
        return float(value)
    except OverflowError as err:
        msg = f"{where} must be float; got a number of {value.bit_length()} bits"
        raise ConfigError("E204", msg) from err


def check_ranges(section: str, options: Any, **allowed: tuple[float, float]) -> None:
    """Refuse numbers of ``options`` outside their closed ranges.

    Raises:
        ConfigError: E205 with section, key, range and value.
    """
    for name, (low, high) in allowed.items():
        value = getattr(options, name)
        if not low <= value <= high:
            msg = f"{section}.{name} must be in {low}..{high}; got {value}"
            raise ConfigError("E205", msg)


def check_either(section: str, options: Any, one: str, other: str) -> None:
    """Refuse ``options`` in which none or both of two keys are set.

    Raises:
        ConfigError: E205 with section and keys.
    """
    if bool(getattr(options, one)) == bool(getattr(options, other)):
        msg = f"either {section}.{one} or {section}.{other} must be set; got both or none"
        raise ConfigError("E205", msg)


def parse_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB.

    Raises:
        ConfigError: E200 when the file is missing, E202 with line and column when it is not TOML,
            E209 when it is too large, E216 when it is not UTF-8.
    """
    if not path.is_file():
        msg = f"{path} not found"
        raise ConfigError("E200", msg)
    raw = path.read_bytes()
    if len(raw) > 1 << 20:
        msg = f"{path} is larger than 1 MiB; got {len(raw)} bytes"
        raise ConfigError("E209", msg)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        msg = f"{path} is not UTF-8 at byte {err.start}; save it as UTF-8"
        raise ConfigError("E216", msg) from err
    try:
        return tomllib.loads(text)
    except ValueError as err:  # TOMLDecodeError is one; so is that of a number of too many digits
        msg = f"{path} is not valid TOML: {err}"
        raise ConfigError("E202", msg) from err


def parse_value(text: str) -> Any:
    """Read one TOML value; what is none, such as ``bf16``, is a text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


if typing.TYPE_CHECKING:
    import tomllib
else:
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib
