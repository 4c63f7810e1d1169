"""The next values of a series from a window of its rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import HEAT, HandSession, heat_values, write_bundle

from edgedl.bundle import Given
from edgedl.errors import BundleError, UsageError
from edgedl.runtime.pipeline import RegressionResult, load
from edgedl.runtime.regressor import Regressor
from edgedl.spec import SeriesSpec

WINDOW = [[2.0, 30.0], [9.0, 99.0], [5.0, 40.0]]  # load and heat, the newest row last


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("series") / "x.edge", HEAT)


@pytest.fixture
def pipeline(bundle: Path) -> Iterator[Any]:
    with load(bundle) as opened:
        yield opened


def test_values_in_the_units_of_the_table(pipeline: Any) -> None:
    result = pipeline(np.array(WINDOW))
    assert isinstance(result, RegressionResult)
    assert dict(result.values) == {"heat": 40 + (5 - 2) + 0.5}
    assert result.text == "heat 43.5"
    assert list(result.stage_ms) == ["infer"]
    table = json.loads(json.dumps(result.to_json()))
    assert table["values"] == {"heat": 43.5}


def test_lists_and_other_number_types(pipeline: Any) -> None:
    expected = pipeline(np.float32(WINDOW)).values
    for window in (WINDOW, np.array(WINDOW, np.int16), np.asfortranarray(WINDOW)):
        assert pipeline(window).values == expected


def test_windows_do_not_remember_each_other(pipeline: Any) -> None:
    first = pipeline(WINDOW).values
    pipeline(np.zeros((3, 2)))
    assert pipeline(WINDOW).values == first


def test_long_numbers_are_shown_in_six_digits(pipeline: Any) -> None:
    rows = np.zeros((3, 2))
    rows[2, 1] = 1234567
    assert pipeline(rows).text == "heat 1.23457e+06"
    assert pipeline(rows).values["heat"] == 1234567.5


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (WINDOW[:2], r"must be \(3, 2\) finite numbers; got \(2, 2\)"),
        ([row[:1] for row in WINDOW], r"got \(3, 1\)"),
        ([WINDOW], r"got \(1, 3, 2\)"),
        ([], r"got \(0,\)"),
        ([[np.nan, 1], *WINDOW[1:]], "got NaN or infinity"),
        ([*WINDOW[:2], [np.inf, 1]], "got NaN or infinity"),
    ],
)
def test_wrong_windows(pipeline: Any, wrong: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        pipeline(wrong)
    assert caught.value.code == "E110"


def test_values_that_are_no_numbers(pipeline: Any) -> None:
    pipeline.model.session = HandSession(lambda window: {"values": 0 * window[:, 0, :1] + np.inf})
    with pytest.raises(BundleError, match="expected finite values") as caught:
        pipeline(WINDOW)
    assert caught.value.code == "E414"


def test_the_model_prepares_expects_and_works_in_lots() -> None:
    session = HandSession(lambda window: {"values": heat_values(window)})
    model = Regressor(HEAT, {"model": session})
    tensor = model.prepare(Given(window=np.asfortranarray(WINDOW)))
    assert (tensor.shape, tensor.dtype) == ((1, 3, 2), np.float32)
    assert tensor.flags.c_contiguous
    told = model.expect(tensor)
    assert (dict(told.output), told.text) == ({"heat": 43.5}, "")
    assert told.arrays["values"].tolist() == [43.5]
    many = np.random.default_rng(0).normal(size=(100, 3, 2)).astype(np.float32)
    session.lots.clear()
    expected = [[w[2][1] + w[2][0] - w[0][0] + 0.5] for w in many.astype(float).tolist()]
    np.testing.assert_allclose(model.values(many), expected, atol=1e-5)
    assert session.lots == [64, 36]


@pytest.mark.parametrize(
    ("change", "text", "code"),
    [
        ({"window": 4}, "expected windows of 4 rows of 2 columns", "E413"),
        ({"inputs": ("load", "heat", "level")}, "expected windows of 3 rows of 3 columns", "E413"),
        ({"outputs": ("heat", "load")}, "has 2 output columns; got values", "E416"),
    ],
)
def test_a_graph_for_another_series(
    tmp_path: Path, relist: Callable[..., None], change: dict[str, Any], text: str, code: str
) -> None:
    path = write_bundle(tmp_path / "x.edge", HEAT)
    spec = {"inputs": ("load", "heat"), "outputs": ("heat",), "window": 3, **change}
    relist(path, series=SeriesSpec(**spec))
    with pytest.raises(BundleError, match=text) as caught:
        load(path)
    assert caught.value.code == code
