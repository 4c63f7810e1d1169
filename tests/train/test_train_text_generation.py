"""Miniature trainings of language models, and what a batch of one is."""

import math
import random

import pytest
import torch
from losses import first_and_last_loss

from edgedl.errors import ConfigError, DataError
from edgedl.train import train
from edgedl.train.tasks import open_task, read_recipe
from edgedl.vocab import UNK

TINY = {
    "model.hidden": 32,
    "model.embedding": 16,
    "model.layers": 1,
    "model.dropout": 0,
    "chunk.length": 24,
    "chunk.warm_up": 4,
    "optimizer.lr": 0.02,
    "train.steps": 60,
    "train.batch": 16,
    "train.ema": 0.9,
    "train.precision": "fp32",
    "train.validations": 2,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Write names from a list of eight: all but which one comes next can be foreseen."""
    names = ["romeo", "juliet", "hamlet", "ophelia", "macbeth", "duncan", "lear", "cordelia"]
    chance = random.Random(1)
    path = tmp_path_factory.mktemp("text") / "names.txt"
    path.write_text("".join(f"{chance.choice(names)}\n" for _ in range(1500)))
    return path


def tiny(path, **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return read_recipe("shakespeare-lstm", {**TINY, "data.path": str(path), **dotted})


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_learns(cell, path, tmp_path):
    overrides = {**TINY, "data.path": str(path), "data.val_part": 0.1}
    run = train(f"shakespeare-{cell}", tmp_path / "run", overrides)
    letters = 6.875  # of a name and its line end, on average
    best = math.log(8) / letters  # nats of a name are spread over its characters
    first, last = first_and_last_loss(run)
    assert first > 2.5 > 1.0 > last
    assert best - 0.01 < run.metrics["test"]["nats_per_char"] < 1.2
    assert run.metrics["val"]["nats_per_char"] == pytest.approx(-run.metrics["best_score"], rel=0.1)
    assert run.model["cell"] == cell
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "nats_per_char on test" in page
    assert "http" not in page


def test_a_batch_is_pieces_of_the_text_and_depends_on_the_step_alone(path):
    one, other = open_task(tiny(path)), open_task(tiny(path))
    (tokens,) = one.batch(7)
    assert torch.equal(tokens, other.batch(7)[0])
    assert not torch.equal(tokens, one.batch(8)[0])
    assert tokens.shape == (16, 4 + 24 + 1)
    text = path.read_text()
    train_part = text[: round(len(text) * 0.9)]
    for row in tokens:
        assert "".join(one.spec.tokens[i] for i in row) in train_part


def test_warm_up_is_read_and_not_rated(path):
    task = open_task(tiny(path))
    (tokens,) = task.batch(0)
    with torch.no_grad():
        logits, _ = task.network(tokens[:, :-1])
    log_probs = torch.log_softmax(logits.double(), dim=2)
    found = log_probs.gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2)
    loss = task.loss(task.network, (tokens,)).item()
    assert loss == pytest.approx(-float(found[:, 4:].mean()), abs=1e-5)
    changed = tokens.clone()
    changed[:, 1:4] = UNK  # what is read before
    assert task.loss(task.network, (changed,)).item() != pytest.approx(loss, abs=1e-4)


def test_score_is_the_mean_over_val_with_the_state_carried(path):
    task = open_task(tiny(path, data__val_part=0.02, data__test_part=0.5))
    task.network.eval()
    tokens = task._val  # so short that it is read as one row
    assert 100 < len(tokens) < 512
    with torch.no_grad():
        logits, _ = task.network(tokens[None, :-1])
        log_probs = torch.log_softmax(logits[0].double(), dim=1)
        expected = float(log_probs.gather(1, tokens[1:, None]).mean())
        assert task.score(task.network) == pytest.approx(expected, abs=1e-5)


def test_no_val_no_score(path):
    assert math.isnan(open_task(tiny(path)).score(None))


def test_a_text_that_is_too_short_says_what_to_do(tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("abc " * 300)
    with pytest.raises(ConfigError, match=r"below the 1080 characters to learn from; got 1204"):
        open_task(tiny(short, chunk__length=1200))


def test_parts_that_leave_nothing_to_learn_from(path):
    recipe = tiny(path, data__val_part=0.5, data__test_part=0.5)
    with pytest.raises(DataError, match=r"nothing in train, only val, test; leave some"):
        open_task(recipe)


def test_another_family_is_refused(path):
    with pytest.raises(ConfigError, match=r"model.family must be 'char-lm' .* got 'lenet'"):
        tiny(path, model__family="lenet")
