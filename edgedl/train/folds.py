"""K-fold: which of the samples to learn from are held back for choosing instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgedl.errors import ConfigError
from edgedl.train.order import rng

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """Which part of the training data is held back for choosing: ``index`` of 0..``count`` - 1."""

    index: int
    count: int


def split_fold(
    labels: _Rows, fold: Fold, seed: int, alike: npt.NDArray[np.generic] | None = None
) -> tuple[_Rows, _Rows]:
    """Part samples into those of all other folds and those of this one.

    Each is held back in one fold of all. Classes are spread evenly.

    Args:
        labels: (n,) class of each sample.
        fold: Which one.
        seed: Of the parts; the same for all folds of a training.
        alike: (n,) any values; samples of equal ones are held back together.

    Returns:
        The rows to learn from and the rows held back, both sorted.

    Raises:
        ConfigError: E205 a fold would be empty.
    """
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
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)
