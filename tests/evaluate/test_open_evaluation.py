"""The door to the evaluations: which one a task gets, and other data than the recipe's."""

from __future__ import annotations

import dataclasses
from collections.abc import Sized
from pathlib import Path
from typing import Any

import pytest
from idx_files import write_quarters
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH

from edgedl.data.moving import MOTIONS
from edgedl.errors import ConfigError, DataError
from edgedl.evaluate import Evaluation, open_evaluation

SERIES = {"generated": "machine", "count": 200, "window": 3, "horizon": 2}
ROWS = "load,heat\n" + "".join(f"{i},{2 * i}\n" for i in range(100))


def test_each_task_gets_its_own(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("ab " * 500)
    (tmp_path / "x.csv").write_text("text,label\n" + "red,warm\nblue,cold\n" * 5)
    (tmp_path / "y.csv").write_text(ROWS)
    write_quarters(tmp_path / "quarters", train=8, test=4)
    moving = dataclasses.replace(FADES, labels=MOTIONS)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (QUARTERS, {"path": str(tmp_path / "quarters")}, "Classification"),
        (moving, {"generated": "digits", "frames": 3, "test": 2}, "ClipClassification"),
        (WARMTH, {"path": str(tmp_path / "x.csv"), "test_part": 0.5}, "TextClassification"),
        (HEAT, {**SERIES, "generated": "", "path": str(tmp_path / "y.csv")}, "Regression"),
        (LETTERS, {"path": str(tmp_path / "x.txt")}, "TextGeneration"),
    ]
    for spec, data, name in cases:
        found = open_evaluation(spec, data, limit=2)
        assert type(found).__name__ == name
        assert found.split == "test"
        assert isinstance(found, Sized)
        for offered in set(dir(Evaluation)) - set(dir(object)):
            assert offered.startswith("_") or hasattr(found, offered), (name, offered)


def test_a_path_takes_the_place_of_the_data_s_own(tmp_path: Path) -> None:
    data = {"path": str(write_quarters(tmp_path / "a", train=8, test=4))}
    other = write_quarters(tmp_path / "b", train=8, test=6)
    assert len(open_evaluation(QUARTERS, data)) == 4
    assert len(open_evaluation(QUARTERS, data, path=other)) == 6
    assert data == {"path": str(tmp_path / "a")}


def test_other_data_may_be_smaller_than_what_training_held_back(tmp_path: Path) -> None:
    own, other = (
        write_quarters(tmp_path / name, train=train, test=4)
        for name, train in (("own", 40), ("other", 8))
    )
    data = {"path": str(own), "val": 20}
    assert len(open_evaluation(QUARTERS, data, path=other)) == 4
    assert len(open_evaluation(QUARTERS, data, "val")) == 20
    with pytest.raises(ConfigError, match=r"data\.val is 20, but there are 8 pictures"):
        open_evaluation(QUARTERS, data, "val", path=other)


def test_a_path_takes_the_place_of_generated_data(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(ROWS)
    data = dict(SERIES)
    found = open_evaluation(HEAT, data, path=tmp_path / "x.csv")
    assert found.truths[-1].tolist() == [2 * 99]
    assert data == SERIES


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data at") as caught:
        open_evaluation(HEAT, SERIES, path=tmp_path / "no.csv")
    assert caught.value.code == "E356"


def test_nothing_is_said_of_the_data() -> None:
    with pytest.raises(ConfigError, match="path"):
        open_evaluation(QUARTERS, {})
    with pytest.raises(ConfigError, match=r"either data\.path or data\.generated"):
        open_evaluation(HEAT, {})
