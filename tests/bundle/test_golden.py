"""The golden set survives the disk, and never unpickles."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH

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
from edgedl.spec import ImageSpec, ModelSpec


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


def claiming(shape: str, more: bytes = b"") -> bytes:
    """Return an NPZ with an array of four bytes whose header says what it likes."""
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        size = struct.pack("<H", len(head))
        archive.writestr("fp32.logits.npy", b"\x93NUMPY\x01\x00" + size + head + bytes(4) + more)
    return file.getvalue()


def compressed() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **{"fp32.logits": np.zeros(3, np.float32)})
    return file.getvalue()


def wide_png() -> bytes:
    """Return a PNG that is wider than OpenCV allows, of few pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 1 << 25, 1, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + bytes(12)


def one_sample(**changes: object) -> bytes:
    expected = {"fp32": {"text": "a red"}}
    row = {"name": "one", "given": {"pictures": 1}, "input_sha256": "", "expected": expected}
    return json.dumps({"samples": [row | changes]}).encode()


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("golden.json", b"{}"),
        ("golden.json", b"[" * 99999),
        ("golden.json", b'{"samples": []}'),
        ("golden.json", b'{"samples": [3]}'),
        ("golden.json", b'{"samples": [[]]}'),
        ("golden.json", b"[]"),
        ("golden.json", one_sample(name=3)),
        ("golden.json", one_sample(given=[])),
        ("golden.json", one_sample(given={"pictures": "1"})),
        ("golden.json", one_sample(given={"pictures": -1})),
        ("golden.json", one_sample(given={"text": 1})),
        ("golden.json", one_sample(expected=[])),
        ("golden.json", one_sample(expected={"fp32": []})),
        ("golden.json", one_sample(expected={"fp16": {"text": "a red"}})),
        ("golden.json", one_sample(expected={"fp32": {"text": None}})),
        ("golden.json", one_sample(expected={"fp32": {"log_prob": 10**400}})),
        ("golden.json", one_sample(expected={"fp32": {"log_prob": float("nan")}})),
        ("one.npz", b"PK\x03\x04"),
        ("one.npz", b""),
        ("one.npz", pickled()),
        ("one.npz", compressed()),
        ("one.npz", claiming("(10000000000000,)")),
        ("one.npz", claiming(f"({'9' * 5000},)")),
        ("one.npz", claiming(f"(0, {'9' * 30})")),
        ("one.npz", claiming("(1, 2)")),
        ("one.npz", claiming("(" * 100)),
        ("one.npz", claiming("(1,)", b"more")),
        ("one.npz", npz(np.float64([1, 2]))),
        ("one.npz", npz(np.float32([1, np.nan]))),
        ("one.npz", npz(np.float32([1, np.inf]))),
        ("one.png", b"<html>"),
        ("one.png", b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 30000, 30000) + bytes(9)),
        ("one.png", b"\x89PNG\r\n\x1a\n" + bytes(8) + struct.pack(">II", 0, 3) + bytes(9)),
        ("one.png", wide_png()),
    ],
)
def test_damage_is_one_error(tmp_path: Path, sample: GoldenSample, name: str, raw: bytes) -> None:
    write_golden(tmp_path, [sample])
    damage(tmp_path, name, raw)
    with pytest.raises(BundleError, match="golden set cannot be read") as caught:
        read_golden(tmp_path)
    assert caught.value.code == "E418"
    assert "\n" not in str(caught.value)


def test_names_stay_in_the_folder() -> None:
    table = {"samples": [{"name": "../../x", "input_sha256": "", "expected": {}}]}
    with pytest.raises(ValueError, match="unsafe file name"):
        parse_golden(lambda _: json.dumps(table).encode())


def window(*shape: int) -> bytes:
    file = io.BytesIO()
    np.savez(file, window=np.zeros(shape, np.float32), **{"fp32.values": np.zeros(1, np.float32)})
    return file.getvalue()


@pytest.mark.parametrize(
    ("spec", "given", "arrays"),
    [
        (QUARTERS, {}, npz(np.zeros(4, np.float32))),
        (QUARTERS, {"text": "a red ring"}, npz(np.zeros(4, np.float32))),
        (QUARTERS, {"pictures": 1, "text": "a"}, npz(np.zeros(4, np.float32))),
        (QUARTERS, {"pictures": 1}, window(3, 2)),
        (FADES, {"pictures": 2}, npz(np.zeros(2, np.float32))),
        (WARMTH, {}, npz(np.zeros(2, np.float32))),
        (LETTERS, {"text": ""}, npz(np.zeros(8, np.float32))),
        (HEAT, {}, npz(np.zeros(1, np.float32))),
        (HEAT, {}, window(4, 2)),
        (HEAT, {}, window(3, 2, 1)),
    ],
)
def test_what_is_given_is_what_the_task_takes(
    tmp_path: Path, sample: GoldenSample, spec: ModelSpec, given: object, arrays: bytes
) -> None:
    write_golden(tmp_path, [sample])
    damage(tmp_path, "golden.json", one_sample(given=given))
    damage(tmp_path, "one.npz", arrays)
    with pytest.raises(BundleError, match=f"a {spec.kind} takes ") as caught:
        parse_golden(lambda name: (tmp_path / name).read_bytes(), spec)
    assert caught.value.code == "E418"


def test_an_empty_text_is_a_text(tmp_path: Path) -> None:
    expected = {"fp32": Expected({"label": "cold"}, {"logits": np.zeros(2, np.float32)})}
    write_golden(tmp_path, [GoldenSample("one", Given(text=""), "", expected)])
    (found,) = parse_golden(lambda name: (tmp_path / name).read_bytes(), WARMTH)
    assert found.given.text == ""


TENSOR = ModelSpec(task="tensor")


def tensor_sample() -> GoldenSample:
    given = {"a:0": np.float32([[1, 2]]), "dir/n": np.array(3, np.int64), "file": np.array([True])}
    arrays = {"ids": np.array([2**40], np.int64), "y": np.zeros((1, 2), np.float64)}
    digest = tensor_sha256(given)
    return GoldenSample("one", Given(arrays=given), digest, {"fp32": Expected({}, arrays)})


def parsed(folder: Path, spec: ModelSpec) -> GoldenSample:
    (found,) = parse_golden(lambda name: (folder / name).read_bytes(), spec)
    return found


def test_arrays_of_a_tensor_model_keep_names_types_and_shapes(tmp_path: Path) -> None:
    wanted = tensor_sample()
    write_golden(tmp_path, [wanted])
    found = parsed(tmp_path, TENSOR)
    assert tensor_sha256(found.given.arrays) == found.input_sha256 == wanted.input_sha256
    for got, right in (
        (found.given.arrays, wanted.given.arrays),
        (found.expected["fp32"].arrays, wanted.expected["fp32"].arrays),
    ):
        assert list(got) == list(right)
        for name, array in right.items():
            assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(got[name], array)


def test_the_digest_of_several_inputs_knows_names_and_order() -> None:
    a, b = np.float32([1]), np.float32([2])
    digests = {tensor_sha256(t) for t in ({"a": a, "b": b}, {"b": b, "a": a}, {"a": b, "b": a})}
    assert len(digests) == 3


def test_a_tensor_model_needs_arrays_and_others_have_none(tmp_path: Path) -> None:
    write_golden(tmp_path, [tensor_sample()])
    for other in (HEAT, ModelSpec(task="tensor", image=ImageSpec(size_hw=(2, 2)))):
        with pytest.raises(BundleError, match="golden set cannot be read") as caught:
            parsed(tmp_path, other)
        assert caught.value.code == "E418"
