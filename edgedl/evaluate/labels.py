"""What classifiers of pictures, clips and texts have in common when they are rated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgedl.errors import DataError
from edgedl.evaluate.measurement import Measurement, with_interval
from edgedl.metrics.classification import accuracy, ece, macro_f1, top_k
from edgedl.metrics.interval import wilson
from edgedl.runtime.probability import softmax

if TYPE_CHECKING:
    from edgedl.spec import ModelSpec, Task

_SHOWN = 5


def rate(
    task: Task, split: str, logits: npt.NDArray[Any], truths: npt.NDArray[np.int64]
) -> Measurement:
    """Rate logits (n, K) by the true label numbers (n,)."""
    scores, known = softmax(logits), np.asarray(truths, np.int64)
    found, classes = logits.argmax(axis=1), logits.shape[1]
    right = accuracy(known, found)
    ends = wilson(int((found == known).sum()), len(known))
    metrics = with_interval("accuracy", right, ends, len(known))
    metrics["macro_f1"] = macro_f1(known, found, classes)
    if classes > 2 * _SHOWN:  # of ten, five are half
        metrics["top5"] = top_k(known, scores, _SHOWN)
    metrics["ece"] = ece(scores, known)
    return Measurement(task, split, len(known), metrics, found.astype(np.int64), scores)


def translated(
    truths: npt.NDArray[np.int64], labels: Sequence[str], spec: ModelSpec, where: str
) -> npt.NDArray[np.int64]:
    """Return label numbers of the data as those of the model.

    Raises:
        DataError: E357 the data has a class the model does not know.
    """
    if tuple(labels) == spec.labels:
        return truths
    unknown = [label for label in labels if label not in spec.labels]
    if unknown:
        msg = (
            f"{where} has the classes {_listed(labels)}, the model knows {_listed(spec.labels)}: "
            f"{_listed(unknown)} cannot be right; evaluate it on data with its classes"
        )
        raise DataError("E357", msg)
    return np.array([spec.labels.index(label) for label in labels], np.int64)[truths]


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:10]) + (f" … ({len(labels)})" if len(labels) > 10 else "")
