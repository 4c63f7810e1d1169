"""The loss of all classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from edgedl.train.options import TrainOptions


class ClassLoss:
    """Cross-entropy with the recipe's label smoothing and class weights.

    Args:
        options: ``label_smoothing`` and ``class_weights``.
        labels: Of all training samples (n,), int64.
        classes: K.
    """

    def __init__(self, options: TrainOptions, labels: Tensor, classes: int) -> None:
        self._smoothing = options.label_smoothing
        self._weights: Tensor | None = None
        if options.class_weights == "balanced":
            counts = torch.bincount(labels, minlength=classes).clamp(min=1)
            self._weights = len(labels) / (classes * counts.float())

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K); targets (N,) int64, or parts of classes (N, K)."""
        return functional.cross_entropy(
            logits.float(), targets, weight=self._weights, label_smoothing=self._smoothing
        )
