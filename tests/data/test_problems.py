"""Bad samples are told all together, or left out and logged."""

import logging

import pytest

from edgedl.data.problems import SHOWN, BadSample, Problems, empty_classes
from edgedl.errors import DataError


def three():
    problems = Problems()
    problems.add("photos/cat/1.jpg", "zero size: the file is empty")
    problems.add("photos/cat/2.jpg", "zero size: the file is empty")
    problems.add("photos/dog/9.jpg", "corrupt: it cannot be decoded")
    return problems


def test_all_are_told_at_once_with_place_reason_and_next_step():
    with pytest.raises(DataError) as err:
        three().finish("fail")
    assert err.value.code == "E355"
    assert err.value.exit_code == 3
    assert str(err.value).splitlines() == [
        "3 bad samples (2 × zero size, 1 × corrupt):",
        "  photos/cat/1.jpg: zero size: the file is empty",
        "  photos/cat/2.jpg: zero size: the file is empty",
        "  photos/dog/9.jpg: corrupt: it cannot be decoded",
        "mend or remove them, or leave them out: --on-bad-sample skip",
    ]


def test_skip_counts_and_logs_what_is_left_out(caplog):
    with caplog.at_level(logging.WARNING):
        assert three().finish("skip") == 3
    assert "left out: 3 bad samples (2 × zero size, 1 × corrupt)" in caplog.text
    assert "photos/dog/9.jpg: corrupt" in caplog.text
    assert "mend or remove" not in caplog.text


@pytest.mark.parametrize("mode", ["fail", "skip"])
def test_nothing_wrong_is_silent(mode, caplog):
    assert Problems().finish(mode) == 0
    assert not caplog.records


def test_one_is_a_sample():
    problems = Problems()
    problems.add("a.csv:3", "label is empty")
    assert problems.found == [BadSample("a.csv:3", "label is empty")]
    with pytest.raises(DataError, match=r"^1 bad sample \(1 × label is empty\):\n  a.csv:3: label"):
        problems.finish("fail")


def test_a_long_list_is_cut_but_counted():
    problems = Problems()
    for i in range(SHOWN + 7):
        problems.add(f"{i:02}.jpg", "corrupt: it cannot be decoded")
    with pytest.raises(DataError) as err:
        problems.finish("fail")
    lines = str(err.value).splitlines()
    assert lines[0] == f"{SHOWN + 7} bad samples ({SHOWN + 7} × corrupt):"
    assert [line[2:8] for line in lines[1 : SHOWN + 1]] == [f"{i:02}.jpg" for i in range(SHOWN)]
    assert lines[SHOWN + 1] == "  … and 7 more"


def test_empty_classes_of_a_split_are_told_together():
    labels = [f"c{i}" for i in range(9)]
    counts = {"train": dict.fromkeys(labels, 2), "val": {"c3": 1}, "test": {}}
    del counts["train"]["c7"]
    assert empty_classes("text", labels, counts) == [
        "train has no text of c7",
        "val has no text of c0, c1, c2, c4, c5 and 3 more classes",
        "test has no text of c0, c1, c2, c3, c4 and 4 more classes",
    ]
    assert empty_classes("text", labels[:5], {"test": {}}) == [
        "test has no text of c0, c1, c2, c3, c4"
    ]
