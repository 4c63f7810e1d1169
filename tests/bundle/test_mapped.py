"""Files used where they lie, checked as those that are read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgedl.bundle import Bundle, pack
from edgedl.bundle.mapped import map_file
from edgedl.errors import BundleError, EdgedlError


def mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return map_file(file)


def test_bytes_outlive_the_name_of_their_file(tmp_path: Path) -> None:
    path, other = tmp_path / "x", tmp_path / "y"
    path.write_bytes(b"before" * 5000)
    raw = mapped(path)
    assert str(path) in Path("/proc/self/maps").read_text()
    other.write_bytes(b"after")
    other.replace(path)
    assert raw == b"before" * 5000
    assert raw.readonly
    path.unlink()
    assert raw[-6:] == b"before"


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    assert mapped(tmp_path / "x") == b""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_mapped_is_what_is_read(tiny_bundle: Path, kind: str) -> None:
    bundle = Bundle.open(tiny_bundle)
    if kind == "file":
        pack(bundle, tiny_bundle.with_name("x.zip"))
        bundle = Bundle.open(tiny_bundle.with_name("x.zip"))
    for name in bundle.manifest.files:
        raw = bundle.map(name)
        assert raw == bundle.read(name)
        assert np.frombuffer(raw, np.uint8).ctypes.data % 64 == 0
    with pytest.raises(BundleError, match="has no file"):
        bundle.map("../secret")


def refusal(bundle: Bundle, name: str) -> str:
    with pytest.raises(EdgedlError) as caught:
        bundle.map(name)
    assert "\n" not in str(caught.value)
    return f"{caught.value.code} {caught.value}"


def damages(raw: bytes) -> dict[str, bytes]:
    return {
        f"expected {len(raw)} bytes, got {len(raw) - 1}": raw[:-1],
        f"expected {len(raw)} bytes, got {len(raw) + 1}": raw + b"!",
        f"expected {len(raw)} bytes, got 0": b"",
        "a sha256 that differs": bytes([raw[0] ^ 1]) + raw[1:],
    }


def test_a_file_that_changes_after_opening(tiny_bundle: Path) -> None:
    bundle, name = Bundle.open(tiny_bundle), "graphs/step.fp32.onnx"
    for says, wrong in damages(bundle.read(name)).items():
        (tiny_bundle / name).write_bytes(wrong)
        assert says in (told := refusal(bundle, name))
        assert told.startswith("E402")
    (tiny_bundle / name).unlink()
    assert "E403" in refusal(bundle, name)
    (tiny_bundle / name).symlink_to(tiny_bundle / "vocab.json")
    assert "E403" in refusal(bundle, name)


def test_a_packed_bundle_that_changes_after_opening(tiny_bundle: Path) -> None:
    path, name = tiny_bundle.with_name("x.zip"), "graphs/step.fp32.onnx"
    pack(Bundle.open(tiny_bundle), path)
    bundle = Bundle.open(path)
    whole, raw = path.read_bytes(), bundle.read(name)
    at = whole.index(raw)
    lengths = whole.rindex(name.encode(), 0, at) - 4  # of its name and of extra fields
    for where, wrong in (
        (at, bytes([raw[0] ^ 1])), (lengths, b"\xff\xff"), (lengths + 2, b"\xff\xff"),
    ):  # fmt: skip
        path.write_bytes(whole[:where] + wrong + whole[where + len(wrong) :])
        assert refusal(bundle, name).startswith("E402")
    path.write_bytes(whole[: at + 9])
    assert refusal(bundle, name).startswith("E402")
    for says, wrong in damages(raw).items():
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, wrong)
        assert says in (told := refusal(bundle, name))
        assert told.startswith("E402")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vocab.json", b"{}")
    assert refusal(bundle, name).startswith("E403")
