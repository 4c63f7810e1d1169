"""What classifiers are worth: accuracy, what is taken for what, and how honest they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64] | Sequence[int]
Scores = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """How well one class is told.

    Attributes:
        precision: Part of what was taken for it that is it; 0 where nothing was.
        recall: Part of what is it that was taken for it; 0 where there is none.
        f1: Harmonic mean of both; 0 where both are.
        support: How many samples are it.
    """

    precision: float
    recall: float
    f1: float
    support: int


def accuracy(truths: Labels, found: Labels) -> float:
    """Return the part of the labels (n,) that is right, n >= 1."""
    return float(np.mean(np.asarray(truths) == np.asarray(found)))


def confusion(truths: Labels, found: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Return counts (K, K): rows are what a sample was, columns what it was taken for."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (np.asarray(truths), np.asarray(found)), 1)
    return counts


def per_class(truths: Labels, found: Labels, classes: int) -> list[ClassQuality]:
    """Return the quality of each class, in the order of the labels."""
    counts = confusion(truths, found, classes)
    made = []
    for k in range(classes):
        hits, taken, there = counts[k, k], counts[:, k].sum(), counts[k].sum()
        precision, recall = hits / max(taken, 1), hits / max(there, 1)
        f1 = 2 * precision * recall / max(precision + recall, 1e-300)
        made.append(ClassQuality(float(precision), float(recall), float(f1), int(there)))
    return made


def macro_f1(truths: Labels, found: Labels, classes: int) -> float:
    """Return the mean F1 over the classes that have samples."""
    known = [quality.f1 for quality in per_class(truths, found, classes) if quality.support]
    return float(np.mean(known))


def top_k(truths: Labels, scores: Scores, k: int) -> float:
    """Return the part of the samples whose class has one of the ``k`` largest scores (n, K)."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((order == np.asarray(truths)[:, None]).any(axis=1).mean())


def reliability(scores: Scores, truths: Labels, bins: int = 15) -> list[tuple[float, float, int]]:
    """Return how often a network is right, by how sure it is.

    Args:
        scores: Probabilities (n, K).
        truths: (n,).
        bins: Of equal width over 0..1; the upper end belongs to a bin.

    Returns:
        For each bin the mean confidence, the part that is right, and how many samples; zeros
        for an empty one.
    """
    sure, right = scores.max(axis=1), scores.argmax(axis=1) == np.asarray(truths)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for index in range(bins):
        inside = place == index
        n = int(inside.sum())
        rows.append(
            (float(sure[inside].mean()), float(right[inside].mean()), n) if n else (0, 0, 0)
        )
    return rows


def ece(scores: Scores, truths: Labels, bins: int = 15) -> float:
    """Return the expected calibration error: Σ n_b / n · |right_b - confidence_b|, 0..1.

    By Naeini, Cooper and Hauskrecht, Obtaining well calibrated probabilities using Bayesian
    binning (2015).
    """
    rows = reliability(scores, truths, bins)
    total = sum(n for *_, n in rows)
    return sum(n * abs(right - sure) for sure, right, n in rows) / total
