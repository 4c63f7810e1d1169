"""A bundle as one file: a zip whose members are stored as they are, read in place.

The same bundle always gives the same bytes: ``manifest.json`` first, then all names in order,
without times, owners or compression. Nothing is ever extracted. A reader takes only what ``pack``
writes, so that no trick of the zip format has a place: no comment, no zip64, no compression or
encryption, no links or folders, no name twice, nothing that overlaps.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edgedl.bundle.files import MAX_FILES, MAX_TOTAL_BYTES, new_file, safe_name
from edgedl.bundle.mapped import map_file
from edgedl.errors import BundleError, IntegrityError

if TYPE_CHECKING:
    from edgedl.bundle import Bundle

MANIFEST = "manifest.json"
MAX_PACKED_BYTES = (1 << 31) - 1
"""What a zip file without extensions can say of itself."""

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
_BEGINS = b"PK\x03\x04"
_END, _ZIP64 = b"PK\x05\x06", b"PK\x06\x07"
_END_BYTES, _ZIP64_BYTES = 22, 20
_MAX_DIRECTORY_BYTES = 1 << 18
_ALIGNMENT = 64
_FILLER, _EMPTY_FILLER_BYTES = 0xD935, 6
"""The extra field by which Android's zipalign aligns members."""
_LENGTHS_AT = 26
"""Where before a member stand the lengths of its name and of its extra fields, which follow."""
_WHOLE = "it was cut off or changed; copy it again"


def pack(bundle: Bundle, out: Path, force: bool = False) -> None:
    """Write a bundle as one file, which appears complete or not at all.

    Args:
        bundle: Opened, from a folder or a packed file; every byte is checked again.
        out: The file to write, ``NAME.edge.zip``.
        force: Replace a packed bundle that is there.

    Raises:
        BundleError: E406 it is too large for one file, E430 no room on the disk, E431 the folder
            cannot be written, E432 ``out`` exists, E433 it is a folder.
        IntegrityError: E402 a file of the bundle was changed meanwhile.
    """
    _check_out(out, force)
    with new_file(out) as file:
        try:
            with zipfile.ZipFile(file, "w", allowZip64=False) as archive:
                archive.writestr(_member(MANIFEST, file.tell()), bundle.read_manifest())
                for name in sorted(bundle.manifest.files):
                    archive.writestr(_member(name, file.tell()), bundle.read(name))
        except zipfile.LargeZipFile as err:
            msg = (
                f"{bundle.path} has {bundle.size_bytes} bytes, a packed bundle at most "
                f"{MAX_PACKED_BYTES}; send the folder, or export fewer precisions"
            )
            raise BundleError("E406", msg) from err
        _check_out(out, force)


