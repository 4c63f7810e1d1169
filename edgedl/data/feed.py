"""A process that renders training pictures while another one trains.

Python's threads take turns, and rendering beside a training loop in one process halves its speed.
So ``python -m edgedl.data.feed`` renders in a process of its own and writes the pixels, and
nothing else, to its standard output: scene after scene of the split ``train``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import cv2
import numpy as np

from edgedl.data.scenes import Scenes
from edgedl.errors import DataError

if TYPE_CHECKING:
    from edgedl.frame import U8Image

_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ, which Python 3.10 has on Linux only
_PIPE_BYTES = 1 << 20


@contextmanager
def open_feed(
    seed: int, count: int, sides_px: Sequence[int], first: int = 0
) -> Iterator[Iterator[list[U8Image]]]:
    """Start a process that renders; end it afterwards.

    Args:
        seed: Of the scenes.
        count: Pictures in a batch.
        sides_px: The sides of the pictures, in turn.
        first: The number of the first batch.

    Yields:
        Batches without end: the pictures of scenes 0, 1, 2 … of the split ``train``, or from
        scene ``first * count`` on.
    """
    numbers = (seed, count, first, *sides_px)
    command = [sys.executable, "-m", "edgedl.data.feed", *map(str, numbers)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    # Its own session: an interrupt from the keyboard reaches the trainer only, which then ends it.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True, env=env)
    pipe = process.stdout
    assert pipe is not None
    try:
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, _F_SETPIPE_SZ, _PIPE_BYTES)
        yield _read(pipe, count, sides_px, first)
    finally:
        process.kill()
        pipe.close()
        process.wait(timeout=10)


def sides_of(index: int, count: int, sides_px: Sequence[int]) -> list[int]:
    """Return the sides of the pictures of batch ``index``."""
    return [sides_px[i % len(sides_px)] for i in range(index * count, (index + 1) * count)]


def _read(
    pipe: IO[bytes], count: int, sides_px: Sequence[int], index: int
) -> Iterator[list[U8Image]]:
    while True:
        sides = sides_of(index, count, sides_px)
        sizes = [3 * side * side for side in sides]
        raw = pipe.read(sum(sizes))
        if len(raw) < sum(sizes):
            msg = "the process that renders training pictures ended; its reason is printed above"
            raise DataError("E351", msg)
        parts = np.split(np.frombuffer(raw, np.uint8), np.cumsum(sizes)[:-1])
        yield [part.reshape(s, s, 3) for part, s in zip(parts, sides, strict=True)]
        index += 1


def _write_forever(seed: int, count: int, index: int, sides_px: Sequence[int]) -> None:
    cv2.setNumThreads(1)
    scenes, out = Scenes(seed, "train"), sys.stdout.buffer
    while True:
        sides = sides_of(index, count, sides_px)
        out.write(
            b"".join(
                scenes.picture(index * count + i, (side, side)).tobytes()
                for i, side in enumerate(sides)
            )
        )
        out.flush()
        index += 1


if __name__ == "__main__":
    try:
        seed, count, first, *sides_px = map(int, sys.argv[1:])
        _write_forever(seed, count, first, sides_px)
    except BrokenPipeError:
        sys.stderr.close()
