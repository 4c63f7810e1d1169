"""The training loop on a problem with a known answer, interrupted and not."""

import dataclasses
import itertools
import os
import random
import signal

import pytest
import torch
from torch import nn

from edgedl.errors import BundleError, ConfigError, DataError
from edgedl.train.checkpoint import load_checkpoint, save_checkpoint
from edgedl.train.fit import fit
from edgedl.train.optimizer import OptimizerOptions
from edgedl.train.options import TrainOptions
from edgedl.train.order import Order, mixed
from edgedl.train.recipe import Recipe
from edgedl.train.schedule import ScheduleOptions
from edgedl.train.stop import Stopped, catch_signals


class Line:
    """Learns y = 2 a - 3 b + 1 from 160 samples."""

    spec = None
    model = facts = {}  # noqa: RUF012

    def __init__(self, layers=None):
        torch.manual_seed(7)
        self.network = self.kept = layers or nn.Sequential(nn.Linear(2, 1))
        generator = torch.Generator().manual_seed(0)
        self.x = torch.randn(160, 2, generator=generator)
        self.y = self.x @ torch.tensor([[2.0], [-3.0]]) + 1
        self.order = Order(160, 16, 3)
        self.steps_per_epoch = self.order.steps_per_epoch

    def batch(self, step):
        rows = torch.from_numpy(self.order.indices(step))
        return self.x[rows], self.y[rows]

    def loss(self, network, batch):
        return (network(batch[0]) - batch[1]).square().mean()

    def score(self, network):
        return -float((network(self.x) - self.y).abs().max())

    def close(self):
        pass


def recipe(**train):
    optimizer = train.pop("optimizer", OptimizerOptions(lr=0.1, weight_decay=0.0))
    fixed = {"precision": "fp32", "channels_last": "no"}  # auto may choose otherwise each time
    options = {"steps": 400, "batch": 16, **fixed, **train}
    return Recipe(task="line", train=TrainOptions(**options), optimizer=optimizer)


def weights(task):
    return torch.cat([t.flatten().float() for t in task.network.state_dict().values()])


def test_finds_the_line():
    task, reports = Line(), []
    history = fit(task, recipe(), report=reports.append)
    assert not task.network.training
    assert weights(task).tolist() == pytest.approx([2, -3, 1], abs=0.01)
    assert (history.steps, history.ended_by) == (400, "steps")
    assert len(history.scores) == 10
    assert history.losses[0][1] > 100 * history.losses[-1][1]
    assert reports[-1].done == 1.0
    assert reports[-1].step == 400


def test_a_length_in_epochs():
    history = fit(Line(), recipe(steps=0, epochs=2.5))
    assert history.steps == 25


def test_epochs_of_data_that_has_none():
    task = Line()
    task.steps_per_epoch = None
    with pytest.raises(ConfigError, match=r"no epochs; set train\.steps"):
        fit(task, recipe(steps=0, epochs=2))


def test_order_shows_each_sample_once_an_epoch():
    order = Order(10, 3, seed=5)
    assert order.steps_per_epoch == 3
    first = [i for step in range(3) for i in order.indices(step)]
    second = [i for step in range(3, 6) for i in order.indices(step)]
    assert len(set(first)) == len(set(second)) == 9
    assert first != second
    assert list(Order(10, 3, seed=5).indices(4)) == second[3:6]
    assert len(Order(2, 3, seed=5).indices(7)) == 2
    assert mixed(1, 2) != mixed(2, 1)


def test_same_seed_same_weights():
    tasks = Line(), Line()
    for task in tasks:
        fit(task, recipe(steps=20))
    assert torch.equal(*map(weights, tasks))


def test_keeps_the_best_weights_or_the_last():
    kept = {}
    for keep in ("best", "last"):
        task, seen = Line(), []
        scores = itertools.chain([0.1, 0.9], itertools.repeat(0.2))

        def pretended(network, seen=seen, scores=scores):
            seen.append(network[0].weight.clone())
            return next(scores)

        task.score = pretended
        history = fit(task, recipe(keep=keep))
        assert history.best_score == 0.9
        kept[keep] = [torch.equal(task.network[0].weight, w) for w in seen]
    assert kept["best"].index(True) == 1
    assert kept["last"][-1]
    assert not kept["last"][1]


