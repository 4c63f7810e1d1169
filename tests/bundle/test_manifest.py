"""A manifest is read strictly, and notices every change of itself."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedl.bundle.manifest import Manifest
from edgedl.errors import BundleError, EdgedlError, IntegrityError

ENGINE = {"target": "rtx-1.7", "role": "step", "file": "graphs/step.fp32.onnx"}


@pytest.fixture(scope="module")
def raw(tiny_bundle_master: Path) -> bytes:
    return (tiny_bundle_master / "manifest.json").read_bytes()


def signed(table: dict[str, Any]) -> bytes:
    """Return a manifest of any content whose digest is right."""
    text = json.dumps({**table, "digest": "0" * 64})
    return text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()).encode()


def changed(raw: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    table = json.loads(raw)
    table["parent"]["sha256"] = "1" * 64  # so that the only zeros are the digest's
    change(table)
    return signed(table)


def test_round_trip(raw: bytes) -> None:
    manifest = Manifest.parse(raw)
    assert manifest.to_json().encode() == raw
    assert manifest.image_spec.size_hw == (8, 8)
    assert manifest.graphs[0].inputs[0].shape == ("N", 3, 8, 8)
    assert manifest.precisions["fp32"].quality["n"] == 100


def test_every_flipped_byte_is_noticed(raw: bytes) -> None:
    codes = set()
    for at in range(len(raw)):
        damaged = bytearray(raw)
        damaged[at] ^= 1
        with pytest.raises(EdgedlError) as caught:
            Manifest.parse(bytes(damaged))
        codes.add(caught.value.code)
    assert codes <= {"E401", "E402"}


def test_every_cut_is_noticed(raw: bytes) -> None:
    for size in range(len(raw)):
        with pytest.raises(EdgedlError):
            Manifest.parse(raw[:size])


def test_a_changed_number_is_an_integrity_error(raw: bytes) -> None:
    with pytest.raises(IntegrityError, match="changed after it was written") as caught:
        Manifest.parse(raw.replace(b'"exact": 0.9', b'"exact": 1.0'))
    assert (caught.value.code, caught.value.exit_code) == ("E402", 6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>",
        "[]",
        "{}",
        '{"schema": NaN}',
        '{"schema": -Infinity}',
        '{"schema": 1e400}',
        '{"schema": -1e400}',
        f'{{"schema": {10**400}}}',
        f'{{"schema": {"9" * 5000}}}',
        '{"schema": 1, "schema": 1}',
        "[" * 99999,
    ],
)
def test_not_a_manifest(text: str) -> None:
    with pytest.raises(BundleError) as caught:
        Manifest.parse(text.encode())
    assert (caught.value.code, caught.value.exit_code) == ("E401", 4)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", str(10**400).encode(), b"Infinity"])
def test_numbers_that_no_float_can_hold(raw: bytes, number: bytes) -> None:
    wrong = raw.replace(b'"exact": 0.9', b'"exact": ' + number, 1)
    digest = re.search(rb'"digest": "(.{64})"', wrong)[1]
    zeros = hashlib.sha256(wrong.replace(digest, b"0" * 64)).hexdigest().encode()
    with pytest.raises(BundleError, match="is no number that can be used") as caught:
        Manifest.parse(wrong.replace(digest, zeros))
    assert caught.value.code == "E401"


def test_not_utf8() -> None:
    with pytest.raises(BundleError, match="not JSON"):
        Manifest.parse(b"\xff\xfe")


def test_from_the_future(raw: bytes) -> None:
    future = changed(raw, lambda t: t.update(schema=2, edgedl="3.1.0", new_key=1))
    with pytest.raises(BundleError, match=r"schema 2.*needs edgedl >= 3\.1\.0") as caught:
        Manifest.parse(future)
    assert caught.value.code == "E401"


def test_a_kind_of_the_future(raw: bytes) -> None:
    with pytest.raises(BundleError, match=r"kind 'detector'.*needs edgedl >= "):
        Manifest.parse(changed(raw, lambda t: t.update(kind="detector")))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.update(grafs=[]), "unknown key 'grafs'; did you mean 'graphs'"),
        (lambda t: t.pop("files"), "key 'files' is missing"),
        (lambda t: t.update(name=3), "name must be str"),
        (lambda t: t.update(schema=True), "schema must be int"),
        (lambda t: t["decode"].update(max_tokens=0), "max_tokens must be in 1..1000"),
        (lambda t: t["image_spec"].update(std=[0, 1, 1]), "std must be > 0"),
        (lambda t: t["files"].pop("vocab.json"), "does not list 'vocab.json'"),
        (lambda t: t["files"]["vocab.json"].update(sha256="x"), "64 hex digits"),
        (lambda t: t["files"]["vocab.json"].update(size_bytes=-1), "size >= 0"),
        (lambda t: t["graphs"].pop(), "precision 'int8-cpu' has graphs"),
        (lambda t: t["precisions"].pop("fp32"), "precision 'fp32' has graphs"),
        (lambda t: t.update(precisions={}, graphs=[]), "no precisions"),
        (lambda t: t["refused"][0].update(precision="[/red]"), "the precision '.*/red"),
        (lambda t: t.update(engines=[{**ENGINE, "precision": "\x1b"}]), r"precision '.x1b'"),
        (lambda t: t["graphs"][0]["inputs"][0].update(shape=[1.5]), r"shape\[0\] must be int"),
        (lambda t: t["precisions"]["fp32"]["quality"].update(exact="good"), "must be int"),
    ],
)
def test_wrong_content_names_the_key(
    raw: bytes, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(BundleError, match=says) as caught:
        Manifest.parse(changed(raw, change))
    assert caught.value.code == "E401"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a\0b", "a/../../b"])
def test_unsafe_names_are_refused(raw: bytes, name: str) -> None:
    record = {"sha256": "1" * 64, "size_bytes": 1}
    with pytest.raises(IntegrityError) as caught:
        Manifest.parse(changed(raw, lambda t: t["files"].update({name: record})))
    assert (caught.value.code, caught.value.exit_code) == ("E405", 6)


def test_limits(raw: bytes) -> None:
    large = {"sha256": "1" * 64, "size_bytes": 5 << 30}
    with pytest.raises(BundleError) as caught:
        Manifest.parse(changed(raw, lambda t: t["files"].update(large=large)))
    assert caught.value.code == "E406"
    many = {f"f{i}": {"sha256": "1" * 64, "size_bytes": 1} for i in range(600)}
    with pytest.raises(BundleError, match="at most 512 files") as caught:
        Manifest.parse(changed(raw, lambda t: t["files"].update(many)))
    assert caught.value.code == "E406"


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values())) if value else set()
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


def test_the_specification_names_every_key(raw: bytes) -> None:
    text = (Path(__file__).parents[2] / "docs" / "bundle.md").read_text()
    table = json.loads(raw)
    for free in ("files", "versions", "machine"):
        table[free] = {}
    for graph in table["graphs"]:
        graph["operators"] = {}
    free_names = {"onnxruntime"}
    missing = {key for key in keys_of(table) - free_names if f"`{key}`" not in text}
    assert missing == set()
