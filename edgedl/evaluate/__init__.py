"""What a model is worth on data it has not seen, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.errors import UsageError
from edgedl.evaluate.captioning import Captioning
from edgedl.evaluate.classification import Classification
from edgedl.evaluate.clip_classification import ClipClassification
from edgedl.evaluate.evaluation import Evaluation
from edgedl.evaluate.measurement import Measurement, Metric, main_metric
from edgedl.evaluate.regression import Regression
from edgedl.evaluate.same_data import warn_if_changed
from edgedl.evaluate.text_classification import TextClassification
from edgedl.evaluate.text_generation import TextGeneration

if TYPE_CHECKING:
    from edgedl.spec import ModelSpec, Task

__all__ = [
    "Evaluation",
    "Measurement",
    "Metric",
    "main_metric",
    "open_evaluation",
    "warn_if_changed",
]


_Open = Callable[["ModelSpec", Mapping[str, Any], str, "int | None"], Evaluation]


def open_evaluation(
    spec: ModelSpec,
    data: Mapping[str, Any],
    split: str = "test",
    limit: int | None = None,
    path: Path | None = None,
) -> Evaluation:
    """Read held-out samples and prepare them as the model wants them.

    Args:
        spec: Of the model.
        data: The recipe's ``[data]``.
        split: ``val`` or ``test``; ``train`` to see what was learnt by heart.
        limit: At most so many samples.
        path: Other data than the recipe's.

    Returns:
        The samples; none where the data has no such split.

    Raises:
        DataError: The data is not there or cannot be used.
        UsageError: E102 it is a tensor model: nobody knows what is right.
    """
    if spec.task == "tensor":
        msg = (
            "a tensor model gives arrays of which nothing says what is right, so it has no quality "
            "to measure; hold it against the original: edgedl verify"
        )
        raise UsageError("E102", msg)
    tasks: Mapping[Task, _Open] = {
        "captioning": Captioning.open,
        "classification": Classification.open,
        "clip-classification": ClipClassification.open,
        "text-generation": TextGeneration.open,
        "text-classification": TextClassification.open,
        "regression": Regression.open,
    }
    if path is not None:
        data = {**data, "path": str(path)}
        if "generated" in data:
            data["generated"] = ""
        if split == "test":
            data.pop("val", None)  # held back for choosing; other data may have less than that
    return tasks[spec.task](spec, data, split, limit)
