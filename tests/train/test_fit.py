"""The training loop on a problem with a known answer."""

import itertools

import pytest
import torch
from torch import nn

from edgedl.errors import ConfigError, DataError
from edgedl.train.fit import FitOptions, fit


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x)


def batches():
    generator = torch.Generator().manual_seed(0)
    while True:
        x = torch.randn(16, 2, generator=generator)
        yield x, x @ torch.tensor([[2.0], [-3.0]]) + 1


def loss(network, batch):
    return (network(batch[0]) - batch[1]).square().mean()


def score(network):
    return -float((network.layer.weight - torch.tensor([[2.0, -3.0]])).abs().max())


OPTIONS = FitOptions(steps=400, learning_rate=0.1, weight_decay=0.0, clip=100.0, precision="fp32")


def test_finds_the_line():
    torch.manual_seed(0)
    network = Line()
    reports = []
    history = fit(network, batches(), loss, score, OPTIONS, reports.append)
    assert not network.training
    assert network.layer.weight.tolist()[0] == pytest.approx([2, -3], abs=0.01)
    assert network.layer.bias.item() == pytest.approx(1, abs=0.01)
    assert history.steps == 400
    assert len(history.scores) == 10
    assert history.losses[0][1] > 100 * history.losses[-1][1]
    assert reports[-1].done == 1.0
    assert reports[-1].step == 400


def test_same_seed_same_weights():
    weights = []
    for _ in range(2):
        torch.manual_seed(4)
        network = Line()
        fit(network, batches(), loss, score, OPTIONS)
        weights.append(network.layer.weight.clone())
    assert torch.equal(*weights)


def test_keeps_the_best_weights():
    scores = itertools.chain([0.1, 0.9], itertools.repeat(0.2))
    kept = []

    def pretended(network):
        kept.append(network.layer.weight.clone())
        return next(scores)

    network = Line()
    history = fit(network, batches(), loss, pretended, OPTIONS)
    assert history.best_score == 0.9
    assert torch.equal(network.layer.weight, kept[1])


def test_ends_by_time_with_a_completed_schedule():
    options = FitOptions(steps=10_000_000, minutes=0.01, precision="fp32", validations=3)
    history = fit(Line(), batches(), loss, score, options)
    assert 0.6 <= history.seconds < 3
    assert len(history.scores) == 3
    assert history.losses[-1][2] < 0.02 * max(rate for _, _, rate in history.losses)


def test_auto_precision_leaves_the_weights_alone_and_says_what_it_measured():
    options = FitOptions(steps=1, learning_rate=0.0, precision="auto", validations=1)
    network = Line()
    before = network.layer.weight.clone()
    history = fit(network, batches(), loss, score, options)
    assert torch.equal(network.layer.weight, before)
    assert set(history.step_ms) == {"fp32", "bf16"}
    assert history.precision == min(history.step_ms, key=history.step_ms.get)


def test_a_loss_that_is_not_a_number():
    with pytest.raises(DataError, match="at step 1: the loss is not a number; lower") as err:
        fit(Line(), batches(), lambda n, b: loss(n, b) * float("nan"), score, OPTIONS)
    assert err.value.code == "E350"


def test_option_out_of_range():
    with pytest.raises(ConfigError, match=r"train.batch must be in 1..65536; got 0"):
        FitOptions(steps=1, batch=0)
