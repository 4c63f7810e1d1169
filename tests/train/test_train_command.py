"""``edgedl train``: what it prints, and its mistakes."""

import json
from types import SimpleNamespace

import pytest

import edgedl.train
from edgedl.cli import train as command
from edgedl.cli.parser import Parser
from edgedl.errors import ConfigError, UsageError
from edgedl.train import Progress, Stopped


def parse(*argv):
    parser = Parser(prog="edgedl")
    command.add(parser.add_subparsers(parser_class=Parser))
    return parser.parse_args(["train", *argv])


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Replace the training by one that is done at once; returns what it was asked for."""
    asked = {}

    test = {"exact": 0.975, "exact_low": 0.967, "exact_high": 0.981, "bleu4": 0.79, "n": 2000}
    val = {"exact": 0.98, "exact_low": 0.96, "exact_high": 0.99, "n": 512}
    metrics = {"task": "captioning", "test": test, "val": val, "steps": 10, "seconds": 12.3}
    result = SimpleNamespace(
        path=tmp_path / "run",
        metrics={**metrics, "precision": "bf16", "ended_by": "minutes"},
        data={"warnings": ["test has no picture of \x1b[2Jdog"]},
    )

    def pretended(recipe, out, overrides, progress, *, force, resume):
        assert callable(progress)
        asked.update(recipe=recipe, out=out, overrides=overrides, force=force, resume=resume)
        return result

    monkeypatch.setattr(edgedl.train, "train", pretended)
    return asked


def test_prints_quality_and_what_to_type_next(trained, capsys, tmp_path):
    args = parse(
        "scenes-captioner", "--out", "x", "--set", "train.steps=5", "--minutes", "1",
        "--seed", "3", "--force",
    )  # fmt: skip
    assert args.run(args) == 0
    assert trained == {
        "recipe": "scenes-captioner",
        "out": "x",
        "overrides": {"train.steps": "5", "train.minutes": 1.0, "seed": 3},
        "force": True,
        "resume": False,
    }
    out, err = capsys.readouterr()
    assert "run: exact 97.50 % (95 %: 96.70 % to 98.10 %) on test, n = 2000" in out
    assert "run: exact 98.00 % (95 %: 96.00 % to 99.00 %) on val, n = 512" in out
    assert "the time ended training after 10 steps" in out
    assert r"warning: test has no picture of \x1b[2Jdog" in out
    assert f"report: {tmp_path}/run/report.html" in out
    assert err.startswith("next: edgedl export ")
    assert err.endswith("run --out run.edge\n")


def test_data_is_a_place_or_a_name(trained, tmp_path):
    args = parse("mnist-cnn", "--data", str(tmp_path), "--on-bad-sample", "skip")
    args.run(args)
    assert trained["overrides"] == {"data.path": str(tmp_path), "data.on_bad_sample": "skip"}
    args = parse("mnist-cnn", "--data", "fashion-mnist")
    args.run(args)
    assert trained["overrides"] == {"data.path": "fashion-mnist"}


def test_stopped_says_how_to_go_on(monkeypatch, capsys):
    def stopped(*_, **__):
        raise Stopped(321, 15)

    monkeypatch.setattr(edgedl.train, "train", stopped)
    args = parse("scenes-captioner", "--out", "my run")
    assert args.run(args) == 143
    err = capsys.readouterr().err
    assert "stopped after step 321; saved" in err
    assert "edgedl train --out 'my run' --resume" in err


@pytest.mark.parametrize(
    ("words", "text"), [([], "name a recipe"), (["mnist-cnn", "--dry-run", "--resume"], "no --res")]
)
def test_words_that_do_not_go_together(words, text):
    args = parse(*words)
    with pytest.raises(UsageError, match=text):
        args.run(args)


@pytest.mark.usefixtures("trained")
def test_json_alone_on_standard_output(capsys):
    args = parse("scenes-captioner", "--json")
    args.run(args)
    assert json.loads(capsys.readouterr().out)["test"]["exact"] == 0.975


def test_unknown_recipe_names_the_right_one():
    args = parse("scene-captioner")
    with pytest.raises(ConfigError, match="did you mean 'scenes-captioner'"):
        args.run(args)


@pytest.mark.parametrize("item", ["train.steps", "=5"])
def test_override_without_key_or_value(item):
    args = parse("scenes-captioner", "--set", item)
    with pytest.raises(UsageError, match="--set takes KEY=VALUE") as err:
        args.run(args)
    assert err.value.code == "E100"


@pytest.mark.usefixtures("trained")
def test_says_what_folds_are_worth_together(monkeypatch, capsys):
    real = edgedl.train.train

    def with_folds(*args, **kwargs):
        run = real(*args, **kwargs)
        run.metrics["folds"] = {"scores": [0.9, 0.8], "mean": 0.85, "std": 0.0707}
        return run

    monkeypatch.setattr(edgedl.train, "train", with_folds)
    args = parse("mnist-cnn")
    assert args.run(args) == 0
    assert "2 folds: 0.8500 ± 0.0707" in capsys.readouterr().out


def test_tells_what_else_takes_time(capsys):
    show = command._lines(every_s=15.0)
    show(Progress(0.0, doing="reading the data"))
    show(Progress(0.5, 7, 1.25, None, 16.0))
    show(Progress(1.0, doing="measuring on test"))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading the data", "training  50%  step 7, loss 1.250", "measuring on test"]


def test_each_fold_tells_of_its_progress(capsys):
    show = command._lines(every_s=15.0)
    for elapsed_s in (1.0, 16.0, 20.0, 2.0, 17.0):  # the fourth belongs to the next fold
        show(Progress(0.5, 7, 1.25, None, elapsed_s))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["training  50%  step 7, loss 1.250"] * 2
