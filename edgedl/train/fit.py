"""The training loop."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgedl.errors import BundleError, ConfigError
from edgedl.train.checkpoint import copy_into, load_checkpoint, save_checkpoint
from edgedl.train.choose import Manner, choose_manner, lay_out
from edgedl.train.ema import RunningMean
from edgedl.train.history import History, Progress
from edgedl.train.optimizer import make_optimizer, set_rates
from edgedl.train.order import mixed
from edgedl.train.schedule import progress, rate_factor
from edgedl.train.stop import Stopped, catch_signals

if TYPE_CHECKING:
    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Task

Report = Callable[[Progress], None]

_REPORT_S = 0.2


def fit(
    task: Task, recipe: Recipe, checkpoint: Path | None = None, report: Report | None = None
) -> History:
    """Train ``task.network`` in place, and leave it in evaluation mode with the weights to keep.

    With a checkpoint the training goes on where that one was written. On a CPU the weights are
    then, bit for bit, those of a training that was never interrupted, unless a budget of minutes
    ended it.

    Args:
        task: What to train.
        recipe: How.
        checkpoint: Read when it is there; written now and then, and at the end.
        report: Called several times a second at most.

    Raises:
        ConfigError: E205 a length in epochs for data without.
        DataError: E350 the loss is not a number.
        BundleError: E434 the checkpoint cannot be used, E436 it was made with other data.
        Stopped: A signal ended it; the checkpoint says all.
    """
    training = Training(task, recipe)
    if checkpoint is not None and checkpoint.is_file():
        training.load(checkpoint)
    else:
        if report:
            report(Progress(0.0, doing="looking for the fastest precision"))
        training.start()
    shown_s = saved_s = time.monotonic()
    with catch_signals() as signals:
        while not training.history.ended_by:
            training.step()
            now_s = time.monotonic()
            if report and (now_s - shown_s > _REPORT_S or training.history.ended_by):
                shown_s = now_s
                report(training.progress())
            is_due = now_s - saved_s >= recipe.train.checkpoint_s
            if checkpoint and (is_due or signals.caught or training.history.ended_by):
                training.save(checkpoint)
                saved_s = time.monotonic()
            if signals.caught:
                raise Stopped(training.history.steps, signals.caught)
    training.finish()
    return training.history


def planned_steps(task: Task, recipe: Recipe) -> int:
    """Return the length of the training in steps.

    Raises:
        ConfigError: E205 it is given in epochs and the data has none.
    """
    if recipe.train.steps:
        return recipe.train.steps
    if task.steps_per_epoch is None:
        msg = "every batch of this data is fresh, so it has no epochs; set train.steps"
        raise ConfigError("E205", msg)
    return max(1, math.ceil(recipe.train.epochs * task.steps_per_epoch))


class Training:
    """The state of a training: all of it is in its checkpoint."""

    def __init__(self, task: Task, recipe: Recipe) -> None:
        self._task, self._recipe, self._options = task, recipe, recipe.train
        self._steps = planned_steps(task, recipe)
        self.history = History()
        self._network = task.network
        self._best: dict[str, Tensor] = {}

    def start(self) -> None:
        """Begin at step 0 in the manner that is the fastest."""
        task = self._task
        has_val = self._options.folds or "val" in task.facts.get("splits", {"val"})
        if self._options.early_stop and not has_val:
            msg = (
                f"train.early_stop is {self._options.early_stop}, but the data has no split val to "
                "stop by; hold some back, or set train.early_stop = 0"
            )
            raise ConfigError("E205", msg)
        torch.manual_seed(mixed(self._recipe.seed, 0))
        self.history.data = _digest(task.facts)
        manner, took_ms = choose_manner(task.network, task.loss, task.batch(0), self._options)
        self.history.step_ms = {name: round(ms, 2) for name, ms in took_ms.items()}
        self._set_up(manner)

    def load(self, path: Path) -> None:
        """Go on where ``save`` was called."""
        tensors, state = load_checkpoint(path)
        try:
            state["losses"] = [tuple(item) for item in state["losses"]]
            state["scores"] = [tuple(item) for item in state["scores"]]
            state["pending"] = tuple(state["pending"])
            self.history = History(**state)
        except (KeyError, TypeError) as err:
            msg = f"{path} is of another version of edgedl; start again with --force"
            raise BundleError("E434", msg) from err
        if self.history.data != _digest(self._task.facts):
            msg = (
                f"the data is not what it was when {path} was written, so that what was held back "
                "may have been learnt; put it back as it was, or start again with --force"
            )
            raise BundleError("E436", msg)
        self._set_up(Manner(self.history.precision, self.history.is_channels_last))
        copy_into(self._network.state_dict(), tensors, "network.")
        if self._mean:
            copy_into(self._mean.network.state_dict(), tensors, "mean.")
        if any(name.startswith("best.") for name in tensors):
            self._best = _weights(self._network)
            copy_into(self._best, tensors, "best.")
        for name, parameter in self._network.named_parameters():
            start = f"optimizer.{name}:"
            for key in (key for key in tensors if key.startswith(start)):
                slot = self._optimizer.state[parameter]
                value = tensors[key]
                if value.shape == parameter.shape:  # with the memory layout of the parameter
                    value = torch.empty_like(parameter, requires_grad=False).copy_(value)
                slot[key[len(start) :]] = value

    def save(self, path: Path) -> None:
        """Write all that ``load`` needs."""
        tensors = {f"network.{k}": v for k, v in self._network.state_dict().items()}
        if self._mean:
            means = self._mean.network.state_dict()
            tensors |= {f"mean.{k}": v for k, v in means.items()}
        tensors |= {f"best.{k}": v for k, v in self._best.items()}
        for name, parameter in self._network.named_parameters():
            slot: dict[str, Any] = self._optimizer.state.get(parameter, {})
            tensors |= {
                f"optimizer.{name}:{k}": v for k, v in slot.items() if isinstance(v, Tensor)
            }
        save_checkpoint(path, tensors, asdict(self.history))

    def step(self) -> None:
        """Learn from one batch; measure and keep weights when it is time."""
        history, options = self.history, self._options
        began_s = time.monotonic()
        factor = rate_factor(self._recipe.schedule, self._done())
        set_rates(self._optimizer, factor)
        history.add_loss(self._learn(), self._recipe.optimizer.lr * factor)
        if self._mean:
            self._mean.update(self._network, history.steps)
        history.seconds += time.monotonic() - began_s
        done = self._done()
        if int(done * options.validations) > history.measured or done >= 1.0:
            history.measured = int(done * options.validations)
            began_s = time.monotonic()
            self._validate()
            history.seconds += time.monotonic() - began_s
        if options.early_stop and history.stale >= options.early_stop:
            history.ended_by = "early stop"
        elif done >= 1.0:
            history.ended_by = "steps" if history.steps >= self._steps else "minutes"

    def progress(self) -> Progress:
        """Return where the training is."""
        history = self.history
        latest = history.scores[-1][1] if history.scores else None
        done = 1.0 if history.ended_by else self._done()
        return Progress(done, history.steps, history.recent_loss, latest, history.seconds)

    def finish(self) -> None:
        """Give the network the weights to keep."""
        if self._options.keep == "best" and self._best:
            self._network.load_state_dict(self._best)
        elif self._mean:
            self._network.load_state_dict(self._mean.network.state_dict())
        self._network.eval()

    def _set_up(self, manner: Manner) -> None:
        self.history.precision = manner.precision
        self.history.is_channels_last = manner.is_channels_last
        if manner.is_channels_last:
            lay_out(self._network)
        self._optimizer = make_optimizer(self._network, self._recipe.optimizer)
        decay = self._options.ema
        self._mean = RunningMean(self._network, decay) if decay else None

    def _done(self) -> float:
        history, budget_s = self.history, self._options.minutes * 60
        return progress(history.steps, self._steps, history.seconds, budget_s)

    def _learn(self) -> float:
        """Make one step of the optimiser and return the loss before it."""
        history, network = self.history, self._network
        torch.manual_seed(mixed(self._recipe.seed, history.steps))
        batch = self._task.batch(history.steps)
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=history.precision == "bf16"):
            value = self._task.loss(network, batch)
        network.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if self._options.clip:
            nn.utils.clip_grad_norm_(network.parameters(), self._options.clip)
        self._optimizer.step()
        history.steps += 1
        return float(value.detach())

    def _validate(self) -> None:
        """Measure the score of the weights that would be kept now."""
        network = self._mean.network if self._mean else self._network
        network.eval()
        with torch.inference_mode():
            value = self._task.score(network)
        if value == value and self.history.add_score(value) and self._options.keep == "best":
            self._best = _weights(network)


def _digest(facts: Mapping[str, Any]) -> str:
    """Return a digest of what ``data.json`` says of the splits."""
    splits = json.dumps(facts.get("splits"), sort_keys=True)
    return hashlib.sha256(splits.encode()).hexdigest()


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