def test_without_validation_data_the_last_weights_are_kept():
    task = Line()
    task.score = lambda network: float("nan")  # noqa: ARG005
    history = fit(task, recipe())
    assert history.best_score is None
    assert history.scores == []
    assert weights(task).tolist() == pytest.approx([2, -3, 1], abs=0.01)


def test_stops_early_after_validations_without_gain():
    task = Line()
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.1, 0.9])
    task.score = lambda network: next(scores)  # noqa: ARG005
    history = fit(task, recipe(early_stop=3))
    assert [value for _, value in history.scores] == [0.1, 0.3, 0.2, 0.3, 0.1]
    assert (history.ended_by, history.steps) == ("early stop", 200)


def test_ends_by_time_with_a_completed_schedule():
    history = fit(Line(), recipe(steps=10_000_000, minutes=0.01, validations=3))
    assert history.ended_by == "minutes"
    assert 0.6 <= history.seconds < 3
    assert len(history.scores) == 3
    assert history.losses[-1][2] < 0.02 * max(rate for _, _, rate in history.losses)


def test_auto_precision_leaves_the_weights_alone_and_says_what_it_measured():
    task = Line(nn.Sequential(nn.Unflatten(1, (2, 1, 1)), nn.Conv2d(2, 1, 1), nn.Flatten()))
    before = weights(task)
    still = OptimizerOptions(name="sgd", lr=0.0, weight_decay=0.0, momentum=0.0)
    history = fit(task, recipe(steps=1, precision="auto", channels_last="auto", optimizer=still))
    assert torch.equal(weights(task), before)
    assert set(history.step_ms) == {"fp32", "bf16", "fp32 channels-last", "bf16 channels-last"}
    best = min(history.step_ms, key=history.step_ms.get)
    assert best.startswith(history.precision)
    assert history.is_channels_last == best.endswith("last")


@pytest.mark.parametrize(
    ("factor", "text"),
    [("nan", "not a number"), ("inf", "infinite"), ("-inf", "infinite")],
)
def test_a_loss_that_is_no_number_any_more(factor, text):
    task = Line()
    task.loss = lambda network, batch: network(batch[0]).square().mean() * float(factor)
    with pytest.raises(DataError, match=rf"step 1: the loss is {text}; lower optimizer\.lr") as err:
        fit(task, recipe(steps=1))
    assert err.value.code == "E350"


def test_clipping_bounds_the_step():
    task = Line()
    before = weights(task)
    plain = OptimizerOptions(name="sgd", lr=1.0, momentum=0.0, weight_decay=0.0)
    still = dataclasses.replace(recipe(steps=1, clip=0.01, optimizer=plain),
                                schedule=ScheduleOptions(name="constant", warmup=0.0))  # fmt: skip
    fit(task, still)
    assert float((weights(task) - before).norm()) == pytest.approx(0.01, rel=1e-3)


def test_the_running_mean_is_measured_and_kept():
    task, steps = Line(), 30
    plain = OptimizerOptions(name="sgd", lr=0.05, momentum=0.0, weight_decay=0.0)
    fit(task, recipe(steps=steps, ema=0.9, keep="last", optimizer=plain))
    other = Line()
    mean, seen = weights(other).double(), []
    loss = other.loss

    def noting(network, batch):
        seen.append(weights(other))
        return loss(network, batch)

    other.loss = noting
    fit(other, recipe(steps=steps, keep="last", optimizer=plain))
    for step, after in enumerate([*seen[1:], weights(other)], start=1):
        decay = min(0.9, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * after.double()
    assert weights(task).tolist() == pytest.approx(mean.tolist(), abs=1e-5)


def interrupting(task, at):
    """Let a task raise in the middle of step ``at``."""
    loss, count = task.loss, itertools.count()

    def raising(network, batch):
        if next(count) == at:
            raise RuntimeError("interrupted")
        return loss(network, batch)

    task.loss = raising
    return task


def deep():
    return nn.Sequential(
        nn.Unflatten(1, (2, 1, 1)), nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 1),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw", "muon"])
@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"early_stop": 4, "channels_last": "yes"}])
def test_resumed_is_bit_for_bit_what_was_never_interrupted(tmp_path, name, more):
    optimizer = OptimizerOptions(name=name, lr=0.02, head_lr=0.01, decay_biases=True)
    options = recipe(steps=60, checkpoint_s=0.0, clip=1.0, optimizer=optimizer, **more)
    torch.manual_seed(1)
    straight = Line(deep())
    whole = fit(straight, options)
    at = random.Random(f"{name} {more}").randrange(1, 60)
    path = tmp_path / "last.safetensors"
    torch.manual_seed(1)
    with pytest.raises(RuntimeError, match="interrupted"):
        fit(interrupting(Line(deep()), at), options, path)
    torch.manual_seed(99)
    resumed = Line(deep())
    history = fit(resumed, options, path)
    assert torch.equal(weights(resumed), weights(straight))
    same = {"seconds": 0.0, "step_ms": {}}
    assert dataclasses.replace(history, **same) == dataclasses.replace(whole, **same)


def test_a_finished_training_is_not_begun_again(tmp_path):
    path = tmp_path / "last.safetensors"
    first = Line()
    fit(first, recipe(steps=10), path)
    again = interrupting(Line(), 0)
    history = fit(again, recipe(steps=10), path)
    assert history.ended_by == "steps"
    assert torch.equal(weights(first), weights(again))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    path, task = tmp_path / "last.safetensors", Line()
    loss, count = task.loss, itertools.count()

    def signalled(network, batch):
        if next(count) == 12:
            os.kill(os.getpid(), number)
        return loss(network, batch)

    task.loss = signalled
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as stopped:
        fit(task, recipe(), path)
    assert (stopped.value.step, stopped.value.exit_code) == (13, 128 + number)
    assert signal.getsignal(number) is before
    resumed, straight = Line(), Line()
    fit(resumed, recipe(), path)
    fit(straight, recipe())
    assert torch.equal(weights(resumed), weights(straight))


def test_a_signal_in_the_last_step_stops_what_would_come_after(tmp_path):
    path, task = tmp_path / "last.safetensors", Line()
    loss, count = task.loss, itertools.count()

    def signalled(network, batch):
        if next(count) == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return loss(network, batch)

    task.loss = signalled
    with pytest.raises(Stopped):
        fit(task, recipe(steps=10), path)
    assert fit(Line(), recipe(steps=10), path).steps == 10


def test_other_data_is_not_gone_on_with(tmp_path):
    path, task = tmp_path / "last.safetensors", Line()
    task.facts = {"splits": {"train": {"sha256": "1"}}}
    fit(task, recipe(steps=5), path)
    again = Line()
    again.facts = {"splits": {"train": {"sha256": "2"}}}
    with pytest.raises(BundleError, match="the data is not what it was when") as err:
        fit(again, recipe(steps=5), path)
    assert err.value.code == "E436"


@pytest.mark.parametrize("change", [{"mood": 1}, {"losses": None}])
def test_a_checkpoint_of_another_version(tmp_path, change):
    path = tmp_path / "last.safetensors"
    fit(Line(), recipe(steps=5), path)
    tensors, state = load_checkpoint(path)
    state |= change
    save_checkpoint(path, tensors, {k: v for k, v in state.items() if v is not None})
    with pytest.raises(BundleError, match="is of another version of edgedl") as err:
        fit(Line(), recipe(steps=5), path)
    assert err.value.code == "E434"


def test_early_stop_needs_something_to_stop_by():
    task = Line()
    task.facts = {"splits": {"train": {}, "test": {}}}
    with pytest.raises(ConfigError, match=r"train.early_stop is 3, but the data has no split val"):
        fit(task, recipe(early_stop=3))


def test_a_second_signal_acts_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with catch_signals() as signals:
        os.kill(os.getpid(), signal.SIGINT)
        assert signals.caught == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_file_that_is_no_checkpoint(tmp_path):
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(BundleError, match="is not a checkpoint; start again with --force") as err:
        fit(Line(), recipe(), path)
    assert err.value.code == "E434"


def test_a_checkpoint_of_another_network(tmp_path):
    path = tmp_path / "last.safetensors"
    fit(Line(), recipe(steps=5), path)
    with pytest.raises(BundleError, match=r"network\.0\.weight.* has shape \(1, 2\)") as err:
        fit(Line(nn.Sequential(nn.Linear(2, 3))), recipe(steps=5), path)
    assert err.value.code == "E434"


def test_option_out_of_range():
    with pytest.raises(ConfigError, match=r"train.batch must be in 1..65536; got 0"):
        TrainOptions(steps=1, batch=0)
    with pytest.raises(ConfigError, match=r"either train.epochs or train.steps must be above 0"):
        TrainOptions()
