"""What one measurement of a kernel is: inputs, who computes, what is right, what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Call = Callable[[Any], Any]
Check = Callable[[Any, Any], "str | None"]
"""Takes a result and the input it was computed from; says what is wrong with it, or None."""

OURS = "edgedl"
"""In a ``Bound``: the kernel on the best target of this CPU."""
BEST = "best OpenCV"
"""In a ``Bound``: the fastest of the contenders that ``Trial.opencv`` names."""
LIMIT = "touch limit"
"""The contender that only reads what must be read and writes what must be written."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that is timed.

    Attributes:
        call: Takes an input and returns what it computed, an array that the next call may reuse.
        check: What its result must be; None for what promises another result, or none.
    """

    call: Call
    check: Check | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A wish: the time of one contender, divided by that of another, is at least or at most this.

    Attributes:
        of: Name of a contender, ``OURS`` or ``BEST``.
        to: As ``of``; None to bound the time itself, in milliseconds.
        at_least: Lower end, or None.
        at_most: Upper end, or None.
    """

    of: str
    to: str | None
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: float) -> bool:
        """Say whether a measured value is as wished."""
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


def at_least(times: float, of: str) -> Bound:
    """Wish that ``of`` takes at least so many times as long as we do."""
    return Bound(of=of, to=OURS, at_least=times)


def at_most(times: float, to: str) -> Bound:
    """Wish that we take at most so many times as long as ``to``."""
    return Bound(of=OURS, to=to, at_most=times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A case made ready, with its memory.

    Attributes:
        inputs: Taken in turn, so that no contender finds in a cache what another has read.
        ours: Our kernel; timed on every target of this CPU.
        others: Name to contender; run on the best target, where they have one.
        opencv: Names of those of them of which the fastest is ``BEST``.
        bytes: Read and written by one call that does no more than it must; 0 if not declared.
        repeats: Calls in one measurement; above 1 for what takes less than a few microseconds.
        restore: Makes an input again what it was, before each call and not timed; for what
            draws into its input. It goes with ``repeats`` of 1.
    """

    inputs: Sequence[Any]
    ours: Contender
    others: Mapping[str, Contender] = field(default_factory=dict)
    opencv: tuple[str, ...] = ()
    bytes: int = 0
    repeats: int = 1
    restore: Call | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table of kernels.

    Attributes:
        name: How ``--case`` names it: ``preprocess/1080p-224``.
        what: What is done, for people.
        checked_against: What the results were compared with, for people.
        make: Takes ``KernelBenchOptions.set_mib``; makes inputs and contenders.
        bounds: What is wished of the times.
    """

    name: str
    what: str
    checked_against: str
    make: Callable[[int], Trial]
    bounds: tuple[Bound, ...] = ()


def same_bits(definition: Call) -> Check:
    """Return the check that a result is that of ``definition``, bit for bit."""

    def check(result: Array, given: Any) -> str | None:
        expected = definition(given)
        if (problem := _mismatch(result, expected)) is not None:
            return problem
        as_bytes = [np.ascontiguousarray(a).view(np.uint8) for a in (result, expected)]
        wrong = np.flatnonzero(as_bytes[0] != as_bytes[1])
        return f"{len(wrong)} bytes differ from the definition" if len(wrong) else None

    return check


def within(definition: Call, distance: float, share: float = 0.0) -> Check:
    """Return the check that a result is near that of ``definition``.

    Args:
        definition: Takes the input and returns what is right.
        distance: A value this far away counts as equal.
        share: So many of the values may be farther away.
    """

    def check(result: Array, given: Any) -> str | None:
        expected = definition(given)
        if (problem := _mismatch(result, expected)) is not None:
            return problem
        far = np.abs(result.astype(np.float64) - expected) > distance
        if far.mean() > share:
            return f"{far.mean():.2%} of the values are more than {distance:g} away"
        return None

    return check


def _mismatch(result: Array, expected: Array) -> str | None:
    """Say how two arrays differ in kind."""
    found, wanted = (f"{a.shape} {a.dtype}" for a in (result, expected))
    return None if found == wanted else f"the result is {found}, not {wanted}"


def enough(one: Array, make: Callable[[int], Any], set_mib: int) -> list[Any]:
    """Return inputs to be taken in turn, so that none is in the L2 cache when its turn comes.

    Args:
        one: An array as large as one input.
        make: Takes 0, 1, 2, … and returns an input.
        set_mib: All inputs together are at least as large, unless they are very many.
    """
    count = -(-(set_mib << 20) // one.nbytes)
    return [make(index) for index in range(min(max(count, _MIN_INPUTS), _MAX_INPUTS))]


_MIN_INPUTS, _MAX_INPUTS = 3, 512
