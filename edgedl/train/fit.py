"""The training loop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgedl.errors import ConfigError, DataError
from edgedl.train.schedule import one_cycle, progress

Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]
Score = Callable[[nn.Module], float]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How long and how to train.

    Attributes:
        steps: Number of optimiser steps.
        minutes: Wall-clock budget; the schedule is then completed in fewer steps. 0: none.
        batch: Pictures per step.
        learning_rate: Its peak.
        warmup: Part of the training in which the learning rate rises.
        weight_decay: Of matrices and kernels; biases, norms and embeddings have none.
        clip: Largest norm of the gradient.
        precision: ``bf16`` trains with autocast; ``auto`` takes the faster on this machine.
        validations: How often the score is measured; the best weights are kept.
    """

    steps: int
    minutes: float = 0.0
    batch: int = 128
    learning_rate: float = 3e-3
    warmup: float = 0.15
    weight_decay: float = 0.02
    clip: float = 1.0
    precision: Precision = "auto"
    validations: int = 10

    def __post_init__(self) -> None:
        allowed = {
            "steps": (1, 10_000_000),
            "minutes": (0, 100_000),
            "batch": (1, 65536),
            "learning_rate": (0, 10),
            "warmup": (0, 0.99),
            "weight_decay": (0, 10),
            "clip": (1e-6, 1e6),
            "validations": (1, 100_000),
        }
        for name, (low, high) in allowed.items():
            if not low <= getattr(self, name) <= high:
                msg = f"train.{name} must be in {low}..{high}; got {getattr(self, name)}"
                raise ConfigError("E205", msg)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is.

    Attributes:
        done: 0..1.
        step: Steps made.
        loss: Mean loss since the last report.
        score: The latest validation score, None before the first.
        elapsed_s: Seconds since the first step.
    """

    done: float
    step: int
    loss: float
    score: float | None
    elapsed_s: float


@dataclass(slots=True)
class History:
    """What a training did.

    Attributes:
        precision: ``fp32`` or ``bf16``.
        steps: Optimiser steps made.
        seconds: Wall-clock time.
        losses: (step, loss, learning rate), about 200 of them.
        scores: (step, validation score).
        best_score: The score of the weights that were kept.
        step_ms: What each precision took per step where both were tried.
    """

    precision: str = "fp32"
    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best_score: float = -1.0
    step_ms: dict[str, float] = field(default_factory=dict)


def fit(
    network: nn.Module,
    batches: Iterator[Batch],
    loss: Loss,
    score: Score,
    options: FitOptions,
    report: Callable[[Progress], None] | None = None,
) -> History:
    """Train ``network`` in place and leave it with the weights of the best validation score.

    Args:
        network: Any module; on return in evaluation mode.
        batches: Endless.
        loss: Of a network and a batch.
        score: Of a network in evaluation mode, higher is better; called without gradients.
        options: Steps, budget, learning rate.
        report: Called several times a second at most.

    Raises:
        DataError: E350 the loss is not a number.
    """
    began_s = time.monotonic()
    history = History()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    history.precision = _precision(network, next(batches), loss, options, history)
    optimizer = _optimizer(network, options)
    best, shown, window = _weights(network), began_s, _Window()
    done, validated = 0.0, 0
    while done < 1.0:
        elapsed_s = time.monotonic() - began_s
        rate = options.learning_rate * one_cycle(done, options.warmup)
        value = _step(network, next(batches), loss, optimizer, (rate, options, history))
        history.steps += 1
        window.add(value, history, rate)
        elapsed_s = time.monotonic() - began_s
        done = progress(history.steps, options.steps, elapsed_s, options.minutes * 60)
        if done * options.validations >= validated + 1 or done >= 1.0:
            validated = int(done * options.validations)
            if _validate(network, score, history):
                best = _weights(network)
        if report and (time.monotonic() - shown > 0.2 or done >= 1.0):
            shown = time.monotonic()
            latest = history.scores[-1][1] if history.scores else None
            report(Progress(done, history.steps, window.recent, latest, shown - began_s))
    network.load_state_dict(best)
    network.eval()
    history.seconds = time.monotonic() - began_s
    return history


class _Window:
    """Means of the loss, first over single steps, later over more, so that few are kept."""

    def __init__(self) -> None:
        self.recent = float("nan")
        self._sum, self._count, self._size = 0.0, 0, 1

    def add(self, value: float, history: History, rate: float) -> None:
        if value != value:
            msg = (
                f"training failed at step {history.steps}: the loss is not a number; "
                "lower train.learning_rate"
            )
            raise DataError("E350", msg)
        self._sum, self._count = self._sum + value, self._count + 1
        if self._count < self._size:
            return
        self.recent = self._sum / self._count
        history.losses.append((history.steps, self.recent, rate))
        self._sum, self._count = 0.0, 0
        self._size = 1 + history.steps // 100


def _step(
    network: nn.Module,
    batch: Batch,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    settings: tuple[float, FitOptions, History],
) -> float:
    rate, options, history = settings
    for group in optimizer.param_groups:
        group["lr"] = rate
    network.train()
    with torch.autocast("cpu", torch.bfloat16, enabled=history.precision == "bf16"):
        value = loss(network, batch)
    network.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), options.clip)
    optimizer.step()
    return float(value.detach())


def _validate(network: nn.Module, score: Score, history: History) -> bool:
    """Measure the score; True when no earlier one was better."""
    network.eval()
    with torch.inference_mode():
        value = score(network)
    history.scores.append((history.steps, value))
    if value < history.best_score:
        return False
    history.best_score = value
    return True


def _optimizer(network: nn.Module, options: FitOptions) -> torch.optim.Optimizer:
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in network.named_parameters():
        is_matrix = parameter.ndim >= 2 and "embedding" not in name and "position" not in name
        (decayed if is_matrix else free).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.98), fused=True)


def _weights(network: nn.Module) -> dict[str, Any]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def _precision(
    network: nn.Module, batch: Batch, loss: Loss, options: FitOptions, history: History
) -> str:
    """Return what to train in; for ``auto`` time both in turn on a copy, best of five."""
    if options.precision != "auto":
        return options.precision
    copied = copy.deepcopy(network).train()
    for _ in range(5):
        for name in ("fp32", "bf16"):
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=name == "bf16"):
                value = loss(copied, batch)
            value.backward()  # type: ignore[no-untyped-call]
            took_ms = (time.perf_counter() - start) * 1e3
            history.step_ms[name] = min(took_ms, history.step_ms.get(name, took_ms))
    return min(history.step_ms, key=lambda name: history.step_ms[name])
