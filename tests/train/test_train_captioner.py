"""A miniature training, the run it leaves, and what happens when it is interrupted."""

import itertools
import json
import sys

import numpy as np
import pytest
import torch
from losses import first_and_last_loss

from edgedl.data import scenes as sc
from edgedl.data.feed import open_feed
from edgedl.data.scenes import Scenes, is_exact, words
from edgedl.errors import BundleError, DataError
from edgedl.options import parse_toml
from edgedl.runtime.preprocess import Preprocessor
from edgedl.train import Run, train
from edgedl.train.captioning import NOWHERE, caption_all, make_batch, to_tensor
from edgedl.train.tasks import open_task, read_recipe
from edgedl.vocab import BOS, EOS, PAD, Vocab

TINY = {
    "image.size_hw": [32, 32],
    "data.train_px": [32],
    "data.camera_px": 64,
    "data.val": 16,
    "data.test": 24,
    "model.channels": [16, 16, 16],
    "model.strides": [2, 2, 2],
    "model.hidden": 32,
    "train.steps": 60,
    "train.batch": 16,
    "train.minutes": 0,
    "train.validations": 2,
    "train.precision": "fp32",
    "train.channels_last": "yes",
}


@pytest.fixture(scope="module")
def reports():
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, reports):
    return train("scenes-captioner", tmp_path_factory.mktemp("t") / "run", TINY, reports.append)


def test_loss_falls(run, reports):
    last = [report for report in reports if report.doing == "training"][-1]
    assert last.done == 1.0
    assert last.step == 60
    early, late = first_and_last_loss(run)
    assert late < early


