"""Memory of what a file was found to hold, for as long as the file stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TypeVar

_Result = TypeVar("_Result")

_FILES = 1 << 18


def remembered(look: Callable[[Path], _Result]) -> Callable[[Path], _Result]:
    """Return ``look`` with a memory: it looks again only when size or time of the file changed.

    A training opens its data three times: to learn, to choose and to measure. What ``look`` raises
    is not remembered.
    """

    @lru_cache(_FILES)
    def found(path: Path, size: int, mtime_ns: int) -> _Result:  # noqa: ARG001 - part of the key
        return look(path)

    @wraps(look)
    def with_memory(path: Path) -> _Result:
        stat = Path(path).stat()
        return found(path, stat.st_size, stat.st_mtime_ns)

    return with_memory
