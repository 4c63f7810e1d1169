"""K-fold: each sample is held back once, classes evenly, alike ones together."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.data.labelled_text import Texts
from edgedl.errors import ConfigError
from edgedl.train.folds import Fold, split_fold
from edgedl.train.tasks import read_recipe

LABELS = np.array([0] * 40 + [1] * 20 + [2] * 8)


def rows_of(labels, fold, seed=3, alike=None):
    """Return the rows to learn from and those held back."""
    numbered = Texts([str(row) for row in range(len(labels))], labels)
    parts = split_fold(numbered, fold, seed, alike)
    for part in parts:
        assert part.labels.tolist() == labels[[int(text) for text in part.texts]].tolist()
    return [[int(text) for text in part.texts] for part in parts]


def test_each_sample_is_held_back_once():
    held = []
    for index in range(4):
        learnt, held_back = rows_of(LABELS, Fold(index, 4))
        assert sorted([*learnt, *held_back]) == list(range(68))
        assert np.bincount(LABELS[held_back]).tolist() == [10, 5, 2]
        held += held_back
    assert sorted(held) == list(range(68))


def test_the_seed_decides():
    one, same, other = (rows_of(LABELS, Fold(0, 4), seed=s)[1] for s in (3, 3, 4))
    assert one == same
    assert one != other


def test_alike_samples_stay_together():
    alike = np.array([f"text {i // 3}" for i in range(68)], object)
    held = []
    for index in range(4):
        learnt, held_back = rows_of(LABELS, Fold(index, 4), alike=alike)
        assert set(alike[learnt]).isdisjoint(alike[held_back])
        held += held_back
    assert sorted(held) == list(range(68))


def test_a_fold_without_samples_is_refused():
    with pytest.raises(ConfigError, match=r"train.folds is 9, but of 3 samples 6 folds get none"):
        rows_of(np.zeros(6, np.int64), Fold(0, 9), alike=np.arange(6) // 2)


@pytest.mark.parametrize("name", ["series-lstm", "shakespeare-lstm", "scenes-captioner"])
def test_samples_with_an_order_or_without_an_end_have_no_folds(name):
    with pytest.raises(ConfigError, match=r"train.folds has no effect on .*; got 3, leave it at 0"):
        read_recipe(name, {"train.folds": 3})
