"""Trainings that begin with small pictures."""

import pytest
import torch
from idx_files import write_quarters

from edgedl.errors import ConfigError
from edgedl.train import train
from edgedl.train.options import TrainOptions
from edgedl.train.progressive import relative_cost, shrunk, side_px
from edgedl.train.tasks import open_task, read_recipe

TINY = {
    "val": 60, "widths": [8], "depth": 1, "epochs": 1, "batch": 20,
    "precision": "fp32", "channels_last": "no", "validations": 1,
}  # fmt: skip


def test_the_side_of_each_part():
    sides, until = (20, 24), (0.4, 0.8)
    found = [side_px(sides, until, done) for done in (0.0, 0.39, 0.4, 0.79, 0.8, 1.0)]
    assert found == [20, 20, 24, 24, 0, 0]
    assert side_px((), (), 0.0) == 0


def test_the_cost_of_the_parts():
    assert relative_cost((), (), 32) == 1
    assert relative_cost((16,), (0.5,), 32) == pytest.approx(0.5 * 0.25 + 0.5)
    found = relative_cost((8, 16), (0.25, 0.75), 32)
    assert found == pytest.approx(0.25 / 16 + 0.5 / 4 + 0.25)


def test_small_pictures_show_the_same():
    ramp = torch.arange(32.0).expand(2, 3, 32, 32)
    labels = torch.tensor([1, 2])
    small, same = shrunk((ramp, labels), 16)
    assert small.shape == (2, 3, 16, 16)
    torch.testing.assert_close(
        small[..., 1:-1], (2 * torch.arange(16.0) + 0.5).expand(2, 3, 16, 16)[..., 1:-1]
    )
    assert same is labels


def test_a_training_sees_each_size(tmp_path, monkeypatch):
    folder, seen = write_quarters(tmp_path / "data"), []
    task_class = type(open_task(read_recipe("mnist-cnn", {**TINY, "data.path": str(folder)})))
    loss = task_class.loss

    def noted(self, network, batch):
        if network.training:
            seen.append(batch[0].shape[-1])
        return loss(self, network, batch)

    monkeypatch.setattr(task_class, "loss", noted)
    sides = {"sides": [8, 10], "sides_until": [0.25, 0.5]}
    train("mnist-cnn", tmp_path / "run", {**TINY, **sides, "data.path": str(folder)})
    assert seen == [8] * 4 + [10] * 3 + [12] * 6  # 13 steps


@pytest.mark.parametrize(
    ("sides", "until"),
    [((16,), ()), ((16, 24), (0.5, 0.4)), ((16,), (1.0,)), ((16,), (0.0,)), ((4,), (0.5,))],
)
def test_impossible_parts(sides, until):
    with pytest.raises(ConfigError, match="as many rising numbers"):
        TrainOptions(epochs=1, sides=sides, sides_until=until)


@pytest.mark.parametrize(
    ("recipe", "text"),
    [
        (
            {**TINY, "family": "airbench", "widths": [8, 8, 8], "depth": None},
            "takes no pictures of 8 x 8 pixels",
        ),
        ({}, "train.sides is for pictures; got batches of the shape"),
    ],
)
def test_what_cannot_be_shrunk(recipe, text, tmp_path):
    sides = {"sides": [8], "sides_until": [0.5], "precision": "fp32"}
    if recipe:
        folder = write_quarters(tmp_path / "data")
        recipe = {k: v for k, v in recipe.items() if v is not None}
        name, given = "mnist-cnn", {**recipe, **sides, "data.path": str(folder)}
    else:
        name, given = "text-lstm", {**sides, "data.count": 200}
    with pytest.raises(ConfigError, match=text):
        train(name, tmp_path / "run", given)
    assert not (tmp_path / "run").exists()
