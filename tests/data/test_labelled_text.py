"""Texts with labels: rows that are good and bad, splits that share no text, what is told."""

import hashlib
import logging

import numpy as np
import pytest

from edgedl.data.labelled_text import LabelledTextOptions, open_labelled_text
from edgedl.errors import ConfigError, DataError

LABELS = ("good", "bad", "so-so")


def written(folder, rows, head="text,label"):
    path = folder / "reviews.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def rows(n=600):
    return [f"review number {i // 2},{LABELS[i // 2 % 3]}" for i in range(n)]  # each text twice


def opened(path="", **options):
    return open_labelled_text(LabelledTextOptions(path=str(path), **options))


def test_texts_and_labels_come_out_as_they_are(tmp_path):
    data = opened(written(tmp_path, rows()))
    assert data.labels == ("bad", "good", "so-so")
    found = sorted(
        f"{text},{data.labels[number]}"
        for part in data.splits.values()
        for text, number in zip(part.texts, part.labels, strict=True)
    )
    assert found == sorted(rows())
    assert all(part.labels.dtype == np.int64 for part in data.splits.values())


def test_no_text_lies_in_two_splits(tmp_path):
    data = opened(written(tmp_path, rows()), val_part=0.3, test_part=0.3)
    parts = [set(part.texts) for part in data.splits.values()]
    assert len(parts) == 3
    assert sum(map(len, parts)) == len(set.union(*parts)) == 300
    assert data.facts["warnings"] == []


def test_parts_are_about_as_large_as_asked_for(tmp_path):
    several = [f"text {i},{LABELS[i % 3]}" for i in range(3000)]
    data = opened(written(tmp_path, several), val_part=0.1, test_part=0.2)
    for name, part in (("train", 0.7), ("val", 0.1), ("test", 0.2)):
        spread = 4 * (3000 * part * (1 - part)) ** 0.5
        assert abs(len(data.splits[name]) - 3000 * part) < spread


def test_more_data_moves_no_text_and_the_seed_does(tmp_path):
    def places(some, **options):
        data = opened(written(tmp_path, some), **options)
        return {text: name for name, part in data.splits.items() for text in part.texts}

    few, many, other = places(rows(300)), places(rows(600)[::-1]), places(rows(300), seed=2)
    assert all(many[text] == name for text, name in few.items())
    assert few != other


def test_splits_of_a_column(tmp_path):
    some = ["train,a,x", "train,b,y", "val,c,x", "test,a,y", "test,d,x"]
    path = written(tmp_path, some, "part,text,label")
    data = opened(path, split_column="part")
    assert {name: list(part.texts) for name, part in data.splits.items()} == {
        "train": ["a", "b"], "val": ["c"], "test": ["a", "d"],
    }  # fmt: skip
    assert data.facts["warnings"] == [
        "val has no text of y",
        "1 of 2 texts of test are in train, too",
        "1 text with several labels, e.g. 'a'",
    ]


def test_columns_of_other_names(tmp_path):
    path = written(tmp_path, ["5;x;one", "6;y;two"], "id;stars;review")
    data = opened(path, text_column="review", label_column="stars", val_part=0, test_part=0)
    assert data.labels == ("x", "y")
    assert list(data.splits["train"].texts) == ["one", "two"]


def test_facts(tmp_path):
    path = written(tmp_path, [*(f"t{i},x" for i in range(23)), "a,y", "b,y"])
    facts = opened(path, val_part=0, test_part=0).facts
    assert facts["name"] == "reviews.csv"
    assert facts["classes"] == {"train": {"x": 23, "y": 2}}
    lines = [*(f"0\tt{i}\n" for i in range(23)), "1\ta\n", "1\tb\n"]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert facts["splits"] == {"train": {"texts": 25, "sha256": digest}}
    assert facts["warnings"] == [
        "the largest class has more than ten times as many texts as the smallest"
    ]


def test_a_label_that_train_lacks_is_told(tmp_path):
    path = written(tmp_path, ["train,a,x", "train,b,y", "test,c,z"], "part,text,label")
    assert opened(path, split_column="part").facts["warnings"] == [
        "train has no text of z",
        "test has no text of x, y",
    ]


