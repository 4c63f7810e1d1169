"""The smallest number that suffices, in few trials."""

from __future__ import annotations

from collections.abc import Callable


def fewest(limit: int, start: int, is_enough: Callable[[int], bool]) -> int:
    """Return the smallest number in 1..``limit`` that is enough.

    From ``start`` on in steps that double, until the answer is enclosed or halving is quicker; then
    by halving.

    Args:
        limit: Taken to be enough; never tried.
        start: Where the answer is expected, in 1..``limit`` - 1.
        is_enough: False below the answer, true from there on.
    """
    too_few, enough = 0, limit
    count, step = start, 1
    while enough - too_few > 1:
        found = is_enough(count)
        if found:
            enough = count
        else:
            too_few = count
        middle = (too_few + enough) // 2
        count = max(middle, enough - step) if found else min(middle, too_few + step)
        step *= 2
    return enough
