"""The manner of training: measured once, remembered afterwards."""

import json
from collections import Counter

import pytest
import torch
from torch import nn

from edgedl.train import choose
from edgedl.train.choose import Manner, choose_manner
from edgedl.train.options import TrainOptions

BATCH = (torch.ones(4, 1, 6, 6),)


def loss(network, batch):
    return network(batch[0]).square().mean()


def test_what_was_measured_is_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = nn.Sequential(nn.Conv2d(1, 2, 3))
    manner, took_ms = choose_manner(network, loss, BATCH, TrainOptions(steps=1))
    assert len(took_ms) == 4
    slow = {name: 1.0 if name == "bf16" else 2.0 for name in took_ms}
    path = tmp_path / "edgedl" / "manners.json"
    (key,) = json.loads(path.read_text())
    path.write_text(json.dumps({key: slow}))
    manner, took_ms = choose_manner(network, loss, BATCH, TrainOptions(steps=1))
    assert (manner.name, took_ms) == ("bf16", slow)
    wider = nn.Sequential(nn.Conv2d(1, 3, 3))
    assert choose_manner(wider, loss, BATCH, TrainOptions(steps=1))[1] != slow


def test_nothing_is_measured_where_there_is_no_choice(monkeypatch):
    monkeypatch.setattr(choose, "_measure", None)
    options = TrainOptions(steps=1, precision="fp32")
    manner, took_ms = choose_manner(nn.Linear(2, 2), loss, BATCH, options)
    assert (manner.name, took_ms) == ("fp32", {})
    forced = TrainOptions(steps=1, precision="bf16", channels_last="yes")
    assert choose_manner(nn.Conv2d(1, 2, 3), loss, BATCH, forced)[0].is_channels_last


def test_nothing_is_remembered_where_that_is_not_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _, took_ms = choose_manner(nn.Linear(6, 2), loss, BATCH, TrainOptions(steps=1), remember=False)
    assert took_ms.keys() == {"fp32", "bf16"}
    assert not list(tmp_path.iterdir())


def test_a_broken_memory_is_measured_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "edgedl").mkdir()
    (tmp_path / "edgedl" / "manners.json").write_text("{")
    _, took_ms = choose_manner(nn.Linear(6, 2), loss, BATCH, TrainOptions(steps=1))
    assert took_ms.keys() == {"fp32", "bf16"}


@pytest.mark.parametrize(
    ("unit_ms", "rounds"),
    [(10.0, {"fp32": 5, "bf16": 5, "fp32 channels-last": 5, "bf16 channels-last": 5}),
     (2000.0, {"fp32": 2, "bf16": 1, "fp32 channels-last": 1, "bf16 channels-last": 2})],
)  # fmt: skip
def test_slow_steps_are_tried_less_often(tmp_path, monkeypatch, unit_ms, rounds):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    units = {(True, "fp32"): 2.0, (True, "bf16"): 1.0, (False, "fp32"): 1.4, (False, "bf16"): 1.6}
    now_s, tried = [0.0], []

    def step_ms(network, _loss, _batch, precision):
        is_last = network[0].weight.stride()[-1] == 4  # of four channels beside each other
        tried.append(Manner(precision, is_last).name)
        ms = unit_ms * units[is_last, precision]
        now_s[0] += ms / 1e3
        return ms

    monkeypatch.setattr(choose, "_step_ms", step_ms)
    monkeypatch.setattr(choose.time, "perf_counter", lambda: now_s[0])
    network = nn.Sequential(nn.Conv2d(4, 2, 3))
    manner, took_ms = choose_manner(network, loss, BATCH, TrainOptions(steps=1))
    assert Counter(tried) == rounds
    assert manner.name == "bf16 channels-last"
    assert took_ms.keys() == rounds.keys()
