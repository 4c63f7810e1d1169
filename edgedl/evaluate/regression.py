"""Rates predictions of measured series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgedl.bundle import Given
from edgedl.data.series import SeriesOptions, open_series, windows
from edgedl.evaluate.classification import some
from edgedl.evaluate.measurement import Measurement, with_interval
from edgedl.metrics.interval import block_bootstrap
from edgedl.metrics.regression import mae, r2, relative_errors, rmse
from edgedl.options import options_from

if TYPE_CHECKING:
    from edgedl.runtime.model import Model
    from edgedl.runtime.regressor import Regressor
    from edgedl.spec import ModelSpec


@dataclass(frozen=True)
class Regression:
    """Windows of a series in their order, see ``edgedl.evaluate.evaluation.Evaluation``.

    Attributes:
        columns: Names of the predicted columns.
        tensors: (n, T, F).
        truths: (n, O).
    """

    split: str
    columns: tuple[str, ...]
    tensors: npt.NDArray[Any]
    truths: npt.NDArray[np.float32]

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> Regression:
        """Read or make a series; at most ``limit`` windows of a split, spread evenly over it."""
        assert spec.series is not None
        table = {**data, "inputs": spec.series.inputs, "outputs": spec.series.outputs}
        opened = open_series(options_from(SeriesOptions, table, "[data]"))
        rows = opened.splits.get(split)
        names = spec.series.outputs
        if rows is None or not len(rows):
            empty = np.zeros((0, spec.series.window, len(spec.series.inputs)), np.float32)
            return cls(split, names, empty, np.zeros((0, len(names)), np.float32))
        given, truths = windows(rows, spec.series)
        if limit is not None:
            places = some(truths, limit)
            given, truths = given[places], truths[places]
        return cls(split, names, given, truths)

    def __len__(self) -> int:
        return len(self.truths)

    def inputs(self, index: int) -> Given:
        """Return a window in the table's units."""
        return Given(window=self.tensors[index])

    def measure(self, model: Model) -> Measurement:
        """Rate predictions.

        What decides has no unit: the errors of each column in standard deviations of its truths.
        Neighbouring windows are nearly the same one, so the interval is found on blocks of them.
        """
        found = cast("Regressor", model).values(self.tensors)
        errors = relative_errors(self.truths, found)
        ends = block_bootstrap(errors, block=max(1, self.tensors.shape[1]))
        metrics = with_interval("relative_mae", float(errors.mean()), ends, len(self))
        metrics["mae"] = mae(self.truths, found)
        if len(self.columns) > 1:
            for k, column in enumerate(self.columns):
                metrics[f"mae_{column}"] = mae(self.truths[:, k], found[:, k])
        metrics["rmse"] = rmse(self.truths, found)
        metrics["r2"] = r2(self.truths, found)
        return Measurement("regression", self.split, len(self), metrics, found)

    def hits(self, measurement: Measurement) -> list[bool]:  # noqa: ARG002 - of the protocol
        """Return nothing: a number is not right or wrong."""
        return []
