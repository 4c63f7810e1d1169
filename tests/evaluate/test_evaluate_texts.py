"""Classifiers of texts on a table whose right answers are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from tiny_kinds import WARMTH, WORTH, HandSession

from edgedl.errors import DataError
from edgedl.evaluate import open_evaluation
from edgedl.runtime.model import open_model

MODEL: Any = open_model(
    WARMTH, {"model": HandSession(lambda tokens: {"logits": WORTH[tokens].sum(axis=1)})}
)
ROWS = """text,label,part
a red fire,warm,test
"blue, blue ice",cold,test
a red door,cold,test
a blue sky,cold,test
red red rose,warm,test
a red sun,warm,train
"""


def write_table(folder: Path, rows: str = ROWS) -> dict[str, Any]:
    (folder / "t.csv").write_text(rows)
    return {"path": str(folder / "t.csv"), "split_column": "part"}


def test_texts_are_rated(tmp_path: Path) -> None:
    found = open_evaluation(WARMTH, write_table(tmp_path))
    assert (len(found), found.truths.tolist()) == (5, [1, 0, 0, 0, 1])
    measured = found.measure(MODEL)
    assert found.hits(measured) == [True, True, False, True, True]
    assert (measured.task, measured.n, measured.main) == ("text-classification", 5, 0.8)
    assert measured.metrics["macro_f1"] == pytest.approx(4 / 5)


def test_limit_and_input(tmp_path: Path) -> None:
    data = write_table(tmp_path)
    assert open_evaluation(WARMTH, data, limit=2).truths.tolist() == [1, 0]
    assert len(open_evaluation(WARMTH, data, "train", limit=7)) == 1
    found = open_evaluation(WARMTH, data)
    assert found.inputs(1).text == "blue, blue ice"
    assert MODEL.prepare(found.inputs(3)).tolist() == [found.tensors[3].tolist()]


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    found = open_evaluation(WARMTH, write_table(tmp_path), "val")
    assert (len(found), found.tensors.shape) == (0, (0, 5))


def test_a_text_lies_in_one_split_only(tmp_path: Path) -> None:
    rows = "\n".join(f"word{i % 40},{'warm' if i % 2 else 'cold'}" for i in range(200))
    (tmp_path / "t.csv").write_text(f"text,label\n{rows}\n")
    data = {"path": str(tmp_path / "t.csv"), "val_part": 0.3, "test_part": 0.3}
    parts = [open_evaluation(WARMTH, data, split) for split in ("train", "val", "test")]
    assert sum(map(len, parts)) == 200
    texts = [{part.inputs(i).text for i in range(len(part))} for part in parts]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 40


def test_classes_that_the_model_does_not_know(tmp_path: Path) -> None:
    data = write_table(tmp_path, ROWS + "tepid tea,mild,train\n")
    with pytest.raises(
        DataError, match=r"t\.csv has the classes cold, mild, warm.*: mild cannot"
    ) as e:
        open_evaluation(WARMTH, data)
    assert e.value.code == "E357"
    turned = dataclasses.replace(WARMTH, labels=("warm", "cold"))
    assert open_evaluation(turned, write_table(tmp_path)).truths.tolist() == [0, 1, 1, 1, 0]


@pytest.mark.parametrize(
    ("rows", "code", "text"),
    [
        ("text,label\na,b\n", "E359", "no column 'part'"),
        (ROWS + "a red hat,,test\n", "E355", "label is empty"),
        (ROWS + "a red hat,warm,exam\n", "E355", "split is 'exam'"),
        ("text,label,part\na,warm,test\n", "E352", "texts of two classes"),
        ("", "E359", "has no header"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: str, code: str, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        open_evaluation(WARMTH, write_table(tmp_path, rows))
    assert caught.value.code == code


def test_bad_rows_can_be_left_out(tmp_path: Path) -> None:
    data = write_table(tmp_path, ROWS + "a red hat,,test\n") | {"on_bad_sample": "skip"}
    assert len(open_evaluation(WARMTH, data)) == 5
