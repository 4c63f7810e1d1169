"""What a model was found to be worth: the number that decides, what was lost, how it is shown."""

from __future__ import annotations

import json
import math

import pytest

from edgedl.evaluate import Measurement, Metric, main_metric
from edgedl.evaluate.measurement import with_interval
from edgedl.spec import KINDS

POINTS = Metric("accuracy", "higher", "points")
RELATIVE = Metric("relative_mae", "lower", "relative")


def test_every_task_has_a_number_that_decides() -> None:
    found = {task: main_metric(task) for task in KINDS}
    assert {task: metric.name for task, metric in found.items()} == {
        "captioning": "exact",
        "classification": "accuracy",
        "clip-classification": "accuracy",
        "text-generation": "nats_per_char",
        "text-classification": "accuracy",
        "regression": "relative_mae",
        "tensor": "max_deviation",
    }
    for metric in found.values():  # what is a part counts in points, what is a value relatively
        assert (metric.better == "higher") == (metric.unit == "points")


def test_a_drop_is_what_was_lost() -> None:
    assert POINTS.drop(0.91, of=0.94) == pytest.approx(3.0)
    assert POINTS.drop(0.94, of=0.91) == pytest.approx(-3.0)
    assert RELATIVE.drop(1.1, of=1.0) == pytest.approx(10.0)
    assert RELATIVE.drop(0.9, of=1.0) == pytest.approx(-10.0)
    assert Metric("gain", "higher", "relative").drop(-3, of=-2) == pytest.approx(50.0)


def test_a_drop_against_nothing() -> None:
    assert RELATIVE.drop(0, of=0) == 0
    assert RELATIVE.drop(0.1, of=0) == math.inf


def test_for_people() -> None:
    assert POINTS.show(0.984) == "98.40 %"
    assert RELATIVE.show(1.53217) == "1.532"
    assert POINTS.show_drop(0.351) == "0.35 points"
    assert RELATIVE.show_drop(-12.0) == "-12.00 %"


def test_a_measurement_as_json() -> None:
    metrics = with_interval("relative_mae", 0.5, (0.4, 0.7), 9) | {"r2": 0.9}
    assert list(metrics) == ["relative_mae", "relative_mae_low", "relative_mae_high", "n", "r2"]
    found = Measurement("regression", "test", 9, metrics, outputs=object())
    assert found.main == 0.5
    assert json.loads(json.dumps(found.to_json())) == {
        "task": "regression",
        "split": "test",
        "n": 9,
        "metrics": metrics,
    }
