"""Pictures in folders, archives and lists: found, placed in their splits, decoded."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedl.data import image_folder
from edgedl.data.image_folder import (
    Item,
    archives,
    checked,
    is_archive,
    read_archive,
    read_folder,
    read_list,
)
from edgedl.data.picture_list import Encoded, decode
from edgedl.data.problems import Problems
from edgedl.errors import DataError


def picture(seed=0, size_hw=(6, 8)):
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), np.uint8)


def png(seed=0, size_hw=(6, 8)):
    return cv2.imencode(".png", picture(seed, size_hw))[1].tobytes()


def write_files(folder, files):
    for name, raw in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(raw)
    return folder


def write_archive(path, files):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, raw in files.items():
                file.writestr(name, raw)
        return path
    kind = path.suffix.lstrip(".")
    with tarfile.open(path, f"w:{kind if kind in ('gz', 'bz2', 'xz') else ''}") as file:
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            file.addfile(member, io.BytesIO(raw))
    return path


def placed(items):
    return sorted((item.split, item.label) for item in items)


FILES = {"cat/1.png": png(1), "cat/2.jpg": png(2), "dog/1.PNG": png(3)}


# folders


def test_a_class_is_a_folder(tmp_path):
    problems = Problems()
    items = read_folder(write_files(tmp_path, FILES), problems)
    assert problems.found == []
    assert placed(items) == [("", "cat"), ("", "cat"), ("", "dog")]
    assert [item.where for item in items] == [
        str(tmp_path / name) for name in ("cat/1.png", "cat/2.jpg", "dog/1.PNG")
    ]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("test", "test"),
        ("testing", "test"),
    ],
)
def test_a_split_is_a_folder_of_classes(tmp_path, name, split):
    write_files(tmp_path / name, FILES)
    items = read_folder(tmp_path, Problems())
    assert placed(items) == [(split, "cat"), (split, "cat"), (split, "dog")]


def test_a_class_may_be_called_train(tmp_path):
    write_files(tmp_path, {"train/1.png": png(), **FILES})
    assert set(placed(read_folder(tmp_path, Problems()))) == {
        ("", "cat"),
        ("", "dog"),
        ("", "train"),
    }


def test_splits_without_classes_are_no_classes(tmp_path):
    write_files(tmp_path, {"train/1.png": png(), "test/1.png": png(1), "notes/a.txt": b"x"})
    assert read_folder(tmp_path, Problems()) == []


def test_deeper_folders_belong_to_their_class(tmp_path):
    write_files(tmp_path, {"cat/indoors/night/1.png": png(), **FILES})
    assert placed(read_folder(tmp_path, Problems())).count(("", "cat")) == 3


def test_hidden_and_other_files_are_passed_over(tmp_path):
    others = {
        "cat/notes.txt": b"x",
        "cat/._1.png": b"what a Mac leaves behind",
        "cat/.thumbs/1.png": png(),
        ".cache/1.png": png(),
        "_old/1.png": png(),
        "readme.png": png(),
    }
    items = read_folder(write_files(tmp_path, {**FILES, **others}), Problems())
    assert placed(items) == [("", "cat"), ("", "cat"), ("", "dog")]


def test_an_underscore_hides_no_picture(tmp_path):
    write_files(tmp_path, {"cat/_MG_0001.jpg": png()})
    assert placed(read_folder(tmp_path, Problems())) == [("", "cat")]


def test_pictures_of_formats_that_are_not_read_are_told(tmp_path, caplog):
    unread = {"cat/a.HEIC": b"x", "cat/old/b.heic": b"x", "dog/c.gif": b"x", "dog/.d.gif": b"x"}
    write_files(tmp_path, {**FILES, **unread, "dog/Thumbs.db": b"x"})
    assert len(read_folder(tmp_path, Problems())) == 3
    (told,) = caplog.messages
    assert "passed over 3 pictures of formats that are not read: 2 × .heic, 1 × .gif" in told


def test_nothing_is_told_of_files_that_are_no_pictures(tmp_path, caplog):
    read_folder(write_files(tmp_path, {**FILES, "cat/Thumbs.db": b"x"}), Problems())
    assert caplog.messages == []


def test_an_empty_class_is_a_problem(tmp_path):
    write_files(tmp_path, FILES)
    (tmp_path / "emu").mkdir()
    problems = Problems()
    read_folder(tmp_path, problems)
    (problem,) = problems.found
    assert problem.where == str(tmp_path / "emu")
    assert problem.why == "empty class: the folder has no picture"


# archives


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", "zip"])
def test_archives_hold_what_folders_hold(tmp_path, ending):
    path = tmp_path / f"photos.{ending}"
    assert is_archive(path)
    write_archive(path, {f"photos/train/{name}": raw for name, raw in FILES.items()})
    problems = Problems()
    items = read_archive(path, problems)
    assert problems.found == []
    assert placed(items) == [("train", "cat"), ("train", "cat"), ("train", "dog")]
    assert items[0].source == FILES["cat/1.png"]
    assert items[0].where == f"{path}:photos/train/cat/1.png"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_archives_of_a_folder(tmp_path):
    write_files(tmp_path, {"b.zip": b"", "a.tar.gz": b"", "c.txt": b"", ".d.zip": b""})
    (tmp_path / "e.zip").mkdir()
    assert [file.name for file in archives(tmp_path)] == ["a.tar.gz", "b.zip"]


@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_names_in_an_archive_lead_nowhere(tmp_path, ending):
    inside = tmp_path / "inside"
    inside.mkdir()
    files = {
        "../../cat/out.png": png(1),
        "/cat/root.png": png(2),
        "../up.png": png(3),
        "/top.png": png(4),
        "flat.png": png(5),
        "./dog/1.png": png(6),
    }
    path = write_archive(inside / f"a.{ending}", files)
    problems = Problems()
    items = read_archive(path, problems)
    assert placed(items) == [("", "cat"), ("", "cat"), ("", "dog")]
    assert {problem.where for problem in problems.found} == {
        f"{path}:{name}" for name in ("../up.png", "/top.png", "flat.png")
    }
    assert {p.why for p in problems.found} == {"wrong place: CLASS/file is expected"}
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def write_zip(path, files, encoding):
    """Write a ZIP whose names do not say how they are encoded."""

    class Info(zipfile.ZipInfo):
        def _encodeFilenameFlags(self):  # noqa: N802 - zipfile asks it
            return self.filename.encode(encoding), 0

    with zipfile.ZipFile(path, "w") as file:
        for name, raw in files.items():
            info = Info()
            info.filename = name
            file.writestr(info, raw)
    return path


@pytest.mark.parametrize(("encoding", "other"), [("utf-8", "房间"), ("cp437", "Vögel")])
def test_a_zip_of_other_systems(tmp_path, encoding, other):
    names = [r"photos\Kätzchen\1.png", rf"photos\{other}\2.png", "photos/Kätzchen/3.png"]
    path = write_zip(tmp_path / "a.zip", {name: png() for name in names}, encoding)
    problems = Problems()
    items = read_archive(path, problems)
    assert [item.label for item in items] == ["Kätzchen", other, "Kätzchen"]
    assert problems.found == []


def test_a_split_without_classes_is_a_problem(tmp_path):
    path = write_archive(tmp_path / "a.tar", {"train/1.png": png(), **FILES})
    problems = Problems()
    assert len(read_archive(path, problems)) == 3
    (problem,) = problems.found
    assert problem.where == f"{path}:train/1.png"
    assert problem.why == "wrong place: SPLIT/CLASS/file is expected"


def test_links_in_an_archive_are_not_followed(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as file:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            member = tarfile.TarInfo(f"cat/{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/hostname"
            file.addfile(member)
    assert read_archive(path, Problems()) == []


def test_hidden_files_of_an_archive_are_passed_over(tmp_path):
    others = {"__MACOSX/cat/._1.png": b"x", "cat/.thumbs/1.png": png(), "cat/a.txt": b"x"}
    path = write_archive(tmp_path / "a.zip", {**FILES, **others})
    assert len(read_archive(path, Problems())) == 3


@pytest.mark.parametrize("limit", ["MAX_PICTURE_BYTES", "MAX_ARCHIVE_BYTES"])
@pytest.mark.parametrize("ending", ["tar.gz", "zip"])
def test_too_large_to_be_read(tmp_path, monkeypatch, ending, limit):
    files = {"cat/1.png": png(), "dog/large.png": bytes(50_000)}
    path = write_archive(tmp_path / f"a.{ending}", files)
    monkeypatch.setattr(image_folder, limit, 10_000)
    problems = Problems()
    assert placed(read_archive(path, problems)) == [("", "cat")]
    (problem,) = problems.found
    assert problem.where == f"{path}:dog/large.png"
    assert problem.why == "too large: 50000 bytes"


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_cut_archive_is_one_clear_error(tmp_path, ending):
    files = {f"cat/{i}.png": png(i, (60, 60)) for i in range(3)}
    path = write_archive(tmp_path / f"a.{ending}", files)
    raw = path.read_bytes()
    for part in (0.0, 0.3, 0.6, 0.75):
        path.write_bytes(raw[: int(len(raw) * part)])
        with pytest.raises(DataError, match=r"(?s)cannot be read: .*; load it again") as err:
            read_archive(path, Problems())
        assert err.value.code == "E356"
        assert str(path) in str(err.value)


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_flipped_byte_is_one_clear_error(tmp_path, ending):
    """Where packing has a checksum, all pictures come out as they went in, or none does."""
    path = write_archive(tmp_path / f"a.{ending}", FILES)
    raw, rng = path.read_bytes(), random.Random(0)
    found = set()
    for _ in range(60):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            items = read_archive(path, Problems())
        except DataError as err:
            found.add(err.code)
        else:
            assert {item.source for item in items} <= set(FILES.values())
    assert found == {"E356"}


def test_a_damaged_header_does_not_end_the_archive(tmp_path):
    path = write_archive(tmp_path / "a.tar", FILES)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"dog/1.PNG")
    raw[at] ^= 0x01
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match=f"the header at byte {at} is damaged") as err:
        read_archive(path, Problems())
    assert err.value.code == "E356"


@pytest.mark.parametrize(
    ("mark", "text"), [(b"PK\x01\x02", "encrypted, password"), (b"", "compression method")]
)
def test_a_zip_that_cannot_be_unpacked(tmp_path, mark, text):
    path = write_archive(tmp_path / "a.zip", {"cat/1.png": png()})
    raw = bytearray(path.read_bytes())
    directory, local = raw.index(b"PK\x01\x02"), raw.index(b"PK\x03\x04")
    if mark:
        raw[directory + 8] |= 1
        raw[local + 6] |= 1
    else:
        raw[directory + 10] = 77
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match=text) as err:
        read_archive(path, Problems())
    assert err.value.code == "E356"
    assert "unpack it to a folder" in str(err.value)


# lists


def write_list(folder, text):
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def test_a_list_of_paths(tmp_path):
    write_files(tmp_path, FILES)
    path = write_list(tmp_path, "label;path;split\ncat;cat/1.png;train\ndog; dog/1.PNG ;Valid\n")
    problems = Problems()
    items = read_list(path, problems)
    assert problems.found == []
    assert [(item.split, item.label, item.source) for item in items] == [
        ("train", "cat", tmp_path / "cat/1.png"),
        ("val", "dog", tmp_path / "dog/1.PNG"),
    ]


def test_a_list_without_splits(tmp_path):
    items = read_list(write_list(tmp_path, "path,label\na.png,cat\n"), Problems())
    assert items[0].split == ""


def test_a_list_made_on_windows(tmp_path):
    write_files(tmp_path, FILES)
    path = write_list(tmp_path, "path,label\ncat\\1.png,cat\ndog\\none.png,dog\n")
    items = read_list(path, Problems())
    assert [item.source for item in items] == [tmp_path / "cat/1.png", tmp_path / "dog/none.png"]


def test_bad_rows_of_a_list(tmp_path):
    text = (
        "path,label,split\na.png,cat,train\nb.png,cat\nc.png,,test\nd.png,dog,later\n"
        ",cat,train\none,two.png,cat,train\n"
    )
    path, problems = write_list(tmp_path, text), Problems()
    assert len(read_list(path, problems)) == 1
    assert [(problem.where, problem.why) for problem in problems.found] == [
        (f"{path}:3", "2 cells where the header has 3"),
        (f"{path}:4", "label is empty"),
        (f"{path}:5", "split is 'later', not train, val or test"),
        (f"{path}:6", "path is empty"),
        (f"{path}:7", "4 cells where the header has 3"),
    ]


def test_a_list_without_a_column(tmp_path):
    path = write_list(tmp_path, "path,lable\na.png,cat\n")
    with pytest.raises(DataError, match="has no column 'label'; did you mean 'lable'") as err:
        read_list(path, Problems())
    assert err.value.code == "E359"


# decoding


def items_of(folder):
    return read_folder(folder, Problems())


def test_pictures_of_one_size_are_one_array(tmp_path):
    items = items_of(write_files(tmp_path, {f"cat/{i}.png": png(i) for i in range(3)}))
    splits = checked(items, ["ant", "cat"], Problems())
    np.testing.assert_array_equal(splits[""].pictures, [picture(i) for i in range(3)])
    assert splits[""].labels.tolist() == [1, 1, 1]
    assert splits[""].names == [str(tmp_path / f"cat/{i}.png") for i in range(3)]


def test_pictures_of_several_sizes_stay_encoded(tmp_path):
    sizes = [(6, 8), (5, 4), (6, 8)]
    files = {f"cat/{i}.png": png(i, size) for i, size in enumerate(sizes)}
    splits = checked(items_of(write_files(tmp_path, files)), ["cat"], Problems())
    assert isinstance(splits[""].pictures, Encoded)
    for i, size in enumerate(sizes):
        np.testing.assert_array_equal(splits[""].pictures[i], picture(i, size))


def test_too_much_for_memory_stays_encoded(tmp_path, monkeypatch):
    items = items_of(write_files(tmp_path, {f"cat/{i}.png": png(i) for i in range(3)}))
    monkeypatch.setattr(image_folder, "MAX_ARRAY_BYTES", 2 * picture().nbytes)
    splits = checked(items, ["cat"], Problems())
    assert isinstance(splits[""].pictures, Encoded)
    np.testing.assert_array_equal(splits[""].pictures[2], picture(2))


def test_what_is_no_picture_is_told_and_the_rest_is_used(tmp_path, monkeypatch):
    files = {
        "cat/good.png": png(),
        "cat/empty.png": b"",
        "cat/text.png": b"this is no picture",
        "cat/cut.jpg": cv2.imencode(".jpg", picture())[1].tobytes()[:20],
        "cat/large.png": bytes(50_000),
        "cat/wide.png": png(0, (1, 8193)),
        "cat/widest.png": png(0, (1, 8192)),
        "cat/phone.jpg": b"\0\0\0\x24ftypheic" + bytes(99),
        "cat/gone.png": png(),
    }
    monkeypatch.setattr(image_folder, "MAX_PICTURE_BYTES", 40_000)
    items = items_of(write_files(tmp_path, files))
    (tmp_path / "cat/gone.png").unlink()
    problems = Problems()
    splits = checked(items, ["cat"], problems)
    assert {problem.where: problem.why for problem in problems.found} == {
        str(tmp_path / "cat" / name): why
        for name, why in {
            "empty.png": "zero size: the file is empty",
            "text.png": "corrupt: it cannot be decoded",
            "cut.jpg": "corrupt: it cannot be decoded",
            "large.png": "too large: 50000 bytes",
            "wide.png": "too large: 8193 x 1 pixels; its sides may have 8192",
            "phone.jpg": "HEIC: save it as JPEG",
            "gone.png": "missing: there is no such file",
        }.items()
    }
    assert splits[""].names == [str(tmp_path / "cat" / name) for name in ("good.png", "widest.png")]


def test_what_cannot_be_opened_is_told_as_that(tmp_path):
    items = [Item("a", "", "cat", write_files(tmp_path, FILES) / "cat")]
    problems = Problems()
    assert checked(items, ["cat"], problems) == {}
    assert [one.why for one in problems.found] == ["unreadable: Is a directory"]


def test_what_goes_while_it_is_checked_is_told(tmp_path, monkeypatch):
    """Between the first look at a file and the second."""
    write_files(tmp_path, FILES)
    monkeypatch.setattr(image_folder, "_problem", lambda item: item.source.unlink() or "")
    problems = Problems()
    assert checked(items_of(tmp_path), ["cat", "dog"], problems) == {}
    assert {one.why for one in problems.found} == {"unreadable: No such file or directory"}


def test_no_file_has_a_zero_byte_in_its_name():
    problems = Problems()
    assert checked([Item("a", "", "cat", Path("a\0.png"))], ("cat", "dog"), problems) == {}
    assert [one.why for one in problems.found] == ["missing: there is no such file"]


def test_an_empty_picture_in_an_archive(tmp_path):
    path, problems = write_archive(tmp_path / "a.tar", {"cat/1.png": b""}), Problems()
    assert checked(read_archive(path, problems), ["cat"], problems) == {}
    assert problems.found[0].why == "zero size: the file is empty"


@pytest.mark.parametrize("sizes", [[(6, 8), (5, 4)], [(6, 8), (6, 8)]])
def test_opening_again_decodes_no_more_than_it_has_to(tmp_path, monkeypatch, sizes):
    """Photos are large: to decode them is what opening takes."""
    decoded = []
    monkeypatch.setattr(
        image_folder, "decode", lambda source: decoded.append(source) or decode(source)
    )
    files = {f"cat/{i}.png": png(i, size) for i, size in enumerate(sizes)}
    items = items_of(write_files(tmp_path, files))
    first = checked(items, ["cat"], Problems())[""]
    assert sorted(decoded) == [item.source for item in items]
    again = checked(items, ["cat"], Problems())[""]
    assert len(decoded) == len(items)
    for i in range(2):
        assert again.digest(i) == first.digest(i)
        np.testing.assert_array_equal(again.pictures[i], picture(i, sizes[i]))


def test_a_file_that_changed_is_looked_at_again(tmp_path):
    path = tmp_path / "cat/1.png"
    write_files(tmp_path, {"cat/1.png": png(1)})
    first = checked(items_of(tmp_path), ["cat"], Problems())[""]
    path.write_bytes(png(2, (5, 4)))
    now = checked(items_of(tmp_path), ["cat"], Problems())[""]
    assert first.facts(0).shape == (6, 8, 3)
    assert now.facts(0).shape == (5, 4, 3)
    path.write_bytes(b"no picture")
    problems = Problems()
    assert checked(items_of(tmp_path), ["cat"], problems) == {}
    assert [one.why for one in problems.found] == ["corrupt: it cannot be decoded"]
