"""The decisions, at both sides of each bound."""

import pytest

from edgedl.errors import UsageError
from edgedl.evaluate import main_metric
from edgedl.export import gate
from edgedl.export.options import ExportOptions

EXACT, NATS = main_metric("captioning"), main_metric("text-generation")


@pytest.mark.parametrize(
    ("exact", "kept"), [(0.95, True), (0.94, True), (0.9399, False), (1, True)]
)
def test_quality(exact: float, kept: bool) -> None:
    assert (gate.quality_problem("int8-cpu", EXACT, exact, 0.95, max_drop=1.0) is None) == kept


def test_a_refusal_for_quality_gives_both_numbers() -> None:
    assert gate.quality_problem("int8-trt", EXACT, 0.9, 0.95, 1.0) == (
        "int8-trt has exact 90.00 % on the held-out samples, fp32 95.00 %: "
        "it loses 5.00 points, 1.00 points are allowed"
    )


@pytest.mark.parametrize(("nats", "kept"), [(1.5, True), (1.515, True), (1.5151, False), (1, True)])
def test_other_metrics_lose_by_percent_and_upwards(nats: float, kept: bool) -> None:
    assert (gate.quality_problem("fp16", NATS, nats, 1.5, max_drop=1.0) is None) == kept
    if not kept:
        assert gate.quality_problem("fp16", NATS, 1.6, 1.5, 1.0) == (
            "fp16 has nats_per_char 1.6 on the held-out samples, fp32 1.5: "
            "it loses 6.67 %, 1.00 % are allowed"
        )


@pytest.mark.parametrize(("median_ms", "kept"), [(0.99, True), (1.0, False), (1.01, False)])
def test_speed(median_ms: float, kept: bool) -> None:
    assert (gate.speed_problem("int8-cpu", median_ms, 1.0) is None) == kept


def test_a_refusal_for_speed_gives_both_numbers() -> None:
    assert gate.speed_problem("int8-cpu", 2.0, 1.5) == (
        "int8-cpu takes 2.000 ms on this machine, fp32 takes 1.500 ms: nothing is won"
    )


@pytest.mark.parametrize(
    ("text", "points"),
    [("1%", 1), ("0.5 %", 0.5), ("2", 2), ("0%", 0), (".5%", 0.5), ("100%", 100)],
)
def test_percent(text: str, points: float) -> None:
    assert gate.percent(text) == points


@pytest.mark.parametrize("text", ["", "-1%", "101%", "one", "1%%", "nan", "1e1"])
def test_percent_refuses(text: str) -> None:
    with pytest.raises(UsageError, match=r"percentage points in 0\.\.100") as caught:
        gate.percent(text)
    assert caught.value.code == "E124"


def test_families() -> None:
    assert gate.precisions_of("bf16") == ("fp32", "bf16")
    assert gate.precisions_of("auto") == ("fp32", "fp16", "int8-cpu", "int8-packed", "int8-trt")
    assert gate.precisions_of("int8") == ("fp32", "int8-cpu", "int8-packed", "int8-trt")
    with pytest.raises(UsageError, match=r"unknown precision .int.; .* did you mean .int8."):
        gate.precisions_of("int")


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        ({"targets": ("rtz",)}, "E123", "did you mean 'rtx'"),
        ({"precision": "fp8"}, "E121", "unknown precision 'fp8'"),
        ({"max_drop": -0.1}, "E124", "got -0.1"),
        ({"max_drop": float("nan")}, "E124", "got nan"),
        ({"held_out": 15}, "E125", "held_out must be 16 or more; got 15"),
        ({"calibration": 0}, "E125", "calibration must be 1 or more; got 0"),
        ({"rounds": 29}, "E125", "rounds must be 30 or more; got 29"),
    ],
)
def test_options_are_checked(wrong: dict, code: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        ExportOptions(**wrong)
    assert caught.value.code == code
