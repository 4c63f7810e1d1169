"""Pictures with labels, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import cv2
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


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


class Encoded(Sequence[Any]):
    """Pictures that are decoded each time they are asked for.

    Args:
        sources: Files, or the bytes of files.
    """

    def __init__(self, sources: Sequence[Path | bytes]) -> None:
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]: ...
    @overload
    def __getitem__(self, index: slice) -> Encoded: ...
    def __getitem__(self, index: int | slice) -> npt.NDArray[np.uint8] | Encoded:
        if isinstance(index, slice):
            return Encoded(self._sources[index])
        picture = decode(self._sources[index])
        assert picture is not None, index
        return picture

    def take(self, rows: Labels) -> Encoded:
        """Return the pictures of ``rows``."""
        return Encoded([self._sources[i] for i in rows])


def decode(source: Path | bytes) -> npt.NDArray[np.uint8] | None:
    """Return a picture as bgr8 (H, W, 3), turned as its EXIF says; None if it is none."""
    try:
        raw = source.read_bytes() if isinstance(source, Path) else source
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except (OSError, cv2.error):
        return None
    return None if picture is None else np.asarray(picture, np.uint8)
