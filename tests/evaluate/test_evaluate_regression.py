"""Predictions of a series: each window once, in the units of the table."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import HEAT, HandSession, heat_values

from edgedl.errors import DataError
from edgedl.evaluate import Measurement, open_evaluation
from edgedl.metrics.interval import block_bootstrap
from edgedl.runtime.model import open_model
from edgedl.spec import SeriesSpec

MODEL: Any = open_model(
    HEAT, {"model": HandSession(lambda window: {"values": heat_values(window)})}
)
WINDOW, HORIZON = 3, 2  # of HEAT


def table() -> list[tuple[float, float]]:
    """Return 40 rows of load and heat, numbers that float32 holds exactly."""
    return [(float(i * i % 17), i * 1.5 - i * i % 5) for i in range(40)]


def ends_of(measured: Measurement) -> tuple[float, float]:
    return measured.metrics["relative_mae_low"], measured.metrics["relative_mae_high"]


def write_table(folder: Path, rows: list[tuple[Any, Any]] | None = None) -> dict[str, Any]:
    lines = ["time,heat,load", *(f"t{i},{h},{x}" for i, (x, h) in enumerate(rows or table()))]
    (folder / "s.csv").write_text("\n".join(lines) + "\n")
    return {
        "path": str(folder / "s.csv"),
        "window": 3,
        "horizon": 2,
        "val_part": 0.125,
        "test_part": 0.5,
    }


def test_every_window_is_rated_once(tmp_path: Path) -> None:
    found = open_evaluation(HEAT, write_table(tmp_path))
    rows = table()[20:]
    errors, truths = [], []
    for start in range(len(rows) - WINDOW - HORIZON + 1):
        seen = rows[start : start + WINDOW]
        truths.append(rows[start + WINDOW - 1 + HORIZON][1])
        assert found.tensors[len(errors)].tolist() == [list(row) for row in seen]
        errors.append(seen[2][1] + seen[2][0] - seen[0][0] + 0.5 - truths[-1])
    assert len(found) == len(errors) == 16
    assert found.truths[:, 0].tolist() == truths
    measured = found.measure(MODEL)
    assert (measured.task, measured.n, found.hits(measured)) == ("regression", 16, [])
    mean = sum(truths) / 16
    spread = sum((t - mean) ** 2 for t in truths)
    relative = [abs(error) / math.sqrt(spread / 16) for error in errors]
    assert measured.main == pytest.approx(sum(relative) / 16)
    assert measured.metrics["mae"] == pytest.approx(sum(map(abs, errors)) / 16)
    assert measured.metrics["rmse"] == pytest.approx(math.sqrt(sum(e * e for e in errors) / 16))
    assert measured.metrics["r2"] == pytest.approx(1 - sum(e * e for e in errors) / spread)
    ends = ends_of(measured)
    assert ends == pytest.approx(block_bootstrap(np.array(relative), WINDOW))
    assert ends[0] < measured.main < ends[1]


def test_a_perfect_prediction(tmp_path: Path) -> None:
    rows = [(0.0, 0.25 * i) for i in range(40)]  # half a degree more in two rows
    measured = open_evaluation(HEAT, write_table(tmp_path, rows)).measure(MODEL)
    assert (measured.main, measured.metrics["rmse"], measured.metrics["r2"]) == (0, 0, 1)
    assert (measured.metrics["mae"], *ends_of(measured)) == (0, 0, 0)


def test_limit_and_input(tmp_path: Path) -> None:
    data = write_table(tmp_path)
    whole, few = open_evaluation(HEAT, data), open_evaluation(HEAT, data, limit=5)
    spread = [0, 3, 6, 9, 12]  # of 16
    np.testing.assert_array_equal(few.tensors, whole.tensors[spread])
    np.testing.assert_array_equal(few.truths, whole.truths[spread])
    np.testing.assert_array_equal(MODEL.prepare(few.inputs(1))[0], whole.tensors[3])
    assert open_evaluation(HEAT, data, limit=1).measure(MODEL).metrics["r2"] == 0


def test_splits_follow_each_other_and_may_be_missing(tmp_path: Path) -> None:
    data = write_table(tmp_path) | {"val_part": 0.0}
    assert len(open_evaluation(HEAT, data, "train")) == 16
    found = open_evaluation(HEAT, data, "val")
    assert (len(found), found.tensors.shape, found.truths.shape) == (0, (0, 3, 2), (0, 1))
    assert len(open_evaluation(HEAT, data | {"val_part": 0.25}, "val")) == 6


def test_two_outputs_are_rated_together(tmp_path: Path) -> None:
    series = SeriesSpec(inputs=("load", "heat"), outputs=("heat", "load"), window=3, horizon=2)
    spec = dataclasses.replace(HEAT, series=series)
    model: Any = open_model(
        spec, {"model": HandSession(lambda window: {"values": window[:, 2, ::-1]})}
    )
    rows = table()[20:]
    errors = [[abs(rows[i][k] - rows[i + HORIZON][k]) for k in (1, 0)] for i in range(2, 18)]
    measured = open_evaluation(spec, write_table(tmp_path)).measure(model)
    truths = np.array([[rows[i + HORIZON][k] for k in (1, 0)] for i in range(2, 18)])
    relative = (np.array(errors) / truths.std(axis=0)).mean(axis=1)
    assert measured.main == pytest.approx(relative.mean())
    assert ends_of(measured) == pytest.approx(block_bootstrap(relative, WINDOW))
    assert measured.metrics["mae"] == pytest.approx(np.mean(errors))
    per_column = [measured.metrics[f"mae_{name}"] for name in series.outputs]
    assert per_column == pytest.approx(np.mean(errors, axis=0))


def test_a_column_of_large_units_does_not_decide(tmp_path: Path) -> None:
    series = SeriesSpec(inputs=("load", "heat"), outputs=("heat", "load"), window=3, horizon=2)
    spec = dataclasses.replace(HEAT, series=series)
    rows = [(x, 1e6 * heat) for x, heat in table()]
    found = open_evaluation(spec, write_table(tmp_path, rows))

    def with_load_off(by: float) -> float:
        values = found.truths * np.float32([1.001, 1]) + np.float32([0, by])
        model: Any = open_model(
            spec, {"model": HandSession(lambda window: {"values": values[: len(window)]})}
        )
        return found.measure(model).main

    assert with_load_off(5) > 10 * with_load_off(0)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (lambda rows: [*rows[:30], ("off", 2), *rows[30:]], "E355", "load is 'off'"),
        (lambda rows: [*rows, (1, "nan")], "E355", "heat is 'nan'"),
        (lambda rows: rows[:8], "E352", "a window of 3 and a horizon of 2 need 5"),
    ],
)
def test_bad_tables(tmp_path: Path, change: Any, code: str, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        open_evaluation(HEAT, write_table(tmp_path, change(table())))
    assert caught.value.code == code


def test_a_table_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("load,heta\n" + "1,2\n" * 40)
    data = write_table(tmp_path) | {"path": str(tmp_path / "x.csv")}
    with pytest.raises(DataError, match="no column 'heat'; did you mean 'heta'") as caught:
        open_evaluation(HEAT, data)
    assert caught.value.code == "E359"
