import logging
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgedl import open_source
from edgedl.data.image_header import image_size_hw, is_complete
from edgedl.errors import SourceError


def test_a_folder_in_the_order_of_names(folder: Path) -> None:
    with open_source(str(folder)) as source:
        frames = list(source)
    assert [frame.pixels.shape[0] for frame in frames] == [10, 20, 30]
    assert [frame.info["file"] for frame in frames] == ["a.jpg", "b.png", "c.JPG"]
    assert source.status().state == "ENDED"


def test_a_name_that_is_no_utf8_can_be_written(folder: Path) -> None:
    (folder / "b.png").rename(os.fsdecode(bytes(folder) + b"/stra\xdfe.png"))
    with open_source(str(folder)) as source:
        assert [frame.info["file"] for frame in source][2] == r"stra\xdfe.png"


def test_one_image(folder: Path) -> None:
    with open_source(str(folder / "b.png")) as source:
        assert [frame.pixels.shape for frame in source] == [(20, 16, 3)]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("size_hw", [(1, 1), (7, 300), (300, 7)])
def test_headers_tell_the_size(suffix: str, size_hw: tuple[int, int]) -> None:
    data = cv2.imencode(suffix, np.zeros((*size_hw, 3), np.uint8))[1].tobytes()
    assert image_size_hw(data) == size_hw
    assert is_complete(data)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
def test_no_part_of_an_image_is_one(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    data = cv2.imencode(suffix, noise)[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    for length in (2, 3, 10, 20, 30, len(data) // 2, len(data) - 20):
        path.write_bytes(data[:length])
        with pytest.raises(SourceError) as caught, open_source(str(path)) as source:
            list(source)
        assert caught.value.code == "E338"


def with_thumbnail(jpeg: bytes) -> bytes:
    """Return a JPEG with a small one in its EXIF segment, as cameras write it."""
    small = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    head = b"Exif\0\0" + small
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(head)) + head + jpeg[2:]


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("restart", [0, 2])
def test_a_jpeg_may_go_on_after_its_end(tmp_path: Path, progressive: int, restart: int) -> None:
    """Phones put a video there."""
    noise = np.random.default_rng(1).integers(0, 256, (100, 100, 3), np.uint8)
    options = [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    jpeg = with_thumbnail(cv2.imencode(".jpg", noise, options)[1].tobytes())
    assert len(jpeg) > 10_000
    path = tmp_path / "motion.jpg"
    path.write_bytes(jpeg + bytes(100_000))
    with open_source(str(path)) as source:
        (frame,) = source
    np.testing.assert_array_equal(frame.pixels, cv2.imread(str(path)))
    for length in range(5000, len(jpeg) - 1, 500):
        assert not is_complete(jpeg[:length]), length
        assert not is_complete(jpeg[:length] + bytes(100_000)), length


@pytest.mark.parametrize("name", ["a.jpg", "a.HEIC"])
def test_heic_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x24ftypheic" + bytes(99))
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(SourceError, match="save it as JPEG") as caught:
            list(open_source(str(source)))
        assert caught.value.code == "E338"


def test_a_folder_of_folders(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "cat").mkdir()
    with pytest.raises(SourceError, match="give one of the folders in it") as caught:
        open_source(str(folder))
    assert caught.value.code == "E331"


@pytest.mark.parametrize("size_hw", [(1, 8193), (8193, 1)])
def test_what_preprocessing_would_refuse_is_left_out(
    folder: Path, size_hw: tuple[int, int]
) -> None:
    cv2.imwrite(str(folder / "a.jpg"), np.zeros(size_hw, np.uint8))
    with open_source(str(folder)) as source:
        assert [frame.info["file"] for frame in source] == ["b.png", "c.JPG"]
    with pytest.raises(SourceError, match="8192 pixels a side") as caught:
        list(open_source(str(folder / "a.jpg")))
    assert caught.value.code == "E337"


def test_a_photo_of_48_megapixels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((6048, 8064), 7, np.uint8))
    with open_source(str(tmp_path)) as source:
        assert [frame.pixels.shape for frame in source] == [(6048, 8064, 3)]


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"<svg></svg>", b"<html>", b"GIF89a" + bytes(20)])
def test_other_files_are_no_images(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "other.png"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="not a complete"), open_source(str(path)) as source:
        list(source)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    with pytest.raises(SourceError) as caught, open_source(str(path)) as source:
        list(source)
    assert caught.value.code == "E337"
    assert "30000x30000" in str(caught.value)


def test_deep_and_transparent_pictures_become_bgr8(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((5, 6), 40000, np.uint16))
    cv2.imwrite(str(tmp_path / "b.png"), np.full((5, 6, 4), 90, np.uint8))
    with open_source(str(tmp_path)) as source:
        for frame in source:
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.shape == (5, 6, 3)


def test_a_damaged_image_in_a_folder_is_left_out_aloud(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with caplog.at_level(logging.WARNING), open_source(str(folder)) as source:
        frames = list(source)
    assert [frame.pixels.shape[0] for frame in frames] == [10, 30]
    assert source.status().corrupt == 1
    assert "b.png" in caplog.text


def test_a_folder_of_damaged_images_is_an_error(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"junk")
    with pytest.raises(SourceError) as caught, open_source(str(tmp_path)) as source:
        list(source)
    assert caught.value.code == "E338"
