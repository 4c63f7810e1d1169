"""Pictures with labels, wherever they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.data.image_header import is_complete
from edgedl.data.threads import in_threads
from edgedl.errors import DataError

Labels = npt.NDArray[np.int64]

_DIGEST_BYTES = 16
_LOOKED_AT = 100


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What is told of a picture without decoding it again.

    Attributes:
        shape: (H, W) or (H, W, 3).
        digest: Of the pixels.
        mean: Of each channel, 0..255.
        std: Of each channel, 0..127.5.
    """

    shape: tuple[int, ...]
    digest: bytes
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, picture: npt.NDArray[np.uint8]) -> PictureFacts:
        """Measure a picture."""
        mean, std = cv2.meanStdDev(picture)
        found = (tuple(values[:, 0].tolist()) for values in (mean, std))
        return cls(picture.shape, digest(picture), *found)


@dataclass(frozen=True)
class Pictures:
    """Some labelled pictures.

    Attributes:
        pictures: uint8, bgr8 (H, W, 3) or gray8 (H, W) each; one array (n, …) where all have the
            same size.
        labels: (n,) numbers of their classes.
        names: Where each comes from.
    """

    pictures: Any
    labels: Labels
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: Labels) -> Pictures:
        """Return the pictures of ``rows``."""
        if isinstance(self.pictures, np.ndarray):
            taken: Any = self.pictures[rows]
        elif isinstance(self.pictures, Encoded):
            taken = self.pictures.take(rows)
        else:
            taken = [self.pictures[i] for i in rows]
        return Pictures(taken, self.labels[rows], [self.names[i] for i in rows])

    def facts(self, index: int) -> PictureFacts:
        """Return what is known of a picture, or measure it."""
        if isinstance(self.pictures, Encoded):
            return self.pictures.facts[index]
        return PictureFacts.of(self.pictures[index])

    def digest(self, index: int) -> bytes:
        """Return the digest of a picture's pixels."""
        if isinstance(self.pictures, Encoded):
            return self.pictures.facts[index].digest
        return digest(self.pictures[index])


class Encoded(Sequence[Any]):
    """Pictures that are decoded each time they are asked for; one after the other, by threads.

    One that changed or went since then is a DataError E356.

    Args:
        sources: Files, or the bytes of files.
        facts: Of each, from when it was decoded first.
    """

    def __init__(self, sources: Sequence[Path | bytes], facts: Sequence[PictureFacts]) -> None:
        self._sources = sources
        self.facts = facts

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Encoded: ...
    def __getitem__(self, index: int | slice) -> npt.NDArray[np.uint8] | Encoded:
        if isinstance(index, slice):
            return Encoded(self._sources[index], self.facts[index])
        source, shape = self._sources[index], self.facts[index].shape
        try:
            picture = decode(source)
        except OSError:
            picture = None
        if picture is None or picture.shape != shape:
            where = source if isinstance(source, Path) else "a picture of an archive"
            msg = f"{where} was read before and is gone or another now; leave the data as it is"
            raise DataError("E356", msg)
        return picture

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return in_threads(self.__getitem__, range(len(self)), mean_bytes(self._sources))

    def take(self, rows: Labels) -> Encoded:
        """Return the pictures of ``rows``."""
        return Encoded([self._sources[i] for i in rows], [self.facts[i] for i in rows])


def sizes(pictures: Sequence[npt.NDArray[np.uint8]]) -> set[tuple[int, ...]]:
    """Return the sizes (H, W) that pictures have."""
    if isinstance(pictures, Encoded):
        return {facts.shape[:2] for facts in pictures.facts}
    return {picture.shape[:2] for picture in pictures}


def mean_bytes(sources: Sequence[Path | bytes]) -> float:
    """Return how long a file is in the mean, told from some of them."""
    some = sources[:: max(1, len(sources) // _LOOKED_AT)]
    return sum(map(_bytes, some)) / max(1, len(some))


def _bytes(source: Path | bytes) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size
    except (OSError, ValueError):  # the latter for a name with a zero byte
        return 0


def digest(picture: npt.NDArray[np.uint8]) -> bytes:
    """Return what is equal only for pictures of the same pixels."""
    pixels = np.ascontiguousarray(picture).data
    return hashlib.blake2b(pixels, digest_size=_DIGEST_BYTES).digest()


def decode(source: Path | bytes) -> npt.NDArray[np.uint8] | None:
    """Return a picture as bgr8 (H, W, 3), turned as its EXIF says; None if it is none, or cut.

    Raises:
        OSError: The file cannot be read.
    """
    raw = source.read_bytes() if isinstance(source, Path) else source
    if raw.startswith(b"\xff\xd8") and not is_complete(raw):
        return None  # OpenCV 4 fills what is missing with grey
    try:
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except cv2.error:
        return None
    return None if picture is None else np.asarray(picture, np.uint8)