def is_packed(path: Path) -> bool:
    """Return whether a path is a file that begins as a packed bundle does.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS


def list_packed(path: Path) -> dict[str, int]:
    """Return name and size of every file in a packed bundle.

    Raises:
        BundleError: E403 it cannot be read, E406 it holds more than a bundle may.
        IntegrityError: E402 it was cut off or changed, E405 it holds what no bundle may.
    """
    with _opened(path) as (_, _, members):
        return {name: member.file_size for name, member in members.items()}


def read_packed(path: Path, name: str, max_bytes: int) -> bytes:
    """Return at most ``max_bytes`` + 1 bytes of a file in a packed bundle.

    Raises:
        BundleError: E403 it is not there or cannot be read, E406 as ``list_packed``.
        IntegrityError: E402 or E405 as ``list_packed``.
    """
    with _opened(path) as (_, archive, members):
        member = _find(path, members, name)
        with archive.open(member) as file:
            return file.read(max_bytes + 1)


def map_packed(path: Path, name: str) -> memoryview:
    """Return the bytes of a file where they lie in a packed bundle, see ``bundle.mapped``.

    Raises:
        BundleError: E403 or E406 as ``read_packed``.
        IntegrityError: E402 or E405 as ``list_packed``.
    """
    with _opened(path) as (file, archive, members):
        member = _find(path, members, name)
        archive.open(member).close()  # which compares what stands before its bytes
        whole = map_file(file)
        lengths = struct.unpack_from("<2H", whole, member.header_offset + _LENGTHS_AT)
        start = member.header_offset + _LENGTHS_AT + 4 + sum(lengths)
        return whole[start : start + member.file_size]


def _find(path: Path, members: dict[str, zipfile.ZipInfo], name: str) -> zipfile.ZipInfo:
    if name in members:
        return members[name]
    msg = f"{path / name} cannot be read: it is not there; copy the bundle again"
    raise BundleError("E403", msg)


def _member(name: str, at: int) -> zipfile.ZipInfo:
    """Return the record of a member, with nothing in it of when, where or by whom.

    Args:
        name: Of the member.
        at: Where in the file the record will stand. An extra field fills up what follows it, so
            that the member's bytes begin at a multiple of ``_ALIGNMENT``.
    """
    info = zipfile.ZipInfo(name, _FIRST_DAY)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    end = at + _LENGTHS_AT + 4 + len(name) + _EMPTY_FILLER_BYTES
    gap = -end % _ALIGNMENT
    info.extra = struct.pack("<3H", _FILLER, 2 + gap, _ALIGNMENT) + bytes(gap)
    return info


def _check_out(out: Path, force: bool) -> None:
    if out.is_dir():
        msg = f"{out} is a folder; a packed bundle is one file: choose another name"
        raise BundleError("E433", msg)
    if not (out.exists() or out.is_symlink()):
        return
    if not is_packed(out):
        msg = f"{out} exists and is no packed bundle, so it is never replaced: choose another name"
        raise BundleError("E432", msg)
    if not force:
        msg = f"{out} exists; choose another name, or replace it with --force"
        raise BundleError("E432", msg)


@contextlib.contextmanager
def _opened(
    path: Path,
) -> Iterator[tuple[BinaryIO, zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """Open a packed bundle and check what it says it holds."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            _check_end(path, file, size)
            with zipfile.ZipFile(file) as archive:
                yield file, archive, _checked(path, archive.infolist(), size)
    except OSError as err:
        msg = f"{path} cannot be read: {err.strerror}"
        raise BundleError("E403", msg) from err
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, struct.error) as err:
        msg = f"{path} is no packed bundle as edgedl writes it: {_WHOLE}"
        raise IntegrityError("E402", msg) from err


def _check_end(path: Path, file: BinaryIO, size: int) -> None:
    """Check the last bytes, before the list of members that they point to is read."""
    if size > MAX_PACKED_BYTES:
        msg = f"{path} has {size} bytes; a packed bundle has at most {MAX_PACKED_BYTES}"
        raise BundleError("E406", msg)
    tail = min(size, _END_BYTES + _ZIP64_BYTES)
    file.seek(size - tail)
    last = file.read(tail)
    end = last[-_END_BYTES:]
    if len(end) < _END_BYTES or not end.startswith(_END) or end[-2:] != b"\0\0":
        msg = f"{path} is a packed bundle without its end: {_WHOLE}"
        raise IntegrityError("E402", msg)
    count, directory_bytes, start = struct.unpack("<H2L", end[10:20])
    if count > MAX_FILES + 1 or directory_bytes > _MAX_DIRECTORY_BYTES:
        msg = f"{path} holds {count} files; a bundle holds at most {MAX_FILES}"
        raise BundleError("E406", msg)
    if last.startswith(_ZIP64) or start + directory_bytes + _END_BYTES != size:
        msg = f"{path} is no packed bundle as edgedl writes it: {_WHOLE}"
        raise IntegrityError("E402", msg)


def _checked(path: Path, members: list[zipfile.ZipInfo], size: int) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name; refuse what ``pack`` would not have written."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in members:
        name, mode = member.orig_filename, member.external_attr >> 16
        safe_name(name, str(path))
        problem = None
        if name in found:
            problem = "it is there twice"
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            problem = "it is not a regular file"
        elif member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x41:
            problem = "it is compressed or encrypted"
        elif member.file_size != member.compress_size:
            problem = "it has two sizes"
        if problem:
            msg = f"unsafe file {path / name}: {problem}; make it with: edgedl pack BUNDLE"
            raise IntegrityError("E405", msg)
        found[name] = member
    total = sum(member.file_size for member in members)
    if total > MAX_TOTAL_BYTES:
        msg = f"{path} holds more than {MAX_TOTAL_BYTES} bytes"
        raise BundleError("E406", msg)
    if total > size:
        msg = f"unsafe file {path}: its members overlap; make it with: edgedl pack BUNDLE"
        raise IntegrityError("E405", msg)
    return found
