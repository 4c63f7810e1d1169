"""Size and completeness of an encoded image, from its bytes, without decoding it."""

from __future__ import annotations

import re
import struct

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp")
HEIC = (".heic", ".heif")

_HEIC = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypmif1", b"ftypmsf1")
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # neither a stuffed byte nor a restart


def image_size_hw(data: bytes) -> tuple[int, int] | None:
    """Return height and width as the header says, or None if it is no known format.

    Args:
        data: A whole JPEG, PNG, WebP or BMP file.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg_size(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            width, height = struct.unpack(">II", data[16:24])
            return height, width
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack("<ii", data[18:26])
            return abs(height), abs(width)
    except (struct.error, IndexError):
        return None
    return None


def is_heic(data: bytes) -> bool:
    """Return whether a file is what iPhones write unless told otherwise, by its first bytes."""
    return data[4:12] in _HEIC


def is_complete(data: bytes) -> bool:
    """Say whether the end of the image is there; decoders fill what is missing with grey.

    A JPEG may go on after its end: phones put a video there.
    """
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in data[-4096:] or _has_jpeg_end(data)
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-4096:]
    if data.startswith(b"RIFF"):
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    return len(data) >= int.from_bytes(data[2:6], "little")


def _has_jpeg_end(data: bytes) -> bool:
    """Walk the segments and the scans, past the ends of thumbnails, to the end of the image."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        at, marker = found.end(), found[0][1]
        if marker == 0xD9:
            return True
        if marker not in (0x01, 0xD8):
            at += int.from_bytes(data[at : at + 2], "big")
    return False


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:
            at += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return height, width
        if marker in (0xD9, 0xDA):
            return None
        at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        return int.from_bytes(data[27:30], "little") + 1, width
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return height & 0x3FFF, width & 0x3FFF
    return None
