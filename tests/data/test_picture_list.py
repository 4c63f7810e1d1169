"""Labelled pictures: arrays, lists and encoded ones behave alike."""

import hashlib
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedl.data.picture_list import Encoded, PictureFacts, Pictures, decode, mean_bytes, sizes
from edgedl.errors import DataError


def pictures(n=4, size_hw=(5, 7)):
    return np.random.default_rng(0).integers(0, 256, (n, *size_hw, 3), np.uint8)


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


def forms():
    some = pictures()
    return {
        "array": some,
        "list": list(some),
        "encoded": Encoded([png(one) for one in some], [PictureFacts.of(one) for one in some]),
    }


@pytest.mark.parametrize("form", ["array", "list", "encoded"])
def test_takes_rows_in_the_order_asked_for(form):
    part = Pictures(forms()[form], np.array([3, 1, 4, 1]), ["a", "b", "c", "d"])
    taken = part.take(np.array([2, 0, 2]))
    assert len(part) == 4
    assert len(taken) == 3
    assert taken.labels.tolist() == [4, 3, 4]
    assert list(taken.names) == ["c", "a", "c"]
    for i, row in enumerate([2, 0, 2]):
        np.testing.assert_array_equal(taken.pictures[i], pictures()[row])


def test_encoded_is_a_sequence():
    encoded = forms()["encoded"]
    assert len(encoded) == 4
    assert isinstance(encoded[1:3], Encoded)
    np.testing.assert_array_equal(list(encoded[1:3]), pictures()[1:3])


def test_decodes_files_and_bytes_alike(tmp_path):
    (picture,) = pictures(1)
    (tmp_path / "a.png").write_bytes(png(picture))
    np.testing.assert_array_equal(decode(tmp_path / "a.png"), picture)
    np.testing.assert_array_equal(decode(png(picture)), picture)


def test_grey_and_transparent_pictures_come_out_as_bgr8():
    grey = pictures(1)[0, :, :, 0]
    np.testing.assert_array_equal(decode(png(grey)), np.dstack([grey] * 3))
    (picture,) = pictures(1)
    clear = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(decode(png(clear)), picture)


def test_is_turned_as_exif_says():
    """Orientation 6: the camera was turned, the picture is to be turned to the right."""
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, :16] = 255  # bright on the left, so above once turned
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    tag = struct.pack("<HHII", 0x0112, 3, 1, 6)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + tag + bytes(4)
    exif = b"Exif\0\0" + tiff
    turned = decode(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(exif)) + exif + jpeg[2:])
    assert turned.shape == (32, 16, 3)
    assert turned[:14].mean() > 240
    assert turned[18:].mean() < 15


@pytest.mark.parametrize("raw", [b"", b"no picture", png(pictures(1)[0])[:30]])
def test_what_is_no_picture_is_none(raw, tmp_path):
    assert decode(raw) is None
    (tmp_path / "a.png").write_bytes(raw)
    assert decode(tmp_path / "a.png") is None


def test_a_cut_jpeg_is_none_whatever_opencv_makes_of_it(monkeypatch):
    whole = cv2.imencode(".jpg", pictures(1, (100, 100))[0])[1].tobytes()
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((100, 100, 3), np.uint8))
    assert decode(whole) is not None
    for length in (10, 1000, len(whole) // 2, len(whole) - 2):
        assert decode(whole[:length]) is None


def test_a_missing_file_and_a_folder_cannot_be_read(tmp_path):
    for path in (tmp_path / "missing.png", tmp_path):
        with pytest.raises(OSError, match=path.name):
            decode(path)


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"half")])
def test_a_picture_that_went_or_changed_is_named(tmp_path, change):
    (picture,) = pictures(1)
    path = tmp_path / "a.png"
    path.write_bytes(png(picture))
    encoded = Encoded([path], [PictureFacts.of(picture)])
    np.testing.assert_array_equal(encoded[0], picture)
    change(path)
    with pytest.raises(DataError, match=r"a\.png was read before and is gone") as err:
        list(encoded)
    assert err.value.code == "E356"


def test_a_picture_of_another_size_is_named(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(pictures(1, (5, 8))[0]))
    with pytest.raises(DataError, match="another now"):
        Encoded([path], [PictureFacts.of(pictures(1)[0])])[0]


@pytest.mark.parametrize("form", ["array", "list", "encoded"])
def test_facts_of_a_picture(form):
    some = forms()[form]
    part = Pictures(some, np.arange(4), list("abcd"))
    for i, picture in enumerate(pictures()):
        facts = part.facts(i)
        assert facts.shape == (5, 7, 3)
        np.testing.assert_allclose(facts.mean, picture.mean((0, 1), dtype=np.float64))
        np.testing.assert_allclose(facts.std, picture.std((0, 1), dtype=np.float64))
        assert part.digest(i) == facts.digest == hashlib.blake2b(picture, digest_size=16).digest()
    assert len({part.digest(i) for i in range(4)}) == 4


def test_facts_of_a_grey_picture():
    facts = PictureFacts.of(np.array([[0, 4], [4, 8]], np.uint8))
    assert facts.shape == (2, 2)
    assert facts.mean == (4,)
    assert facts.std == pytest.approx((8**0.5,))


@pytest.mark.parametrize("form", ["array", "list", "encoded"])
def test_sizes(form):
    assert sizes(forms()[form]) == {(5, 7)}


def test_a_slice_of_encoded_pictures_keeps_their_facts():
    encoded = forms()["encoded"]
    assert encoded[2:].facts == [PictureFacts.of(picture) for picture in pictures()[2:]]
    assert encoded.take(np.array([3, 0])).facts == [encoded.facts[3], encoded.facts[0]]


def test_mean_length_of_files(tmp_path):
    (tmp_path / "a").write_bytes(bytes(30))
    assert mean_bytes([]) == 0
    assert mean_bytes([tmp_path / "a", tmp_path / "missing", bytes(60)]) == 30
    assert mean_bytes([bytes(10)] * 1000) == 10
