"""Option records: types, typos, recipes on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from edgedl.errors import ConfigError
from edgedl.options import options_from, parse_toml


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclass(frozen=True)
class Options:
    ratio: float
    steps: int = 3
    name: str | None = None
    mode: Literal["fast", "exact"] = "fast"
    sizes: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


def test_values_are_taken_with_their_types() -> None:
    table = {"ratio": 1, "sizes": [2, 3], "mode": "exact", "name": "a", "inner": {"rate": 2}}
    made = options_from(Options, table, "recipe.toml")
    assert made == Options(1.0, 3, "a", "exact", (2, 3), Inner(2.0))
    assert isinstance(made.ratio, float)


@pytest.mark.parametrize(
    ("table", "code", "message"),
    [
        ({"ration": 0.5}, "E203", "r [x]: unknown key 'ration'; did you mean 'ratio'?"),
        ({"zzz": 1}, "E203", "r [x]: unknown key 'zzz'; known keys: ratio, steps, name"),
        ({"steps": 2}, "E203", "r [x]: key 'ratio' is missing"),
        ({"ratio": "fast"}, "E204", "r [x] ratio must be float; got 'fast'"),
        ({"ratio": 10**400}, "E204", "r [x] ratio must be float; got a number of 1329 bits"),
        ({"ratio": True}, "E204", "r [x] ratio must be float; got True"),
        ({"ratio": 1.0, "steps": 2.5}, "E204", "r [x] steps must be int; got 2.5"),
        (
            {"ratio": 1.0, "mode": "exakt"},
            "E204",
            "must be one of 'fast', 'exact'; got 'exakt'; did",
        ),
        ({"ratio": 1.0, "sizes": [1, "b"]}, "E204", "r [x] sizes[1] must be int; got 'b'"),
        (
            {"ratio": 1.0, "inner": {"rat": 1}},
            "E203",
            "r [x] inner: unknown key 'rat'; did you mean",
        ),
    ],
)
def test_wrong_tables_name_the_key(table: dict[str, object], code: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_from(Options, table, "r [x]")
    assert caught.value.code == code
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, "E200", "not found"),
        (b"a = ", "E202", "is not valid TOML"),
        (b"a = " + b"9" * 5000, "E202", "is not valid TOML"),
        (b"a = '\xff'", "E216", "not UTF-8 at byte 5"),
        (b"#" * ((1 << 20) + 1), "E209", "larger than 1 MiB; got 1048577 bytes"),
    ],
)
def test_unreadable_recipes(tmp_path: Path, content: bytes | None, code: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        parse_toml(path)
    assert caught.value.code == code


def test_a_recipe_with_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = [2, 3]\r\n")
    assert parse_toml(path) == {"a": 1, "b": [2, 3]}
