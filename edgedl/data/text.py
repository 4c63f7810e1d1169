"""One long text for a language model, split by position."""

from __future__ import annotations

import hashlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgedl.data.download import find
from edgedl.data.split_folders import is_hidden
from edgedl.errors import DataError
from edgedl.options import check_ranges

MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """The section ``[data]`` of a text to be foreseen.

    Attributes:
        path: A text file in UTF-8, a folder of such (``*.txt``, in folders of it too, by name), or
            the name of a known set, e.g. ``tinyshakespeare``.
        val_part: Part of the text before the test part that is held back for choosing, 0..0.5.
        test_part: Last part of the text, 0..0.5.
    """

    path: str
    val_part: float = 0.0
    test_part: float = 0.1

    def __post_init__(self) -> None:
        check_ranges("data", self, val_part=(0, 0.5), test_part=(0, 0.5))


@dataclass(frozen=True, slots=True)
class LongText:
    """A text in its parts.

    Attributes:
        splits: ``train``, then ``val`` if there is one, then ``test``: what follows each other.
        facts: For ``data.json``: counts and digests.
    """

    splits: Mapping[str, str]
    facts: Mapping[str, Any]


def open_text(options: TextOptions) -> LongText:
    """Read a text and split it by position, so that no part has seen the next.

    Raises:
        DataError: E356 there is none, E358 it is not UTF-8, or too short to be split.
    """
    path = find(options.path)
    files = _files_in(path) if path.is_dir() else [path]
    if not files:
        msg = f"{path} holds no .txt file; name a text file or a folder of them"
        raise DataError("E356", msg)
    text = "".join(read_utf8(file) for file in files)
    n = len(text)
    ends = [
        round(n * (1 - options.test_part - options.val_part)),
        round(n * (1 - options.test_part)),
    ]
    splits = {"train": text[: ends[0]], "val": text[ends[0] : ends[1]], "test": text[ends[1] :]}
    splits = {name: part for name, part in splits.items() if part}
    if n < 1000:
        msg = f"{path} has {n} characters; a text of at least 1000 is needed to learn from"
        raise DataError("E358", msg)
    facts = {
        "name": path.name,
        "files": [
            file.relative_to(path).as_posix() if path.is_dir() else file.name for file in files
        ],
        "characters": n,
        "different": len(set(text)),
        "splits": {name: _facts(part) for name, part in splits.items()},
    }
    return LongText(splits, facts)


def _files_in(folder: Path) -> list[Path]:
    files = (f for f in folder.rglob("*") if f.suffix.lower() == ".txt" and f.is_file())
    return sorted(f for f in files if not is_hidden(f.relative_to(folder)))


def read_utf8(path: Path) -> str:
    r"""Return the text of a file, line ends as ``\\n``.

    Raises:
        DataError: E358 it is not UTF-8 (with line and byte), or too large; E356 unreadable.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path} has {path.stat().st_size} bytes; at most {MAX_BYTES} are read"
            raise DataError("E358", msg)
        raw = path.read_bytes()
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror}"
        raise DataError("E356", msg) from err
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        place = len(raw) - len(err.object) + err.start  # a mark of UTF-8 is not in err.object
        line = raw.count(b"\n", 0, place) + 1
        encoding = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "latin1"
        msg = (
            f"{path} is not UTF-8: line {line}, byte {place} is 0x{raw[place]:02x}; "
            f"convert it, e.g. iconv -f {encoding} -t utf-8"
        )
        raise DataError("E358", msg) from err
    return text.replace("\r\n", "\n")


def _facts(part: str) -> dict[str, Any]:
    return {"characters": len(part), "sha256": hashlib.sha256(part.encode()).hexdigest()}
