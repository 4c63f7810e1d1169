"""Archives that come from anywhere: which errors mean damage, and the files of a tar archive."""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

UNREADABLE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
    RuntimeError,  # what zipfile raises for a password and for a method that it lacks
)  # fmt: skip


def tar_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the plain files of a tar archive, and read it to its end, where its checksum is.

    Raises:
        tarfile.ReadError: A header is damaged; tarfile takes that for the end of the archive.
    """
    yield from (member for member in archive if member.isfile())
    assert archive.fileobj is not None
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):
        msg = f"the header at byte {archive.offset} is damaged"
        raise tarfile.ReadError(msg)
    while archive.fileobj.read(1 << 20):
        pass