def test_texts_with_several_labels_are_told(tmp_path):
    path = written(tmp_path, ["a,x", "b,y", "b,x", "b,y", "a,x", "c,y", "c,x"])
    (warning,) = opened(path, val_part=0, test_part=0).facts["warnings"]
    assert warning == "2 texts with several labels, e.g. 'b'"


BAD = ["fine,good", "also fine,bad", "too,many,cells", "few", " ,good", "no label, "]


def test_bad_rows_are_told_all_together(tmp_path):
    path = written(tmp_path, BAD)
    with pytest.raises(DataError) as err:
        opened(path)
    assert err.value.code == "E355"
    text = str(err.value)
    assert text.startswith("4 bad samples (")
    for line, why in {
        4: "3 cells where the header has 2",
        5: "1 cells where the header has 2",
        6: "text is empty",
        7: "label is empty",
    }.items():
        assert f"  {path}:{line}: {why}\n" in text
    assert text.endswith("--on-bad-sample skip")


def test_skip_leaves_bad_rows_out_and_logs(tmp_path, caplog):
    path = written(tmp_path, BAD)
    with caplog.at_level(logging.WARNING):
        data = opened(path, on_bad_sample="skip", val_part=0, test_part=0)
    assert list(data.splits["train"].texts) == ["fine", "also fine"]
    assert "left out: 4 bad samples" in caplog.text
    assert f"{path}:6: text is empty" in caplog.text


def test_an_unknown_split(tmp_path):
    path = written(tmp_path, ["train,a,x", "dev,b,y"], "part,text,label")
    with pytest.raises(DataError, match=f"{path}:3: split is 'dev', not train, val or test"):
        opened(path, split_column="part")


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("txt,label\na,x\n", "E359", "has no column 'text'"),
        ("Review,Stars\na,x\n", "E359", "it has: Review, Stars .* --set data.text_column=NAME"),
        ("text,Stars\na,x\n", "E359", "it has: text, Stars .* --set data.label_column=NAME"),
        ("text,lable\na,x\n", "E359", "has no column 'label'; did you mean 'lable'"),
        ("text,label\n", "E359", "has no rows"),
        ("text,label\na,x\nb,x\n", "E352", r"texts of two classes are needed; got \('x',\)"),
    ],
)
def test_files_that_do_not_do(tmp_path, text, code, told):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=told) as err:
        opened(path)
    assert err.value.code == code
    assert str(path) in str(err.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no data at") as err:
        opened(tmp_path / "none.csv")
    assert err.value.code == "E356"


def test_generated_texts():
    data = opened(generated="scenes", count=2000)
    assert sum(map(len, data.splits.values())) == 2000
    assert data.facts["name"] == "scenes"
    assert data.facts["warnings"] == []
    counts = np.bincount(np.concatenate([part.labels for part in data.splits.values()]))
    assert len(counts) == 8  # colours
    assert counts.max() < 2 * counts.min()
    again, other = (opened(generated="scenes", count=2000, seed=seed) for seed in (1, 2))
    assert again.facts == data.facts
    assert other.facts["splits"] != data.facts["splits"]


def test_takes_rows(tmp_path):
    part = opened(written(tmp_path, rows(30)), val_part=0, test_part=0).splits["train"]
    taken = part.take(np.array([4, 0]))
    assert list(taken.texts) == ["review number 2", "review number 0"]
    assert taken.labels.tolist() == [part.labels[4], part.labels[0]]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either data.path or data.generated must be set"),
        ({"path": "x", "generated": "scenes"}, "either data.path or data.generated must be set"),
        ({"path": "x", "val_part": 0.7}, "data.val_part must be in 0..0.5; got 0.7"),
        ({"path": "x", "test_part": -1.0}, "data.test_part must be in 0..0.5; got -1"),
        ({"generated": "scenes", "count": 99}, "data.count must be in 100..500000; got 99"),
        ({"generated": "scenes", "count": 900_000}, "data.count must be in 100..500000"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(ConfigError, match=text) as err:
        LabelledTextOptions(**options)
    assert err.value.code == "E205"
