"""K-fold: which of the samples to learn from are held back for choosing instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from edgedl.errors import ConfigError
from edgedl.train.order import rng

Rows = npt.NDArray[np.int64]
_Part = TypeVar("_Part", bound="Samples")


class Samples(Protocol):
    """Samples of a task of classes, e.g. ``data.pictures.Pictures``."""

    @property
    def labels(self) -> Rows:
        """The class of each, (n,)."""
        ...

    def take(self: _Part, rows: Rows) -> _Part:
        """Return the samples of ``rows``."""
        ...


@dataclass(frozen=True, slots=True)
class Fold:
    """Which part of the training data is held back for choosing: ``index`` of 0..``count`` - 1."""

    index: int
    count: int


def split_fold(
    samples: _Part, fold: Fold, seed: int, alike: npt.NDArray[np.generic] | None = None
) -> tuple[_Part, _Part]:
    """Part samples into those of all other folds and those of this one.

    Each is held back in one fold of all. Classes are spread evenly.

    Args:
        samples: All there are to learn from.
        fold: Which one.
        seed: Of the parts; the same for all folds of a training.
        alike: (n,) any values; samples of equal ones are held back together.

    Returns:
        Those to learn from and those held back, both in their order.

    Raises:
        ConfigError: E205 a fold would be empty.
    """
    labels = samples.labels
    _, first, group = np.unique(
        np.arange(len(labels)) if alike is None else alike, return_index=True, return_inverse=True
    )
    place = np.empty(len(first), np.int64)  # of each group
    kinds = labels[first]
    for label in np.unique(kinds):
        members = rng(seed, int(label)).permutation(np.flatnonzero(kinds == label))
        place[members] = (np.arange(len(members)) + label) % fold.count
    if empty := set(range(fold.count)) - set(place.tolist()):
        msg = (
            f"train.folds is {fold.count}, but of {len(first)} samples {len(empty)} folds get "
            "none; set fewer"
        )
        raise ConfigError("E205", msg)
    is_held = place[group] == fold.index
    return samples.take(np.flatnonzero(~is_held)), samples.take(np.flatnonzero(is_held))
