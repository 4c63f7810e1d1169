"""Predicts the next values of a measured series from a window of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.errors import BundleError, UsageError
from edgedl.runtime.base import Pipeline, Result
from edgedl.runtime.lots import in_lots
from edgedl.runtime.stages import timed

if TYPE_CHECKING:
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec


class Regressor:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a regression model.
        sessions: ``model``.
    """

    compared: tuple[str, ...] = ("values",)

    def __init__(self, spec: ModelSpec, sessions: Mapping[str, Session]) -> None:
        assert spec.series is not None
        self.spec, self.series = spec, spec.series
        self.session = sessions["model"]

    def prepare(self, given: Given) -> Array:
        """Return the window as a batch of one, (1, T, F) float32."""
        assert given.window is not None
        return np.ascontiguousarray(given.window, np.float32)[None]

    def expect(self, tensor: Array) -> Expected:
        """Return the predicted values of one window (1, T, F), by column and as an array."""
        values = self.values(tensor)[0].astype(np.float32)
        named = zip(self.series.outputs, values.tolist(), strict=True)
        return Expected(dict(named), {"values": values})

    def values(self, windows: Array) -> Array:
        """Return (n, O) for any number of windows (n, T, F), all in the table's units."""
        return in_lots(lambda lot: self.session.run({"window": lot})["values"], windows)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressionResult(Result):
    """What is predicted for the row ``horizon`` after the window.

    Attributes:
        values: Column to value, in the table's units.
    """

    values: Mapping[str, float]


class RegressorPipeline(Pipeline):
    """Predicts values with one bundle. Made by ``load``; a context manager."""

    model: Regressor

    def __call__(self, window: Array | Any) -> RegressionResult:
        """Predict from the last rows of a table.

        Args:
            window: (T, F), columns in the order of ``spec.series.inputs``.

        Raises:
            UsageError: E110 another shape, or a value that is not finite.
        """
        rows = np.asarray(window, np.float32)
        wanted = (self.model.series.window, len(self.model.series.inputs))
        if rows.shape != wanted or not np.isfinite(rows).all():
            got = rows.shape if rows.shape != wanted else "NaN or infinity"
            msg = f"[predict] window must be {wanted} finite numbers; got {got}"
            raise UsageError("E110", msg)
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "infer"):
            values = self.model.values(rows[None])[0]
        if not np.isfinite(values).all():
            msg = "self-test failed: expected finite values, got NaN or infinity; export again"
            raise BundleError("E414", msg)
        named = dict(zip(self.model.series.outputs, map(float, values), strict=True))
        return RegressionResult(
            text=", ".join(f"{name} {value:.6g}" for name, value in named.items()),
            values=named,
            stage_ms=stage_ms,
            **self.ran_by,
        )

    def check_fit(self) -> None:
        """Compare the graph with the series spec."""
        series, window = self.model.series, self.model.session.inputs[0]
        if window.shape[1:] != (series.window, len(series.inputs)):
            msg = (
                f"{self.bundle.path}: expected windows of {series.window} rows of "
                f"{len(series.inputs)} columns; got {window.shape}"
            )
            raise BundleError("E413", msg)
        self.check_width(self.model.session, "values", len(series.outputs), "output columns")
