"""Recipes: names, overrides, errors."""

import pytest

from edgedl.errors import ConfigError
from edgedl.options import parse_toml
from edgedl.train.recipe import RECIPES, read_recipe
from edgedl.train.run_folder import to_toml


def test_every_recipe_of_the_package_is_read():
    names = [path.stem for path in RECIPES.glob("*.toml")]
    assert "scenes-captioner" in names
    for name in names:
        recipe = read_recipe(name)
        assert recipe.model.size_hw == recipe.image.size_hw


def test_overrides_are_typed_by_the_recipe():
    recipe = read_recipe(
        "scenes-captioner",
        {
            "seed": "7",
            "train.steps": "50",
            "train.learning_rate": 1,
            "train.precision": "fp32",
            "image.size_hw": "[32, 48]",
            "scenes.train_px": [32, 64],
        },
    )
    assert recipe.seed == 7
    assert recipe.train.steps == 50
    assert recipe.train.learning_rate == 1.0
    assert recipe.train.precision == "fp32"
    assert recipe.model.size_hw == (32, 48)
    assert recipe.scenes.train_px == (32, 64)


def test_resolved_recipe_reads_the_same(tmp_path):
    recipe = read_recipe("scenes-captioner", {"train.steps": 3})
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe.to_dict()))
    assert read_recipe(path) == recipe
    assert parse_toml(path)["train"]["steps"] == 3


@pytest.mark.parametrize(
    ("name", "overrides", "code", "text"),
    [
        ("scene-captioner", {}, "E203", "unknown recipe .* did you mean 'scenes-captioner'"),
        ("nothing.toml", {}, "E200", "nothing.toml not found"),
        ("scenes-captioner", {"train.stepps": 1}, "E203", "did you mean 'steps'"),
        ("scenes-captioner", {"trian.steps": 1}, "E203", "did you mean 'train'"),
        ("scenes-captioner", {"seed.x": 1}, "E203", "'seed' is a value, not a section"),
        ("scenes-captioner", {"train.steps": "many"}, "E204", "must be int; got 'many'"),
        ("scenes-captioner", {"train.precision": "fp31"}, "E204", "did you mean 'fp32'"),
        ("scenes-captioner", {"train.steps": 0}, "E205", "train.steps must be in"),
        ("scenes-captioner", {"lesson.hide_words": 1.0}, "E205", r"hide_words .* in \[0, 1\)"),
        ("scenes-captioner", {"scenes.camera_px": 4}, "E205", "must be in 16..2048"),
        ("scenes-captioner", {"image.layout": "NHWC"}, "E205", "image must be NCHW"),
        ("scenes-captioner", {"image.size_hw": "[60, 64]"}, "E205", "multiples of 8"),
        ("scenes-captioner", {"model.size_hw": "[64, 64]"}, "E203", "set image.size_hw"),
        ("scenes-captioner", {"seed": -1}, "E205", "seed must be in"),
    ],
)
def test_mistakes(name, overrides, code, text):
    with pytest.raises(ConfigError, match=text) as err:
        read_recipe(name, overrides)
    assert err.value.code == code
