"""Keeps the memory of one training step for the next."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process keep what it frees, up to 2 GiB, until it ends.

    By default glibc hands large blocks back to the system at once, and each training step gets
    those of its activations anew, zeroed page by page. See ``mallopt(3)``; other C libraries keep
    their habits.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _LARGEST_INT)
