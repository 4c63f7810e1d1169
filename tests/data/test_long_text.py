"""A long text is split by position; what is not UTF-8 is found."""

import hashlib
import os
import re
from pathlib import Path

import pytest

from edgedl.data import text as text_module
from edgedl.data.text import TextOptions, open_text, read_utf8
from edgedl.errors import ConfigError, DataError

TEXT = "".join(f"Zeile {i}: äöü, naïve, 日本.\n" for i in range(200))


RAW = TEXT.encode()


def written(folder, raw=RAW, name="a.txt"):
    (folder / name).write_bytes(raw)
    return folder / name


def opened(path, **options):
    return open_text(TextOptions(path=str(path), **options))


def test_parts_follow_each_other(tmp_path):
    data = opened(written(tmp_path), val_part=0.2, test_part=0.1)
    assert list(data.splits) == ["train", "val", "test"]
    assert "".join(data.splits.values()) == TEXT
    for name, part in (("train", 0.7), ("val", 0.2), ("test", 0.1)):
        assert abs(len(data.splits[name]) - part * len(TEXT)) <= 1


def test_parts_that_are_not_asked_for_are_not_there(tmp_path):
    assert list(opened(written(tmp_path), test_part=0).splits) == ["train"]
    assert list(opened(written(tmp_path)).splits) == ["train", "test"]
    assert list(opened(written(tmp_path), val_part=0.5, test_part=0.5).splits) == ["val", "test"]


def test_facts_count_characters_not_bytes(tmp_path):
    data = opened(written(tmp_path))
    assert data.facts["characters"] == len(TEXT) < len(TEXT.encode())
    assert data.facts["different"] == len(set(TEXT))
    assert data.facts["files"] == ["a.txt"]
    for name, part in data.splits.items():
        digest = hashlib.sha256(part.encode()).hexdigest()
        assert data.facts["splits"][name] == {"characters": len(part), "sha256": digest}


def test_files_of_a_folder_by_name(tmp_path):
    for name, raw in (("b.txt", "B" * 600), ("a.txt", "A" * 600), ("c.md", "C" * 600)):
        written(tmp_path, raw.encode(), name)
    data = opened(tmp_path, test_part=0)
    assert data.splits["train"] == "A" * 600 + "B" * 600
    assert data.facts["files"] == ["a.txt", "b.txt"]


def test_texts_in_folders_of_a_folder_and_none_that_are_hidden(tmp_path):
    (tmp_path / "1820").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b.TXT", "1820/ü b.txt", "._b.txt", ".git/c.txt", "notes.md"):
        written(tmp_path, RAW if name[0] != "." else b"\xa3", name)
    data = opened(tmp_path, test_part=0)
    assert data.facts["files"] == ["1820/ü b.txt", "b.TXT"]
    assert data.splits["train"] == TEXT * 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_windows_calls_unicode(tmp_path, encoding):
    with pytest.raises(DataError, match=r"convert it, e\.g\. iconv -f utf-16 -t utf-8$") as err:
        read_utf8(written(tmp_path, f"\ufeff{TEXT}".encode(encoding)))
    assert err.value.code == "E358"


def test_a_folder_without_text(tmp_path):
    with pytest.raises(
        DataError, match=r"holds no \.txt file; name a text file or a folder"
    ) as err:
        opened(tmp_path)
    assert err.value.code == "E356"
    assert str(tmp_path) in str(err.value)


@pytest.mark.parametrize("length", [0, 1, 999])
def test_too_short(tmp_path, length):
    path = written(tmp_path, b"x" * length)
    with pytest.raises(DataError) as err:
        opened(path)
    assert err.value.code == "E358"
    assert str(err.value).startswith(f"{path} has {length} characters; a text of at least 1000")
    assert opened(written(tmp_path, b"x" * 1000)).facts["characters"] == 1000


def test_line_ends_and_the_mark_of_utf8_are_taken_off(tmp_path):
    path = written(tmp_path, b"\xef\xbb\xbfone\r\ntwo\nthree\r\n")
    assert read_utf8(path) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize(
    ("raw", "line", "place"),
    [(b"\xff", 1, 0), (b"one\ntwo\r\nna\xefve\n", 3, 11), ("ü\n".encode() * 3 + b"\xc3", 4, 9)],
)
def test_what_is_not_utf8_is_named_by_line_and_byte(tmp_path, raw, line, place, mark):
    path, place = written(tmp_path, mark + raw), place + len(mark)
    with pytest.raises(DataError) as err:
        read_utf8(path)
    assert err.value.code == "E358"
    byte = (mark + raw)[place]
    assert str(err.value) == (
        f"{path} is not UTF-8: line {line}, byte {place} is 0x{byte:02x}; "
        "convert it, e.g. iconv -f latin1 -t utf-8"
    )


def test_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="has 11 bytes; at most 10 are read") as err:
        read_utf8(written(tmp_path, b"x" * 11))
    assert err.value.code == "E358"
    assert read_utf8(written(tmp_path, b"x" * 10)) == "x" * 10


@pytest.mark.parametrize("name", ["missing.txt", ""])
def test_what_cannot_be_read(tmp_path, name):
    with pytest.raises(DataError, match=r"cannot be read: (No such file|Is a dir)") as err:
        read_utf8(tmp_path / name)
    assert err.value.code == "E356"


@pytest.mark.parametrize("name", ["val_part", "test_part"])
@pytest.mark.parametrize("value", [-0.1, 0.6, float("nan")])
def test_parts_out_of_range(name, value):
    with pytest.raises(ConfigError, match=re.escape(f"data.{name} must be in 0..0.5; got")) as err:
        TextOptions(path="x", **{name: value})
    assert err.value.code == "E205"


def test_tiny_shakespeare():
    root = os.environ.get("EDGEDL_DATA")
    if not root or not (Path(root) / "tinyshakespeare").is_dir():
        pytest.skip("EDGEDL_DATA is not set, or holds no tinyshakespeare")
    facts = opened("tinyshakespeare").facts
    assert (facts["characters"], facts["different"]) == (1115394, 65)
