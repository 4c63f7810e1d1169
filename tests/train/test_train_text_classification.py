"""Miniature trainings of text classifiers, and what a batch of one is."""

import random

import pytest
import torch
from losses import first_and_last_loss

from edgedl.data.labelled_text import LabelledTextOptions, open_labelled_text
from edgedl.errors import ConfigError, DataError
from edgedl.train import train
from edgedl.train.folds import Fold
from edgedl.train.tasks import open_task, read_recipe
from edgedl.vocab import PAD, UNK

TINY = {
    "text.length": 14,
    "model.hidden": 16,
    "model.embedding": 16,
    "train.batch": 32,
    "train.precision": "fp32",
    "train.validations": 2,
}
GOOD, BAD = ("fine", "lovely", "superb"), ("dull", "poor", "awful")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write a table of reviews; "not" turns the meaning of the word after it."""
    chance, rows = random.Random(1), ["review,stars"]
    for _ in range(1200):
        is_good, is_not = chance.random() < 0.5, chance.random() < 0.3
        word = chance.choice(GOOD if is_good != is_not else BAD)
        noun = chance.choice(("film", "book", "song", "play"))
        tail = chance.choice((", they say", "", " indeed"))
        label = "good" if is_good else "bad"
        rows.append(f'"The {noun} is {"not " * is_not}{word}{tail}.",{label}')
    path = tmp_path_factory.mktemp("texts") / "reviews.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def own(path, **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    columns = {"data.text_column": "review", "data.label_column": "stars"}
    return {**TINY, "data.path": str(path), **columns, **dotted}


def test_learns_whose_colour(tmp_path):
    overrides = {**TINY, "data.count": 1500, "train.epochs": 5, "optimizer.lr": 0.02}
    run = train("text-lstm", tmp_path / "run", overrides)
    first, last = first_and_last_loss(run)
    assert last < 0.7 * first
    assert run.metrics["test"]["accuracy"] > 0.4  # by chance 0.125
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for part in ("Confusion", "Calibration", "accuracy on test"):
        assert part in page
    assert "http" not in page


def test_learns_from_a_table_of_ones_own(path, tmp_path):
    run = train("text-lstm", tmp_path / "run", own(path, train__epochs=6, optimizer__lr=0.03))
    assert run.model_spec.labels == ("bad", "good")
    assert run.metrics["test"]["accuracy"] > 0.95
    assert run.recipe["data"]["generated"] == ""


def test_no_text_is_learnt_and_held_back_in_one_fold(path):
    recipe = read_recipe("text-lstm", own(path, train__folds=3))
    rows = [line.rsplit(",", 1)[0] for line in path.read_text().splitlines()[1:]]
    held = []
    for index in range(3):
        task = open_task(recipe, Fold(index, 3))
        tokens = task._val[0]
        held.append({tuple(row) for row in tokens.tolist()})
        assert held[-1].isdisjoint(map(tuple, task._tokens.tolist()))
        assert "val" not in task.facts["splits"]
    assert not held[0] & held[1]
    assert len(set().union(*held)) > len(set(rows)) / 2


def test_folds_are_trained_and_measured(path, tmp_path):
    few = own(path, train__folds=2, train__epochs=2, optimizer__lr=0.03)
    run = train("text-lstm", tmp_path / "run", few)
    assert len(run.metrics["folds"]["scores"]) == 2
    assert min(run.metrics["folds"]["scores"]) > 0.6
    assert "val" not in run.metrics


def test_a_batch_is_tokens_and_labels(path):
    task = open_task(read_recipe("text-lstm", own(path)))
    data = open_labelled_text(
        LabelledTextOptions(path=str(path), text_column="review", label_column="stars")
    )
    known = {
        tuple(text.lower().replace(",", " ,").replace(".", " .").split()): label
        for text, label in zip(
            data.splits["train"].texts, data.splits["train"].labels.tolist(), strict=True
        )
    }
    for step in (0, 3):
        tokens, labels = task.batch(step)
        assert tokens.shape == (32, 14)
        for row, label in zip(tokens.tolist(), labels.tolist(), strict=True):
            words = tuple(task.spec.tokens[i] for i in row if i != PAD)
            assert known[words] == label


def test_hidden_words_are_unknown_ones(path):
    plain = open_task(read_recipe("text-lstm", own(path)))
    hiding = open_task(read_recipe("text-lstm", own(path, text__hide=0.25)))
    torch.manual_seed(3)
    before, after = plain.batch(5)[0], hiding.batch(5)[0]
    is_hidden = after == UNK
    assert torch.equal(after, torch.where(is_hidden, UNK, before))
    assert 0.15 < float(is_hidden[before != PAD].float().mean()) < 0.35
    assert not is_hidden[before == PAD].any()


def test_score_is_the_accuracy_on_val(path):
    task = open_task(read_recipe("text-lstm", own(path)))
    labels = task._val[1]
    always_good = task.score(lambda given: torch.tensor([[0.0, 1.0]]).expand(len(given), 2))
    assert always_good == pytest.approx(float((labels == 1).float().mean()))


def test_data_without_train_is_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("review,stars,part\na,good,test\nb,bad,test\n")
    recipe = read_recipe("text-lstm", own(path, data__split_column="part"))
    with pytest.raises(DataError, match=r"nothing in train, only test"):
        open_task(recipe)


def test_no_file_says_so(tmp_path):
    recipe = read_recipe("text-lstm", own(tmp_path / "none.csv"))
    with pytest.raises(DataError, match=r"none\.csv"):
        open_task(recipe)


def test_ranges_are_checked(path):
    with pytest.raises(ConfigError, match=r"text\.length must be in 1\.\.4096; got 0"):
        read_recipe("text-lstm", own(path, text__length=0))
