"""Many samples through a network, a lot at a time.

Models work in lots of a size that is good for CPUs (``in_lots``). What a network itself takes at
once may be less: an engine has the batches it was built for (``any_rows``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from edgedl.runtime.session import Array, Session

LOT = 64


class Rows(Protocol):
    """An array (n, …), or what makes its rows when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


def in_lots(call: Callable[[Array], Array], samples: Rows, lot: int = LOT) -> Array:
    """Return ``call`` of all samples (n, ...), which sees at most ``lot`` of them at once."""
    if len(samples) <= lot:
        return call(samples[:])
    return np.concatenate([call(samples[i : i + lot]) for i in range(0, len(samples), lot)])


def any_rows(session: Session) -> Session:
    """Return a session that takes any number of rows of samples that do not depend on each other.

    It is the session itself where that takes any number: no input has a fixed first axis, and it
    has no ``most_rows``, as engines do.
    """
    fixed = [spec.shape[0] for spec in session.inputs if isinstance(spec.shape[0], int)]
    most: int | None = min(fixed, default=None) or getattr(session, "most_rows", None)
    return session if most is None else _InLots(session, most)


class _InLots:
    """A session behind which another one gets at most ``most`` rows at once."""

    def __init__(self, session: Session, most: int) -> None:
        self.backend, self.inputs, self.outputs = session.backend, session.inputs, session.outputs
        self._session, self._most = session, most

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name, given all inputs by name, each of as many rows."""
        rows = max(map(len, feeds.values()), default=0)
        if rows <= self._most:
            return self._session.run(feeds)
        parts = [
            self._session.run({name: array[i : i + self._most] for name, array in feeds.items()})
            for i in range(0, rows, self._most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def close(self) -> None:
        """Close the session behind it."""
        self._session.close()
