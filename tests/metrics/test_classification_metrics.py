"""Classifiers: against counts made by hand and definitions written as loops."""

from __future__ import annotations

import numpy as np
import pytest

from edgedl.metrics.classification import (
    ClassQuality,
    accuracy,
    confusion,
    ece,
    macro_f1,
    per_class,
    reliability,
    top_k,
)

# Six samples of four classes: nothing is taken for class 2, class 3 has no sample.
TRUTHS = [0, 0, 0, 1, 1, 2]
FOUND = [0, 0, 1, 1, 3, 0]


def some_scores(n: int, classes: int, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities (n, K), about half of them right, and the truths (n,)."""
    rng = np.random.default_rng(seed)
    truths = rng.integers(0, classes, n)
    raw = rng.random((n, classes)) ** 3
    raw[np.arange(n), truths] += 0.5 * rng.random(n)
    return raw / raw.sum(axis=1, keepdims=True), truths


def expected_f1(truths: list[int], found: list[int], k: int) -> float:
    """Return 2 · hits / (taken + there), another form of the harmonic mean."""
    pairs = list(zip(truths, found, strict=True))
    hits = sum(t == k == f for t, f in pairs)
    both = sum(f == k for _, f in pairs) + sum(t == k for t, _ in pairs)
    return 2 * hits / both if both else 0.0


def test_accuracy_by_hand() -> None:
    assert accuracy(TRUTHS, FOUND) == 0.5
    assert accuracy([2], [2]) == 1.0
    assert accuracy(np.array([2]), np.array([0])) == 0.0


def test_confusion_has_truths_in_rows() -> None:
    expected = [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert confusion(TRUTHS, FOUND, 4).tolist() == expected


def test_confusion_counts_each_sample_once() -> None:
    scores, truths = some_scores(200, 7)
    found = scores.argmax(axis=1)
    expected = np.zeros((7, 7), int)
    for t, f in zip(truths, found, strict=True):
        expected[t, f] += 1
    counts = confusion(truths, found, 7)
    np.testing.assert_array_equal(counts, expected)
    assert counts.trace() / 200 == pytest.approx(accuracy(truths, found))


def test_quality_of_each_class_by_hand() -> None:
    found = per_class(TRUTHS, FOUND, 4)
    assert found[0] == ClassQuality(
        precision=pytest.approx(2 / 3), recall=pytest.approx(2 / 3), f1=pytest.approx(2 / 3),
        support=3,
    )  # fmt: skip
    assert found[1] == ClassQuality(precision=0.5, recall=0.5, f1=0.5, support=2)
    # Nothing was taken for class 2, and class 3 has no sample: zeros, not divisions by zero.
    assert found[2] == ClassQuality(precision=0.0, recall=0.0, f1=0.0, support=1)
    assert found[3] == ClassQuality(precision=0.0, recall=0.0, f1=0.0, support=0)


def test_a_class_without_samples_does_not_count_for_macro_f1() -> None:
    assert macro_f1(TRUTHS, FOUND, 4) == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    assert macro_f1([1], [1], 5) == 1.0


def test_macro_f1_is_the_definition() -> None:
    scores, truths = some_scores(150, 6)
    found = scores.argmax(axis=1)
    known = sorted(set(truths.tolist()))
    expected = [expected_f1(truths.tolist(), found.tolist(), k) for k in known]
    assert macro_f1(truths, found, 6) == pytest.approx(sum(expected) / len(expected))
    assert 0.2 < macro_f1(truths, found, 6) < 0.98


def test_top_k_is_the_definition() -> None:
    scores, truths = some_scores(120, 8)
    for k in (1, 2, 5, 8):
        hits = 0
        for row, truth in zip(scores, truths, strict=True):
            hits += sum(value > row[truth] for value in row) < k
        assert top_k(truths, scores, k) == pytest.approx(hits / 120)
    assert top_k(truths, scores, 8) == 1.0


def test_top_k_takes_the_first_among_equals() -> None:
    scores = np.full((4, 4), 0.25)
    assert top_k([0, 1, 2, 3], scores, 1) == 0.25
    assert top_k([0, 1, 2, 3], scores, 3) == 0.75


def test_reliability_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7]])
    rows = reliability(scores, [0, 1, 1, 1], bins=4)
    assert rows[:2] == [(0, 0, 0), (0, 0, 0)]
    assert rows[2] == (pytest.approx((0.55 + 0.7) / 2), 1.0, 2)
    assert rows[3] == (pytest.approx(0.85), 0.5, 2)


@pytest.mark.parametrize(
    ("confidence", "expected"), [(0.5, 1), (0.5 + 2**-40, 2), (0.75, 2), (1.0, 3)]
)
def test_the_upper_edge_belongs_to_a_bin(confidence: float, expected: int) -> None:
    rows = reliability(np.array([[confidence, 1 - confidence]]), [0], bins=4)
    assert [n for *_, n in rows] == [int(i == expected) for i in range(4)]


def test_scores_of_nothing_lie_in_the_first_bin() -> None:
    assert reliability(np.zeros((1, 3)), [1], bins=2) == [(0.0, 0.0, 1), (0, 0, 0)]


def test_ece_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2], [0.45, 0.55], [0.3, 0.7]])
    # Two bins of two samples: |1 - 0.625| and |0.5 - 0.85|.
    assert ece(scores, [0, 1, 1, 1], bins=4) == pytest.approx((2 * 0.375 + 2 * 0.35) / 4)
    assert ece(np.array([[1.0, 0.0]]), [0]) == 0.0
    assert ece(np.array([[1.0, 0.0]]), [1]) == 1.0


def test_ece_is_the_definition() -> None:
    scores, truths = some_scores(300, 4)
    bins = 15
    expected = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        sure, right = 0.0, 0
        for row, truth in zip(scores.tolist(), truths, strict=True):
            if low < max(row) <= high:
                sure, right = sure + max(row), right + (row.index(max(row)) == truth)
        expected += abs(right - sure) / 300
    assert ece(scores, truths) == pytest.approx(expected)
    assert expected > 0.02
