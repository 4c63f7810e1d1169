"""The golden set survives the disk, and never unpickles."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edgedl.bundle.golden import (
    Expected,
    Given,
    GoldenSample,
    parse_golden,
    read_golden,
    tensor_sha256,
    write_golden,
)
from edgedl.errors import BundleError


@pytest.fixture
def sample() -> GoldenSample:
    rng = np.random.default_rng(0)
    arrays = {
        "features": rng.normal(size=(4, 3)).astype(np.float32),
        "h": np.float32([1, 2]),
        "c": np.float32([np.pi, -0.0]),
        "logits": rng.normal(size=7).astype(np.float32),
    }
    picture = rng.integers(0, 256, (5, 9, 3), np.uint8)
    return GoldenSample(
        "one",
        Given((picture,)),
        "ab" * 32,
        {"fp32": Expected({"text": "a red", "log_prob": -0.25}, arrays)},
    )


def test_round_trip(tmp_path: Path, sample: GoldenSample) -> None:
    write_golden(tmp_path / "golden", [sample])
    (found,) = read_golden(tmp_path / "golden")
    np.testing.assert_array_equal(found.given.pictures[0], sample.given.pictures[0])
    assert (found.name, found.input_sha256) == (sample.name, sample.input_sha256)
    expected, read = sample.expected["fp32"], found.expected["fp32"]
    assert read.output == {"text": "a red", "log_prob": -0.25}
    for name, array in expected.arrays.items():
        assert read.arrays[name].tobytes() == array.tobytes()


def test_writing_twice_gives_the_same_bytes(tmp_path: Path, sample: GoldenSample) -> None:
    for name in "ab":
        write_golden(tmp_path / name, [sample])
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_tensor_digest_sees_type_shape_and_value() -> None:
    one = np.zeros((1, 2), np.float32)
    others = [one.astype(np.float16), one.reshape(2, 1), one + 1]
    assert len({tensor_sha256(x) for x in [one, *others]}) == 4
    assert tensor_sha256(one) == tensor_sha256(one.astype(">f4").astype("<f4"))


def damage(folder: Path, name: str, raw: bytes) -> None:
    (folder / name).write_bytes(raw)


def pickled() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([{"a": 1}], dtype=object))
    return file.getvalue()


def npz(logits: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"fp32.logits": logits})
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("golden.json", b"{}"),
        ("golden.json", b"[" * 99999),
        ("golden.json", b'{"samples": []}'),
        ("golden.json", b'{"samples": [3]}'),
        ("one.npz", b"PK\x03\x04"),
        ("one.npz", b""),
        ("one.npz", pickled()),
        ("one.npz", npz(np.float32([1, np.nan]))),
        ("one.npz", npz(np.float32([1, np.inf]))),
        ("one.png", b"<html>"),
        ("one.png", b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 30000, 30000) + bytes(9)),
    ],
)
def test_damage_is_one_error(tmp_path: Path, sample: GoldenSample, name: str, raw: bytes) -> None:
    write_golden(tmp_path, [sample])
    damage(tmp_path, name, raw)
    with pytest.raises(BundleError, match="golden set cannot be read") as caught:
        read_golden(tmp_path)
    assert caught.value.code == "E418"


def test_names_stay_in_the_folder() -> None:
    table = {"samples": [{"name": "../../x", "input_sha256": "", "expected": {}}]}
    with pytest.raises(ValueError, match="unsafe file name"):
        parse_golden(lambda _: json.dumps(table).encode())
