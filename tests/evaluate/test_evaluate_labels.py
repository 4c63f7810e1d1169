"""What classifiers have in common: their numbers, and the labels of data and model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_kinds import QUARTERS

from edgedl.errors import BundleError, DataError
from edgedl.evaluate.classification import some
from edgedl.evaluate.labels import rate, translated
from edgedl.metrics.interval import wilson


def test_rate_by_hand() -> None:
    logits = np.log(np.array([[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]]))
    found = rate("classification", "val", logits, np.array([0, 1, 1, 1]))
    assert (found.task, found.split, found.n) == ("classification", "val", 4)
    assert list(found.metrics) == [
        "accuracy", "accuracy_low", "accuracy_high", "n", "macro_f1", "ece",
    ]  # fmt: skip
    assert found.main == found.metrics["accuracy"] == 0.75
    ends = (found.metrics["accuracy_low"], found.metrics["accuracy_high"])
    assert ends == pytest.approx(wilson(3, 4))
    # F1 of 0: 1 hit of 2 taken and 1 there; of 1: 2 hits of 2 taken and 3 there.
    assert found.metrics["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    # Each lies in a bin of its own: 0.7, 0.8 and 0.9 were right, 0.6 was wrong.
    assert found.metrics["ece"] == pytest.approx((0.3 + 0.6 + 0.2 + 0.1) / 4)
    assert found.outputs.tolist() == [0, 0, 1, 1]
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, np.exp(logits))


def test_top_five_of_more_than_ten() -> None:
    logits = -np.arange(11.0)[None].repeat(4, axis=0)  # the order of the classes
    truths = np.array([0, 4, 5, 6])
    assert rate("classification", "test", logits, truths).metrics["top5"] == 0.5
    assert "top5" not in rate("classification", "test", logits[:, :10], truths).metrics


def test_logits_that_are_no_numbers() -> None:
    with pytest.raises(BundleError, match="finite logits"):
        rate("classification", "test", np.array([[np.nan, 0]]), np.array([0]))


def test_labels_in_another_order_and_fewer_of_them() -> None:
    spec = dataclasses.replace(QUARTERS, labels=("cat", "dog", "owl"))
    truths = np.array([0, 1, 1, 0])
    assert translated(truths, ("cat", "dog", "owl"), spec, "x").tolist() == [0, 1, 1, 0]
    assert translated(truths, ("owl", "cat"), spec, "x").tolist() == [2, 0, 0, 2]


def test_labels_the_model_does_not_know() -> None:
    spec = dataclasses.replace(QUARTERS, labels=("cat", "dog"))
    with pytest.raises(DataError) as caught:
        translated(np.array([0]), ("cat", "cow", "yak"), spec, "farm.csv")
    assert caught.value.code == "E357"
    assert str(caught.value) == (
        "farm.csv has the classes cat, cow, yak, the model knows cat, dog: cow, yak cannot be "
        "right; evaluate it on data with its classes"
    )


def test_many_labels_are_cut_short() -> None:
    spec = dataclasses.replace(QUARTERS, labels=("cat", "dog"))
    with pytest.raises(DataError, match=r"classes 00, 01, .* 09 … \(30\), the model"):
        translated(np.array([0]), [f"{i:02}" for i in range(30)], spec, "x")


@pytest.mark.parametrize(
    ("n", "limit", "expected"),
    [(4, 9, [0, 1, 2, 3]), (4, 4, [0, 1, 2, 3]), (10, 3, [0, 3, 6]), (10, 1, [0]), (0, 5, [])],
)
def test_some_are_spread_evenly(n: int, limit: int, expected: list[int]) -> None:
    assert some(np.zeros(n, np.int64), limit).tolist() == expected
