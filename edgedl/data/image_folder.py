"""Pictures in folders, archives and CSV lists."""

from __future__ import annotations

import logging
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from edgedl.data.archive import UNREADABLE, tar_files
from edgedl.data.image_header import is_heic
from edgedl.data.picture_list import Encoded, PictureFacts, Pictures, decode, mean_bytes
from edgedl.data.remembered import remembered
from edgedl.data.split_folders import SPLITS, is_hidden, split_folders, visible
from edgedl.data.table import column, read_csv
from edgedl.data.threads import in_threads
from edgedl.errors import DataError
from edgedl.frame import MAX_SIDE_PX
from edgedl.printable import counted

if TYPE_CHECKING:
    from edgedl.data.problems import Problems

log = logging.getLogger(__name__)

ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm",
)  # fmt: skip
UNREAD = (
    ".heic", ".heif", ".avif", ".gif", ".jp2", ".jxl", ".dng", ".cr2", ".cr3", ".nef", ".arw",
)  # fmt: skip
ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
MAX_PICTURE_BYTES = 64 << 20
MAX_ARCHIVE_BYTES = 16 << 30
MAX_ARRAY_BYTES = 1 << 30

_ZIP_UTF8 = 0x800


@dataclass(frozen=True, slots=True)
class Item:
    """One picture as it was found.

    Attributes:
        where: Its path, for people.
        split: ``train``, ``val``, ``test``, or empty.
        label: Name of its class.
        source: Its file, or the file's bytes.
    """

    where: str
    split: str
    label: str
    source: Path | bytes


def read_folder(folder: Path, problems: Problems) -> list[Item]:
    """Return the pictures of ``CLASS/*`` or ``SPLIT/CLASS/*``.

    Files that are no pictures by their name are passed over, hidden ones and folders too; that
    pictures of formats that are not read are among them is logged.
    """
    items = []
    unread: Counter[str] = Counter()
    for split, place in split_folders(folder):
        for group in (p for p in visible(place) if p.is_dir()):
            there = [f for f in sorted(group.rglob("*")) if not is_hidden(f.relative_to(group))]
            files = [f for f in there if _is_picture(f)]
            unread.update(ending for f in there if (ending := f.suffix.lower()) in UNREAD)
            if not files:
                problems.add(str(group), "empty class: the folder has no picture")
            items += [Item(str(file), split, group.name, file) for file in files]
    tell_unread(folder, unread)
    return items


def tell_unread(folder: Path, unread: Counter[str]) -> None:
    """Warn of pictures that are passed over, given how often each of their endings occurs."""
    if unread:
        log.warning(
            "%s: passed over %s of formats that are not read: %s; save them as JPEG or PNG",
            folder,
            counted(unread.total(), "picture"),
            ", ".join(f"{count} × {ending}" for ending, count in unread.most_common()),
        )


def archives(folder: Path) -> list[Path]:
    """Return the archives of a folder."""
    return [f for f in visible(folder) if f.is_file() and is_archive(f)]


def is_archive(path: Path) -> bool:
    """Return whether a file is an archive by its name."""
    return path.name.lower().endswith(ARCHIVES)


def read_archive(path: Path, problems: Problems) -> list[Item]:
    """Return the pictures of an archive, ``…/CLASS/x.jpg`` or ``…/SPLIT/…/CLASS/x.jpg``.

    Nothing is unpacked to disk, so no name in it can lead anywhere.

    Raises:
        DataError: E356 it cannot be read.
    """
    items = []
    try:
        for name, raw in _members(path, problems):
            *folders, label, _ = PurePosixPath(name).parts
            split = next((SPLITS[f.lower()] for f in folders if f.lower() in SPLITS), "")
            if not folders and label.lower() in SPLITS:
                problems.add(f"{path}:{name}", "wrong place: SPLIT/CLASS/file is expected")
                continue
            items.append(Item(f"{path}:{name}", split, label, raw))
    except UNREADABLE as err:
        msg = f"{path} cannot be read: {err}; load it again, or unpack it to a folder"
        raise DataError("E356", msg) from err
    return items


