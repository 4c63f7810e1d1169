"""Collects what is wrong with a data set, so that it is told at once and before training."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from edgedl.errors import DataError
from edgedl.printable import counted

log = logging.getLogger(__name__)

SHOWN = 20
_CLASSES_SHOWN = 5

OnBadSample = Literal["fail", "skip"]


@dataclass(frozen=True, slots=True)
class BadSample:
    """One sample that cannot be used.

    Attributes:
        where: Its path, with a line where it is one of many in a file.
        why: What is wrong with it.
    """

    where: str
    why: str


def empty_classes(
    what: str, labels: Sequence[str], counts: Mapping[str, Mapping[str, int]]
) -> list[str]:
    """Return a warning for each split that has no ``what`` of some of the ``labels``."""
    warnings = []
    for split, of in counts.items():
        missing = [label for label in labels if label not in of]
        if missing:
            left = len(missing) - _CLASSES_SHOWN
            more = f" and {left} more classes" if left > 0 else ""
            some = ", ".join(missing[:_CLASSES_SHOWN])
            warnings.append(f"{split} has no {what} of {some}{more}")
    return warnings


class Problems:
    """Bad samples of one data set."""

    def __init__(self) -> None:
        self.found: list[BadSample] = []

    def add(self, where: str, why: str) -> None:
        """Remember a bad sample."""
        self.found.append(BadSample(where, why))

    def finish(self, mode: OnBadSample, *, can_skip: bool = True) -> int:
        """Report all of them: raise, or log that they are left out.

        Args:
            mode: Which of both.
            can_skip: The user has the option to leave them out.

        Returns:
            How many there are.

        Raises:
            DataError: E355 there are some, and ``mode`` is ``fail``.
        """
        if not self.found:
            return 0
        text = self._text()
        if mode == "fail":
            or_skip = ", or leave them out: --on-bad-sample skip" if can_skip else ""
            raise DataError("E355", f"{text}\nmend or remove them{or_skip}")
        log.warning("left out: %s", text)
        return len(self.found)

    def _text(self) -> str:
        kinds = Counter(one.why.split(":")[0] for one in self.found)
        counts = ", ".join(f"{n} × {why}" for why, n in kinds.most_common(5))
        lines = [f"  {one.where}: {one.why}" for one in self.found[:SHOWN]]
        if len(self.found) > SHOWN:
            lines.append(f"  … and {len(self.found) - SHOWN} more")
        return f"{counted(len(self.found), 'bad sample')} ({counts}):\n" + "\n".join(lines)