def test_run_holds_what_export_needs(run):
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "recipe.toml", "model.json", "weights.safetensors", "spec.json", "vocab.json",
        "data.json", "metrics.json", "curves.png", "report.html",
    }  # fmt: skip
    assert run.spec.size_hw == (32, 32)
    assert set(words()) < set(run.vocab.tokens)
    assert parse_toml(run.path / "recipe.toml")["train"]["steps"] == 60
    assert run.metrics["test"]["n"] == 24
    test = run.metrics["test"]
    assert 0 <= test["exact_low"] <= test["exact"] <= test["exact_high"] <= 1
    assert run.metrics["steps"] == 60
    assert run.metrics["machine"]["cores"] >= 1
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "exact on test" in page
    assert page.count("<figure>") >= 12
    assert "[optimizer]" in page
    assert "http" not in page
    assert (run.path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert run.data["name"] == "scenes"


def test_network_of_an_opened_run_scores_the_same(run):
    opened = Run.open(run.path)
    assert opened == run
    task = open_task(read_recipe(run.path / "recipe.toml"))
    task.kept.load_state_dict(opened.network().state_dict())
    assert task.score(task.network.eval()) == run.metrics["best_score"]
    task.close()


def test_same_seed_same_weights(run, tmp_path):
    again = train("scenes-captioner", tmp_path / "run", TINY)
    ours, theirs = again.network().state_dict(), run.network().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert again.metrics["test"] == run.metrics["test"]


def test_a_batch_is_pictures_licensed_words_and_things():
    recipe = read_recipe("scenes-captioner", TINY)
    vocab, scenes = Vocab.build(words()), Scenes(1, "train")
    frames = [scenes.picture(i, (32, 32)) for i in range(5, 25)]
    images, tokens, looks, things = make_batch(recipe, Preprocessor(recipe.image), vocab, 5, frames)
    expected = (frames[3][..., ::-1].transpose(2, 0, 1) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(images[3].numpy(), expected, atol=2e-6)
    assert (tokens[:, 0] == BOS).all()
    for n, row in enumerate(tokens.tolist()):
        scene = scenes.scene(5 + n)
        assert is_exact(vocab.decode(row[1:]), scene)
        assert set(row[row.index(EOS) + 1 :]) <= {PAD}
        cells = [int(thing.y * 4) * 4 + int(thing.x * 4) for thing in scene.things]
        expected_looks = []
        for word, after in itertools.pairwise(vocab.tokens[i] for i in row):
            about = [*sc.COLORS, *sc.SHAPES, "small", "little", "large", "big"]
            expected_looks.append(after in about)
            assert word
        assert [look != NOWHERE for look in looks[n].tolist()] == expected_looks
        assert set(looks[n].tolist()) == {NOWHERE, *cells}
        mine = things[things[:, 0] == n]
        assert len(mine) == len(scene.things)
        for (_, cell, *_), thing in zip(mine.tolist(), scene.things, strict=True):
            assert (cell // 4, cell % 4) == (int(thing.y * 4), int(thing.x * 4))


def test_feed_is_the_training_split_in_order():
    scenes = Scenes(3, "train")
    with open_feed(3, 4, (32, 48)) as feed:
        frames = [*next(feed), *next(feed)]
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, scenes.picture(i, ((32, 48)[i % 2],) * 2))


def test_feed_starts_at_any_batch():
    with open_feed(3, 4, (32, 48, 40)) as feed:
        straight = [next(feed) for _ in range(4)]
    with open_feed(3, 4, (32, 48, 40), first=2) as feed:
        later = [next(feed) for _ in range(2)]
    for one, other in zip(straight[2], later[0], strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(straight[3], later[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_batches_in_any_order_are_the_same(run):
    task = open_task(read_recipe("scenes-captioner", TINY))
    straight = [task.batch(step) for step in range(3)]
    again = [task.batch(step) for step in (2, 0)]
    task.close()
    assert run.metrics["steps"] == 60
    for one, other in zip((straight[2], straight[0]), again, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_feed_that_dies_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with open_feed(3, 4, (32,)) as feed, pytest.raises(DataError, match="ended") as err:
        next(feed)
    assert err.value.code == "E351"


def test_captions_do_not_depend_on_the_batch(run):
    images = to_tensor(
        Preprocessor(run.spec), [Scenes(1, "test", (64, 64)).picture(i) for i in range(6)]
    )
    network = run.network()
    assert caption_all(network, images, run.vocab)[4:5] == caption_all(
        network, images[4:5], run.vocab
    )


def test_existing_run_is_kept_without_force(run):
    before = (run.path / "model.json").stat().st_mtime_ns
    with pytest.raises(BundleError, match="exists") as err:
        train("scenes-captioner", run.path, TINY)
    assert err.value.code == "E432"
    assert (run.path / "model.json").stat().st_mtime_ns == before


def test_folder_that_is_no_run(tmp_path):
    with pytest.raises(BundleError, match="is not a run: model") as err:
        Run.open(tmp_path)
    assert err.value.code == "E400"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("model.json", "{", "E401"),
        ("model.json", "[]", "E401"),
        ("metrics.json", None, "E401"),
        ("spec.json", "not json", "E401"),
    ],
)
def test_broken_run(run, tmp_path, name, content, code):
    broken = copy_of(run, tmp_path)
    (broken / name).unlink()
    if content is not None:
        (broken / name).write_text(content)
    with pytest.raises(BundleError) as err:
        Run.open(broken)
    assert err.value.code == ("E400" if content is None and name == "model.json" else code)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"family": "captoner"}, "E401", "did you mean 'captioner'"),
        ({"vocab_size": "x"}, "E401", "vocab_size must be"),
        ({"vocab_size": 99}, "E416", "model.json says 99"),
        ({"hidden": 48}, "E413", "model.json is of another network"),
    ],
)
def test_model_that_does_not_fit(run, tmp_path, change, code, text):
    broken = copy_of(run, tmp_path)
    (broken / "model.json").write_text(json.dumps(run.model | change))
    with pytest.raises(BundleError, match=text) as err:
        Run.open(broken).network()
    assert err.value.code == code


def copy_of(run, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in run.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder
