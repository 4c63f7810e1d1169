"""``edgedl train``: what it prints, and its mistakes."""

import json
from types import SimpleNamespace

import pytest

import edgedl.train
from edgedl.cli import train as command
from edgedl.cli.parser import Parser
from edgedl.errors import ConfigError, UsageError


def parse(*argv):
    parser = Parser(prog="edgedl")
    command.add(parser.add_subparsers(parser_class=Parser))
    return parser.parse_args(["train", *argv])


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """Replace the training by one that is done at once; returns what it was asked for."""
    asked = {}

    test = {
        "exact": 0.975,
        "n": 2000,
        "exact_interval": [0.967, 0.981],
        "bleu4": 0.79,
        "cider_d": 5.4,
    }
    metrics = {"test": test, "val": {"exact": 0.98}, "steps": 10, "seconds": 12.3}
    result = SimpleNamespace(
        path=tmp_path / "run",
        metrics={**metrics, "precision": "bf16"},
        recipe={"train": {"steps": 25}},
    )

    def pretended(recipe, out, overrides, progress, force):
        assert callable(progress)
        asked.update(recipe=recipe, out=out, overrides=overrides, force=force)
        return result

    monkeypatch.setattr(edgedl.train, "train", pretended)
    return asked


def test_prints_quality_and_what_to_type_next(trained, capsys):
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
    }
    out, err = capsys.readouterr()
    assert "97.5% exact on 2000 held-out pictures (95 %: 96.7% to 98.1%)" in out
    assert "the time ended training after 10 of 25 steps" in out
    assert err.startswith("next: edgedl export ")
    assert err.endswith("run --out scenes.edge\n")


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
