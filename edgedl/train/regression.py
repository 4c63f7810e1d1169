"""Trains a network that predicts the next values of a measured series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.data.series import SeriesOptions, open_series, windows
from edgedl.models.build import build, model_table
from edgedl.spec import ModelSpec, SeriesSpec
from edgedl.train.order import Order
from edgedl.train.recipe import Recipe, network_options
from edgedl.train.task import train_part

if TYPE_CHECKING:
    from edgedl.models.sequences import Regressor
    from edgedl.train.task import Batch

_MEASURED_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionRecipe(Recipe):
    """A training of predictions.

    Attributes:
        data: Which series, what is seen of it and what is predicted.
        model: ``family = "regressor"`` and its options.
    """

    task: Literal["regression"]
    data: SeriesOptions
    model: Mapping[str, Any]

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        network_options(self.model, "regressor")
        self.train.refuse(self.task, "label_smoothing", "class_weights", "folds")


class Regression:
    """The task: windows of a series, and what follows each."""

    def __init__(self, recipe: RegressionRecipe) -> None:
        data = open_series(recipe.data)
        self.facts = data.facts
        series = SeriesSpec(
            inputs=data.inputs,
            outputs=data.outputs,
            window=recipe.data.window,
            horizon=recipe.data.horizon,
        )
        self.spec = ModelSpec(task="regression", series=series)
        self._windows, self._values = map(
            torch.from_numpy, windows(train_part(data.splits), series)
        )
        self._val = None
        if "val" in data.splits:
            self._val = tuple(map(torch.from_numpy, windows(data.splits["val"], series)))
        options = network_options(recipe.model, "regressor")
        self.model = model_table(
            options, inputs=len(series.inputs), outputs=len(series.outputs), window=series.window
        )
        self.network = self.kept = build(self.model, "recipe [model]")
        cast("Regressor", self.network).set_scale(self._windows, self._values)
        self._order = Order(len(self._values), recipe.train.batch, recipe.seed)
        self.steps_per_epoch: int | None = self._order.steps_per_epoch

    def batch(self, step: int) -> Batch:
        """Return windows (N, T, F) and values (N, O), in the table's units."""
        rows = torch.from_numpy(self._order.indices(step))
        return self._windows[rows], self._values[rows]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean Huber loss in units of each column's deviation."""
        given, values = batch
        scale = cast("Regressor", network).normalised
        return functional.smooth_l1_loss(scale(network(given)), scale(values))

    def score(self, network: nn.Module) -> float:
        """Return minus the mean absolute error on ``val``, in units of each column's deviation."""
        if self._val is None:
            return float("nan")
        scale, total = cast("Regressor", network).normalised, 0.0
        given, values = (torch.split(part, _MEASURED_AT_ONCE) for part in self._val)
        for part, truths in zip(given, values, strict=True):
            total += float((scale(network(part)) - scale(truths)).abs().sum())
        return -total / self._val[1].numel()

    def close(self) -> None:
        """Do nothing: all is in memory."""
