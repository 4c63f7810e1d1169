"""Bytes of a file where they lie on the disk, loaded page by page as they are used."""

from __future__ import annotations

import mmap
from typing import BinaryIO


def map_file(file: BinaryIO) -> memoryview:
    """Return all bytes of a file, read-only, without reading them.

    Processes that map the same file share its pages. They stay as long as something refers to
    them, also when the file is closed, renamed or removed; but who writes into the file changes
    them, and who cuts it off ends a process that goes on to use what was there. So files that may
    be mapped are replaced by renaming another over them, as all of ``edgedl.bundle.files`` does.

    Raises:
        OSError: It cannot be mapped.
    """
    try:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:  # an empty file has no pages
        return memoryview(b"")
