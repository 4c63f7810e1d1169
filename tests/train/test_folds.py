"""K-fold: each sample is held back once, classes evenly, alike ones together."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.errors import ConfigError
from edgedl.train.folds import Fold, split_fold
from edgedl.train.tasks import read_recipe

LABELS = np.array([0] * 40 + [1] * 20 + [2] * 8)


def test_each_sample_is_held_back_once():
    held = []
    for index in range(4):
        learnt, held_back = split_fold(LABELS, Fold(index, 4), seed=3)
        assert sorted([*learnt, *held_back]) == list(range(68))
        assert np.bincount(LABELS[held_back]).tolist() == [10, 5, 2]
        held += held_back.tolist()
    assert sorted(held) == list(range(68))


def test_the_seed_decides():
    one, same, other = (split_fold(LABELS, Fold(0, 4), seed=s)[1].tolist() for s in (3, 3, 4))
    assert one == same
    assert one != other


def test_alike_samples_stay_together():
    alike = np.array([f"text {i // 3}" for i in range(68)], object)
    held = []
    for index in range(4):
        learnt, held_back = split_fold(LABELS, Fold(index, 4), seed=3, alike=alike)
        assert set(alike[learnt]).isdisjoint(alike[held_back])
        held += held_back.tolist()
    assert sorted(held) == list(range(68))


def test_a_fold_without_samples_is_refused():
    with pytest.raises(ConfigError, match=r"train.folds is 9, but of 3 samples 6 folds get none"):
        split_fold(np.zeros(6, np.int64), Fold(0, 9), seed=1, alike=np.arange(6) // 2)


@pytest.mark.parametrize("name", ["series-lstm", "shakespeare-lstm", "scenes-captioner"])
def test_samples_with_an_order_or_without_an_end_have_no_folds(name):
    with pytest.raises(ConfigError, match=r"train.folds has no effect on .*; got 3, leave it at 0"):
        read_recipe(name, {"train.folds": 3})
