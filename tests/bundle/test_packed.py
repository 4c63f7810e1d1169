"""A packed bundle opens as its folder does, and no other zip file does."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgedl.bundle import Bundle, files, pack, packed
from edgedl.errors import BundleError, EdgedlError, IntegrityError
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify


@pytest.fixture
def zipped(tiny_bundle: Path) -> Path:
    out = tiny_bundle.with_name("tiny.edge.zip")
    pack(Bundle.open(tiny_bundle), out)
    return out


def rewritten(
    path: Path,
    change: Callable[[zipfile.ZipInfo], None] = lambda _: None,
    compression: int = zipfile.ZIP_STORED,
    more: tuple[tuple[str, bytes], ...] = (),
    leave_out: tuple[str, ...] = (),
) -> Path:
    """Write the members again, as another program might."""
    with zipfile.ZipFile(path) as old:
        members = [(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w") as new:
        for info, raw in members:
            if info.filename not in leave_out:
                change(info)
                new.writestr(info, raw, compress_type=compression)
        for name, raw in more:
            new.writestr(name, raw)
    return path


def refused(path: Path, code: str, says: str) -> None:
    with pytest.raises(EdgedlError) as caught:
        Bundle.open(path)
    assert (caught.value.code, says in str(caught.value)) == (code, True), caught.value
    assert "\n" not in str(caught.value)


def test_opens_as_its_folder_does(tiny_bundle: Path, zipped: Path) -> None:
    folder, file = Bundle.open(tiny_bundle), Bundle.open(str(zipped))
    assert file.manifest == folder.manifest
    assert all(file.read(name) == folder.read(name) for name in folder.manifest.files)
    assert [sample.name for sample in file.golden()] == ["one", "two", "three"]
    with pytest.raises(BundleError, match="has no file"):
        file.read("../secret")


def test_runs_in_place(tiny_bundle: Path, zipped: Path) -> None:
    before = sorted(zipped.parent.rglob("*"))
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    with load(tiny_bundle) as folder, load(zipped) as file:
        assert file(picture).text == folder(picture).text
    report = verify(str(zipped))
    report.check()
    assert [row.status for row in report.rows].count("PASS") == 3
    assert sorted(zipped.parent.rglob("*")) == before


def test_the_same_bundle_gives_the_same_bytes(
    tiny_bundle: Path, zipped: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_bundle, tmp_path / "elsewhere" / "other.edge"))
    os.utime(other / "vocab.json", (1e9, 1e9))
    (other / "vocab.json").chmod(0o600)
    pack(Bundle.open(other), tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes() == zipped.read_bytes()
    pack(Bundle.open(zipped), tmp_path / "c.zip")
    assert (tmp_path / "c.zip").read_bytes() == zipped.read_bytes()


def test_is_a_plain_zip_that_any_program_opens(tiny_bundle: Path, zipped: Path) -> None:
    with zipfile.ZipFile(zipped) as archive:
        names = archive.namelist()
        assert names == ["manifest.json", *sorted(names[1:])]
        assert archive.testzip() is None
        for info in archive.infolist():
            assert (info.compress_type, info.date_time[0]) == (zipfile.ZIP_STORED, 1980)
            assert info.external_attr >> 16 == stat.S_IFREG | 0o644
            assert archive.read(info) == (tiny_bundle / info.filename).read_bytes()


def test_what_is_there_is_kept(tiny_bundle: Path, zipped: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    with pytest.raises(BundleError, match=r"exists; choose another name, or replace it") as caught:
        pack(bundle, zipped)
    assert caught.value.code == "E432"
    zipped.write_bytes(b"PK\x03\x04 old")
    pack(bundle, zipped, force=True)
    assert Bundle.open(zipped).manifest == bundle.manifest
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(BundleError, match=r"is no packed bundle, so it is never replaced"):
        pack(bundle, tmp_path / "notes", force=True)
    assert (tmp_path / "notes").read_text() == "mine"
    with pytest.raises(BundleError, match=r"is a folder; a packed bundle is one file") as caught:
        pack(bundle, tiny_bundle, force=True)
    assert caught.value.code == "E433"
    with pytest.raises(
        BundleError, match=r"No such file or directory; choose another place"
    ) as caught:
        pack(bundle, tmp_path / "no" / "x.zip")
    assert caught.value.code == "E431"


def test_nothing_is_left_of_a_packing_that_fails(tiny_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    (tiny_bundle / "vocab.json").write_text("{}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError):
        pack(bundle, tmp_path / "x.zip")
    assert sorted(tmp_path.iterdir()) == before


def test_a_manifest_that_changed_meanwhile(tiny_bundle: Path, relist: Callable[..., None]) -> None:
    bundle = Bundle.open(tiny_bundle)
    relist(tiny_bundle, name="another")
    with pytest.raises(IntegrityError, match=r"manifest.json is not what"):
        pack(bundle, tiny_bundle.with_name("x.zip"))


def test_too_large_for_one_file(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    with pytest.raises(BundleError, match=r"a packed bundle at most .* send the folder") as caught:
        pack(Bundle.open(tiny_bundle), tiny_bundle.with_name("x.zip"))
    assert caught.value.code == "E406"
    assert not tiny_bundle.with_name("x.zip").exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../evil.json", "E405"),
        ("/etc/passwd", "E405"),
        ("a\\b.json", "E405"),
        ("folder/", "E405"),
        ("manifest.json/x", "E404"),
        ("notes.txt", "E404"),
        ("vocab.json", "E405"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_that_do_not_belong(zipped: Path, name: str, code: str) -> None:
    path = rewritten(zipped, more=((name, b"{}"),))
    refused(path, code, name.strip("/").split("\\")[0])
    refused(path, code, str(path))


def test_links_and_compression(zipped: Path) -> None:
    raw = zipped.read_bytes()

    def make_link(info: zipfile.ZipInfo) -> None:
        if info.filename == "vocab.json":
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    refused(rewritten(zipped, make_link), "E405", "vocab.json: it is not a regular file")
    zipped.write_bytes(raw)
    refused(rewritten(zipped, compression=zipfile.ZIP_DEFLATED), "E405", "it is compressed")
    zipped.write_bytes(raw)
    refused(rewritten(zipped, leave_out=("vocab.json",)), "E403", "vocab.json is missing")
    zipped.write_bytes(raw)
    refused(rewritten(zipped, leave_out=("manifest.json",)), "E400", "manifest.json is missing")


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("photo.jpg", b"")
    refused(tmp_path / "x.zip", "E400", "found photo.jpg; make it with: edgedl pack BUNDLE")
    (tmp_path / "y.zip").write_bytes(b"no zip")
    refused(tmp_path / "y.zip", "E400", "a file of 6 bytes, not a folder or a packed bundle")


def test_every_cut_is_noticed(zipped: Path) -> None:
    raw = zipped.read_bytes()
    for keep in (4, 30, 1000, len(raw) // 2, len(raw) - 23, len(raw) - 22, len(raw) - 1):
        zipped.write_bytes(raw[:keep])
        refused(zipped, "E402", "copy it again")
    zipped.write_bytes(raw + b"\0")
    refused(zipped, "E402", "copy it again")


def test_every_flipped_bit_is_noticed(zipped: Path) -> None:
    raw = zipped.read_bytes()
    rng = np.random.default_rng(3)
    directory = struct.unpack("<L", raw[-6:-2])[0]
    places = [*rng.integers(0, directory, 30), *rng.integers(directory, len(raw), 60)]
    before = Bundle.open(zipped)
    for place in map(int, places):
        wrong = bytearray(raw)
        wrong[place] ^= 1 << int(rng.integers(8))
        zipped.write_bytes(wrong)
        with contextlib.suppress(EdgedlError):
            opened = Bundle.open(zipped)  # a time or a right changed, nothing of the content
            assert all(opened.read(name) == before.read(name) for name in opened.manifest.files)


@pytest.mark.parametrize(("count", "size"), [(600, 46), (3, 1 << 20)])
def test_a_list_of_members_that_is_too_long_is_not_read(
    zipped: Path, count: int, size: int
) -> None:
    raw = zipped.read_bytes()
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, 0, 0)
    zipped.write_bytes(raw[:-22] + end)
    refused(zipped, "E406", "at most 512")


def test_a_zip64_is_not_read(zipped: Path) -> None:
    raw = zipped.read_bytes()
    locator, size = b"PK\x06\x07" + bytes(16), struct.unpack("<L", raw[-10:-6])[0]
    end = raw[-22:-10] + struct.pack("<L", size + len(locator)) + raw[-6:]
    zipped.write_bytes(raw[:-22] + locator + end)
    refused(zipped, "E402", "no packed bundle as edgedl writes it")


def test_members_that_overlap(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("manifest.json", bytes(1000))
    raw = made.getvalue()
    start = struct.unpack("<L", raw[-6:-2])[0]
    entry = raw[start:-22]
    other = entry.replace(b"manifest.json", b"nanifest.json")
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 2, 2, 2 * len(entry), start, 0)
    (tmp_path / "x.zip").write_bytes(raw[:start] + entry + other + end)
    refused(tmp_path / "x.zip", "E405", "its members overlap")


def test_limits(zipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_TOTAL_BYTES", 1000)
    refused(zipped, "E406", "holds more than 1000 bytes")
    monkeypatch.setattr(packed, "MAX_PACKED_BYTES", 1000)
    refused(zipped, "E406", "a packed bundle has at most 1000")
    assert files.MAX_FILES == packed.MAX_FILES


def test_a_packed_bundle_that_is_exchanged_after_opening(zipped: Path) -> None:
    bundle = Bundle.open(zipped)
    rewritten(zipped, leave_out=("vocab.json",), more=(("vocab.json", b"{}"),))
    with pytest.raises(IntegrityError, match=r"vocab.json is not what the manifest says"):
        bundle.read("vocab.json")
    zipped.unlink()
    with pytest.raises(BundleError, match=r"cannot be read") as caught:
        bundle.read("vocab.json")
    assert caught.value.code == "E403"
