"""Networks by name."""

import inspect
import json

import pytest
import torch

from edgedl.errors import BundleError, ConfigError
from edgedl.models.build import build, families, model_options, model_table

SIZES = {
    "channels": 1,
    "image_channels": 1,
    "classes": 3,
    "size_hw": (12, 8),
    "vocab_size": 7,
    "length": 4,
    "frames": 3,
    "inputs": 2,
    "outputs": 1,
    "window": 4,
}


def table_of(family, **options):
    sizes = {key: SIZES[key] for key in families()[family].sizes}
    return model_table(model_options({"family": family, **options}, "recipe.toml [model]"), **sizes)


@pytest.mark.parametrize("family", families())
def test_a_table_rebuilds_its_network(family):
    table = json.loads(json.dumps(table_of(family)))
    with torch.device("meta"):
        network = build(table, "model.json")
    assert table["family"] == family
    sizes = {key: SIZES[key] for key in families()[family].sizes}
    assert model_table(network.options, **sizes) == table
    assert set(network.parts()) <= {"model", "step", "encoder"}


@pytest.mark.parametrize(
    ("family", "role", "inputs"),
    [
        ("captioner", "encoder", ["image"]),
        ("captioner", "step", ["token", "h_in", "c_in", "features"]),
        ("vgg11", "model", ["image"]),
        ("row-classifier", "model", ["image"]),
        ("char-lm", "step", ["token", "h_in", "c_in"]),
        ("text-classifier", "model", ["tokens"]),
        ("clip-classifier", "encoder", ["image"]),
        ("clip-classifier", "model", ["features"]),
        ("regressor", "model", ["window"]),
    ],
)
def test_parts_take_what_their_graphs_are_given(family, role, inputs):
    with torch.device("meta"):
        part = build(table_of(family), "model.json").parts()[role]
    assert list(inspect.signature(part.forward).parameters) == inputs


def refused(change):
    with pytest.raises((BundleError, ConfigError)) as err:
        build({**table_of("row-classifier"), **change}, "run/model.json")
    return err.value


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"family": "resnet19"}, "E401", "run/model.json: unknown family 'resnet19'; did you mean"),
        ({"family": None}, "E401", "unknown family None; known: lenet, airbench"),
        ({"classes": 1}, "E401", "run/model.json: classes must be a number in 2..65536; got 1"),
        ({"classes": True}, "E401", "classes must be a number in 2..65536; got True"),
        ({"classes": None}, "E401", "got None"),
        ({"size_hw": [28]}, "E401", "size_hw must be two numbers in 1..8192; got [28]"),
        ({"size_hw": 28}, "E401", "size_hw must be two numbers in 1..8192; got 28"),
        ({"hiden": 3}, "E203", "run/model.json: unknown key 'hiden'; did you mean 'hidden'?"),
        ({"cell": "ltsm"}, "E204", "cell must be one of 'rnn', 'gru', 'lstm'; got 'ltsm'; did you"),
        ({"layers": 9}, "E205", "layers must be in 1..3; got"),
    ],
)
def test_a_wrong_table(change, code, text):
    error = refused(change)
    assert error.code == code
    assert text in str(error)


def test_a_recipe_with_a_typo():
    with pytest.raises(ConfigError, match="unknown family 'vgg12'; did you mean 'vgg1") as err:
        model_options({"family": "vgg12"}, "recipe.toml [model]")
    assert err.value.code == "E203"
    with pytest.raises(ConfigError, match="unknown key 'widht'; did you mean 'width'"):
        model_options({"family": "vgg11", "widht": 1.0}, "recipe.toml [model]")