def read_list(path: Path, problems: Problems) -> list[Item]:
    """Return the pictures of a CSV file with the columns ``path``, ``label``, perhaps ``split``.

    Paths are relative to the CSV file.

    Raises:
        DataError: E358 it is not UTF-8, E359 a column is missing.
    """
    names, rows = read_csv(path)
    wanted = ["path", "label", *(["split"] if "split" in names else [])]
    places = [column(names, name, path) for name in wanted]
    items = []
    for line, cells in rows:
        where = f"{path}:{line}"
        if len(cells) != len(names):
            problems.add(where, f"{len(cells)} cells where the header has {len(names)}")
            continue
        file, label, *split = (cells[place].strip() for place in places)
        if split and split[0].lower() not in SPLITS:
            problems.add(where, f"split is {split[0]!r}, not train, val or test")
        elif not file or not label:
            problems.add(where, f"{'path' if not file else 'label'} is empty")
        else:
            target = path.parent / file
            if "\\" in file and not target.exists():  # a list that was made on Windows
                target = path.parent / file.replace("\\", "/")
            place = SPLITS[split[0].lower()] if split else ""
            items.append(Item(f"{target} ({where})", place, label, target))
    return items


def checked(
    items: Sequence[Item], labels: Sequence[str], problems: Problems
) -> dict[str, Pictures]:
    """Decode each picture, sort out what is none, and return the rest by split.

    Small pictures of one size become one array; others are decoded when they are asked for.
    """
    found: dict[str, list[tuple[Item, PictureFacts]]] = {}
    item_bytes = mean_bytes([item.source for item in items])
    for item, facts in zip(items, in_threads(_facts, items, item_bytes), strict=True):
        if isinstance(facts, str):
            problems.add(item.where, facts)
        else:
            found.setdefault(item.split, []).append((item, facts))
    shapes = [facts.shape for rows in found.values() for _, facts in rows]
    is_array = len(set(shapes)) == 1 and len(shapes) * prod(shapes[0]) <= MAX_ARRAY_BYTES
    return {split: _pictures(rows, labels, is_array) for split, rows in found.items()}


def _facts(item: Item) -> PictureFacts | str:
    """Return what a picture is like, or why it cannot be used."""
    if why := _problem(item):
        return why
    source = item.source
    try:
        return _facts_of_file(source) if isinstance(source, Path) else _facts_of(source)
    except OSError as err:
        return f"unreadable: {err.strerror}"


def _facts_of(source: Path | bytes) -> PictureFacts | str:
    picture = decode(source)
    if picture is None:
        raw = source.read_bytes() if isinstance(source, Path) else source
        return "HEIC: save it as JPEG" if is_heic(raw) else "corrupt: it cannot be decoded"
    height, width = picture.shape[:2]
    if max(height, width) > MAX_SIDE_PX:
        return f"too large: {width} x {height} pixels; its sides may have {MAX_SIDE_PX}"
    return PictureFacts.of(picture)


_facts_of_file = remembered(_facts_of)


def _pictures(
    rows: Sequence[tuple[Item, PictureFacts]], labels: Sequence[str], is_array: bool
) -> Pictures:
    numbers = np.array([labels.index(item.label) for item, _ in rows], np.int64)
    names = [item.where for item, _ in rows]
    encoded = Encoded([item.source for item, _ in rows], [facts for _, facts in rows])
    if not is_array:
        return Pictures(encoded, numbers, names)
    array = np.empty((len(rows), *encoded.facts[0].shape), np.uint8)
    for row, picture in enumerate(encoded):
        array[row] = picture
    return Pictures(array, numbers, names)


def _problem(item: Item) -> str:
    """Return why a picture cannot be read, as far as its file tells, or nothing."""
    if isinstance(item.source, bytes):
        return "" if item.source else "zero size: the file is empty"
    try:
        size = item.source.stat().st_size
    except (OSError, ValueError):  # the latter for a name with a zero byte
        return "missing: there is no such file"
    if not size:
        return "zero size: the file is empty"
    return "" if size <= MAX_PICTURE_BYTES else f"too large: {size} bytes"


def _members(path: Path, problems: Problems) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of each picture in an archive."""
    total = 0
    for name, size, read in _entries(path):
        file = PurePosixPath(name)
        if not _is_picture(file) or is_hidden(file):
            continue
        total += size
        if file.parent.name in ("", ".."):
            problems.add(f"{path}:{name}", "wrong place: CLASS/file is expected")
        elif size > MAX_PICTURE_BYTES or total > MAX_ARCHIVE_BYTES:
            problems.add(f"{path}:{name}", f"too large: {size} bytes")
        else:
            yield name, read()


def _entries(path: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield _name(info), info.file_size, partial(archive.read, info)
        return
    with tarfile.open(path) as archive:
        for member in tar_files(archive):
            yield member.name, member.size, partial(_read, archive, member)


def _name(info: zipfile.ZipInfo) -> str:
    """Return a name with slashes; in UTF-8 also where it does not say so, as Macs write it."""
    name = info.filename
    if not info.flag_bits & _ZIP_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _is_picture(file: PurePath) -> bool:
    return file.suffix.lower() in ENDINGS
