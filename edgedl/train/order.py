"""In which order a training sees its samples, and every other choice it leaves to chance."""

from __future__ import annotations

import numpy as np


def rng(seed: int, *place: int) -> np.random.Generator:
    """Return the generator of one place of a training, e.g. ``rng(seed, step)``."""
    return np.random.default_rng((seed, *place))


def mixed(seed: int, step: int) -> int:
    """Return what torch's generator is seeded with before step ``step``."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)


class Order:
    """Shuffles ``n`` samples anew each epoch; the few that fill no batch wait for the next.

    Attributes:
        steps_per_epoch: At least 1.
    """

    def __init__(self, n: int, batch: int, seed: int) -> None:
        self._n, self._batch, self._seed = n, min(n, batch), seed
        self.steps_per_epoch = n // self._batch
        self._shuffled: tuple[int, np.ndarray] = (-1, np.arange(0))

    def epoch(self, step: int) -> int:
        """Return the number of the epoch that ``step`` is in."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> np.ndarray:
        """Return the samples of ``step``, int64 (batch,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self._shuffled[0] != epoch:
            self._shuffled = epoch, rng(self._seed, epoch).permutation(self._n)
        return self._shuffled[1][place * self._batch : (place + 1) * self._batch]
