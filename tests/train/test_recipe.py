"""Recipes: names, overrides, errors."""

import pytest

from edgedl.errors import ConfigError
from edgedl.options import parse_toml
from edgedl.train.recipe import RECIPES
from edgedl.train.run_folder import to_toml
from edgedl.train.tasks import read_recipe


def names():
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


@pytest.mark.parametrize("name", names())
def test_every_recipe_of_the_package_is_read_and_reads_the_same_again(name, tmp_path):
    recipe = read_recipe(name)
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe.to_dict()))
    assert read_recipe(path) == recipe


def test_overrides_are_typed_by_the_recipe():
    recipe = read_recipe(
        "scenes-captioner",
        {
            "data.seed": "7",
            "train.steps": "50",
            "optimizer.lr": 1,
            "train.precision": "fp32",
            "image.size_hw": "[32, 48]",
            "data.train_px": [32, 64],
        },
    )
    assert recipe.data.seed == 7
    assert recipe.train.steps == 50
    assert recipe.optimizer.lr == 1.0
    assert recipe.train.precision == "fp32"
    assert recipe.widths().size_hw == (32, 48)
    assert recipe.data.train_px == (32, 64)


def test_a_bare_key_means_the_one_section_that_has_it():
    recipe = read_recipe("mnist-cnn", {"epochs": "2.5", "lr": "0.5", "widths": "[8]", "seed": 9})
    assert recipe.train.epochs == 2.5
    assert recipe.optimizer.lr == 0.5
    assert recipe.model["widths"] == [8]
    assert (recipe.seed, recipe.data.seed) == (9, 1)  # the recipe's own comes first


def test_epochs_and_steps_replace_each_other():
    assert read_recipe("mnist-cnn", {"steps": 5}).train.epochs == 0
    assert read_recipe("scenes-captioner", {"steps": 5}).train.steps == 5
    with pytest.raises(ConfigError, match=r"either train\.epochs or train\.steps must be above 0"):
        read_recipe("mnist-cnn", {"steps": 0})


def test_another_family_leaves_the_options_of_the_first_behind():
    given = {"width": 0.5, "model.weights": "x.pt", "family": "mobilenetv3-small"}
    recipe = read_recipe("mnist-cnn", given)
    assert recipe.model == {"family": "mobilenetv3-small", "width": 0.5, "weights": "x.pt"}


def test_resolved_recipe_keeps_overrides(tmp_path):
    recipe = read_recipe("scenes-captioner", {"train.steps": 3})
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(recipe.to_dict()))
    assert parse_toml(path)["train"]["steps"] == 3


@pytest.mark.parametrize(
    ("name", "overrides", "code", "text"),
    [
        ("scene-captioner", {}, "E203", "unknown recipe .* did you mean 'scenes-captioner'"),
        ("nothing.toml", {}, "E200", "nothing.toml not found"),
        ("scenes-captioner", {"train.stepps": 1}, "E203", "did you mean 'steps'"),
        ("scenes-captioner", {"stepps": 1}, "E203", "did you mean 'train.steps'"),
        ("scenes-captioner", {"trian.steps": 1}, "E203", "did you mean 'train.steps'"),
        ("scenes-captioner", {"name": "sgd"}, "E203",
         "say 'optimizer.name' or 'schedule.name'"),
        ("scenes-captioner", {"qqq": 1}, "E203", "no such key; sections: data, image, lesson"),
        ("scenes-captioner", {"train": 1}, "E203", "no such key; did you mean .train"),
        ("scenes-captioner", {"train.steps": "many"}, "E204", "must be int; got 'many'"),
        ("scenes-captioner", {"train.precision": "fp31"}, "E204", "did you mean 'fp32'"),
        ("scenes-captioner", {"train.steps": 0}, "E205", "either train.epochs or train.steps"),
        ("scenes-captioner", {"lesson.hide_words": 1.0}, "E205", "hide_words must be in 0..0.99"),
        ("scenes-captioner", {"data.camera_px": 4}, "E205", "must be in 16..2048"),
        ("scenes-captioner", {"image.layout": "NHWC"}, "E205", "image must be NCHW"),
        ("scenes-captioner", {"image.size_hw": "[60, 64]"}, "E205", "multiples of 8"),
        ("scenes-captioner", {"model.size_hw": "[64, 64]"}, "E203", "set image.size_hw"),
        ("clips-lstm", {"data.path": "videos", "generated": "scenes"}, "E205",
         "either path or generated"),
        ("mnist-cnn", {"data.path": "/data/\udcff"}, "E216", "is not UTF-8; rename"),
        ("scenes-captioner", {"seed": -1}, "E205", "seed must be in"),
        ("scenes-captioner", {"class_weights": "balanced"}, "E205",
         "train.class_weights has no effect on captioning; got 'balanced', leave it at 'none'"),
        ("shakespeare-lstm", {"label_smoothing": 0.1}, "E205",
         "train.label_smoothing has no effect on text-generation; got 0.1, leave it at 0.0"),
        ("shakespeare-lstm", {"class_weights": "balanced"}, "E205", "no effect on text-generation"),
        ("series-lstm", {"label_smoothing": 0.1}, "E205", "no effect on regression"),
        ("series-lstm", {"class_weights": "balanced"}, "E205", "no effect on regression"),
        ("scenes-captioner", {"task": "captoning"}, "E204", "did you mean 'captioning'"),
    ],
)  # fmt: skip
def test_mistakes(name, overrides, code, text):
    with pytest.raises(ConfigError, match=text) as err:
        read_recipe(name, overrides)
    assert err.value.code == code
