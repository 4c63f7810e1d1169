"""Miniature trainings of regressors, and what a batch of one is."""

import math

import numpy as np
import pytest
import torch
from losses import first_and_last_loss

from edgedl.errors import DataError
from edgedl.train import train
from edgedl.train.tasks import open_task, read_recipe

TINY = {
    "data.window": 12,
    "model.hidden": 16,
    "optimizer.lr": 0.02,
    "train.batch": 32,
    "train.precision": "fp32",
    "train.validations": 3,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write a wave and its cosine in other units, with a column of text between."""
    rows = ["time,mm,note,kpa"]
    for t in range(900):
        rows.append(f"{t},{math.sin(t / 5):.6f},ok,{101 + 40 * math.cos(t / 5):.5f}")
    path = tmp_path_factory.mktemp("series") / "wave.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def own(path, **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    columns = {"data.inputs": ["mm", "kpa"], "data.outputs": ["kpa"], "data.horizon": 2}
    return {**TINY, "data.path": str(path), **columns, **dotted}


def test_learns_the_machine(tmp_path):
    overrides = {**TINY, "data.count": 1000, "train.epochs": 4}
    run = train("series-lstm", tmp_path / "run", overrides)
    first, last = first_and_last_loss(run)
    assert last < 0.6 * first
    assert run.metrics["test"]["n"] == 200 - 12
    assert run.model_spec.series.inputs == ("load", "temperature", "level")
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "mae on test" in page
    assert "http" not in page


def test_learns_from_a_table_of_ones_own(path, tmp_path):
    run = train("series-lstm", tmp_path / "run", own(path, train__epochs=8))
    assert run.model_spec.series.outputs == ("kpa",)
    assert run.model_spec.series.horizon == 2
    assert run.metrics["test"]["mae"] < 4  # kpa; one that says the mean is 25 off
    assert run.metrics["test"]["r2"] > 0.97


def test_a_batch_is_rows_of_the_table_in_its_units(path):
    task = open_task(read_recipe("series-lstm", own(path)))
    given, values = task.batch(3)
    assert given.shape == (32, 12, 2)
    assert values.shape == (32, 1)
    for window, (value,) in zip(given.numpy(), values.numpy(), strict=True):
        start = min(
            (t for t in range(630) if abs(math.sin(t / 5) - window[0, 0]) < 1e-5),
            key=lambda t: abs(math.cos(t / 5) * 40 + 101 - window[0, 1]),
        )
        assert window[:, 0] == pytest.approx(np.sin((start + np.arange(12)) / 5), abs=1e-4)
        assert value == pytest.approx(101 + 40 * math.cos((start + 11 + 2) / 5), abs=1e-2)


def test_the_scale_is_that_of_the_training_rows(path):
    network = open_task(read_recipe("series-lstm", own(path))).network
    t = np.arange(630)
    assert float(network.output_mean) == pytest.approx(101 + 40 * np.cos(t / 5).mean(), abs=1)
    assert float(network.output_std) == pytest.approx(40 * np.cos(t / 5).std(), abs=0.5)
    assert float(network.input_std[0]) == pytest.approx(np.sin(t / 5).std(), abs=0.02)


def test_score_is_minus_the_mean_error_in_deviations(path):
    task = open_task(read_recipe("series-lstm", own(path)))
    task.network.eval()
    windows, values = task._val
    with torch.no_grad():
        errors = (task.network(windows) - values).abs() / task.network.output_std
        assert task.score(task.network) == pytest.approx(-float(errors.mean()), rel=1e-5)


def test_too_few_rows_says_how_many_are_needed(path):
    recipe = read_recipe("series-lstm", own(path, data__window=300))
    with pytest.raises(DataError, match=r"90 of 900 rows; a window of 300 and a horizon of 2"):
        open_task(recipe)
