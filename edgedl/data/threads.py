"""Work on many files at once: decoding lets other threads of Python run."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

from edgedl.timing import allowed_cores

_MOST_THREADS = 8  # more would wait for who takes the results, each with a photo in memory

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_here = threading.local()

_WORTH_IT = 16 << 10  # bytes of a file; handing less to a thread takes longer than reading it


def in_threads(
    work: Callable[[_Item], _Result], items: Iterable[_Item], item_bytes: float = _WORTH_IT
) -> Iterator[_Result]:
    """Yield ``work`` of each item in their order, done by a thread for each core, at most 8.

    Only a few results wait to be taken, so that they may be large.

    Args:
        work: What to do.
        items: With what.
        item_bytes: About how long the file of an item is. Small ones are done without threads.
    """
    if item_bytes < _WORTH_IT:
        yield from map(work, items)
        return
    threads = min(allowed_cores(), _MOST_THREADS)
    is_over = threading.Event()
    pool = ThreadPoolExecutor(threads, initializer=_begin, initargs=(is_over,))
    begun: deque[Future[_Result]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > 2 * threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        is_over.set()
        pool.shutdown(cancel_futures=True)


def end_if_unwanted() -> None:
    """End the work of this thread if nobody waits for it; long work asks now and then.

    Python does not leave before its threads end: Ctrl-C would wait for a film to be decoded.

    Raises:
        CancelledError: ``in_threads`` has ended; it takes it.
    """
    if getattr(_here, "is_over", None) is not None and _here.is_over.is_set():
        raise CancelledError


def _begin(is_over: threading.Event) -> None:
    _here.is_over = is_over
