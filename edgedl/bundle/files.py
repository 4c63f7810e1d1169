"""Folders and files that are either the old one or the new one, never half of each.

Everything is written beside its place under a hidden name, flushed to the disk, and put in place
by one rename. A process that dies leaves at most a hidden ``.NAME.partial-…`` behind, which a later
writer removes once nobody holds it and it is an hour old.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from edgedl.errors import BundleError, EdgedlError, IntegrityError

MAX_FILES = 512
MAX_TOTAL_BYTES = 4 << 30
MAX_NAME_LENGTH = 200
MAX_DEPTH = 4
LEFTOVER_AGE_S = 3600.0

RUN_OR_BUNDLE = ("manifest.json", "model.json")
_PART_OF_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*\Z")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def new_folder(
    dest: Path, force: bool = False, marks: tuple[str, ...] = RUN_OR_BUNDLE
) -> Iterator[Path]:
    """Make a folder that appears at ``dest`` complete or not at all.

    The block fills the folder it is given; when it ends, files and folders are flushed to the
    disk and the folder is renamed to ``dest``. When it raises, the folder is removed. With
    ``force`` an existing folder of that kind at ``dest`` is exchanged for the new one, and is left
    as it was by any failure.

    Args:
        dest: Where the folder shall be. Missing parents are made.
        force: Replace a folder of that kind that is there.
        marks: Files by one of which such a folder is known; others are never replaced.

    Yields:
        A folder beside ``dest`` to write into.

    Raises:
        BundleError: E430 no room on the disk, E431 the parent cannot be written, E432 ``dest``
            exists, E433 ``dest`` is not a folder.
    """
    dest = Path(os.path.realpath(dest))
    _check_dest(dest, force, marks)
    partial, lock = _make_partial(dest)
    try:
        yield partial
        _flush_tree(partial)
        _check_dest(dest, force, marks)
        _put_in_place(partial, dest)
        _flush(dest.parent)
    except EdgedlError:
        raise
    except OSError as err:
        if err.errno not in _NO_ROOM:
            raise
        msg = f"writing {dest} failed: {err.strerror}; nothing was written, free some room there"
        raise BundleError("E430", msg) from err
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def write_file(path: Path, data: bytes | str) -> None:
    """Write a file at once: afterwards ``path`` holds all of ``data`` or what it held before.

    Raises:
        BundleError: E430 no room on the disk, E431 the folder cannot be written, E433 ``path`` is
            a folder.
    """
    with new_file(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Make a file that appears at ``path`` complete or not at all, in place of one that is there.

    Yields:
        A file beside ``path`` to write into.

    Raises:
        BundleError: E430 no room on the disk, E431 the folder cannot be written, E433 ``path`` is
            a folder.
    """
    if path.is_dir():
        msg = f"{path} is a folder; a file is to be written there"
        raise BundleError("E433", msg)
    partial = path.parent / f".{path.name}.partial-{secrets.token_hex(4)}"
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush(path.parent)
    except EdgedlError:
        raise
    except OSError as err:
        code = "E430" if err.errno in _NO_ROOM else "E431"
        mend = "free some room there" if code == "E430" else "choose another place"
        msg = f"{path} cannot be written: {err.strerror}; {mend}"
        raise BundleError(code, msg) from err
    finally:
        partial.unlink(missing_ok=True)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def safe_name(name: str, where: str = "") -> str:
    """Return ``name`` if it can only mean a file below the bundle.

    ``where`` is named in the error.

    Allowed are 1 to 4 parts of ``A-Z a-z 0-9 . _ -`` joined by ``/``, none starting with a dot or
    a hyphen, together at most 200 characters. So there is no ``..``, no absolute path, no drive,
    no NUL.

    Raises:
        IntegrityError: E405 anything else.
    """
    parts = name.split("/")
    if (
        len(name) > MAX_NAME_LENGTH
        or len(parts) > MAX_DEPTH
        or not all(_PART_OF_NAME.match(part) for part in parts)
    ):
        shown = ascii(name) if len(name) <= 80 else ascii(name[:80]) + "…"
        place = f" in {where}" if where else ""
        allowed = "allowed are relative names of A-Z a-z 0-9 . _ - and /"
        msg = f"unsafe file name {shown}{place}: {allowed}"
        raise IntegrityError("E405", msg)
    return name


def _check_dest(dest: Path, force: bool, marks: tuple[str, ...]) -> None:
    """Refuse a destination that may not be written or replaced."""
    if dest.exists() and not dest.is_dir():
        msg = f"{dest} is a file; a folder is to be written there: choose another name"
        raise BundleError("E433", msg)
    if not dest.exists() or not any(dest.iterdir()):
        return
    if not any((dest / name).is_file() for name in marks):
        what = "is no run or bundle" if marks == RUN_OR_BUNDLE else f"has no {' or '.join(marks)}"
        msg = f"{dest} exists and {what}, so it is never replaced: choose another name"
        raise BundleError("E432", msg)
    if not force:
        msg = f"{dest} exists; choose another name, or replace it with --force"
        raise BundleError("E432", msg)


def _make_partial(dest: Path) -> tuple[Path, int]:
    """Make the hidden folder beside ``dest``; the lock on it says that its writer lives."""
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(dest)
        partial = dest.parent / f".{dest.name}.partial-{secrets.token_hex(4)}"
        partial.mkdir()
        lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as err:
        code = "E430" if err.errno in _NO_ROOM else "E431"
        msg = f"{dest.parent} cannot be written: {err.strerror}; choose another place"
        raise BundleError(code, msg) from err
    with contextlib.suppress(OSError):  # some network file systems have no locks
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return partial, lock


def _remove_leftovers(dest: Path) -> None:
    """Remove what dead writers of ``dest`` left: unlocked, and untouched for an hour."""
    for leftover in dest.parent.glob(f".{_glob_literal(dest.name)}.partial-????????"):
        with contextlib.suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(lock).st_mtime > LEFTOVER_AGE_S:
                    shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(lock)


def _glob_literal(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _flush(path: Path) -> None:
    """Make what was written to a file or folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _flush_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            _flush(Path(parent, name))
        _flush(Path(parent))


def _put_in_place(partial: Path, dest: Path) -> None:
    """Rename ``partial`` to ``dest``; what was at ``dest`` is afterwards removed."""
    if not dest.exists():
        partial.rename(dest)
        return
    if _exchange(partial, dest):
        return  # the old folder now has the name of the partial one, which the caller removes
    aside = dest.with_name(f".{dest.name}.old-{secrets.token_hex(4)}")
    dest.rename(aside)
    try:
        partial.rename(dest)
    except BaseException:
        aside.rename(dest)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step of the kernel; False where it cannot do that."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    at_cwd, rename_exchange = -100, 2
    done: int = rename(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange)
    return done == 0
