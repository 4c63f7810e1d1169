"""What a training did, and where it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from edgedl.errors import DataError

TRAINING = "training"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is.

    Attributes:
        done: 0..1.
        step: Steps made.
        loss: The latest mean loss.
        score: The latest validation score, None before the first.
        elapsed_s: Seconds since the first step.
        doing: What takes the time; steps, loss and score mean nothing in other parts.
    """

    done: float
    step: int = 0
    loss: float = math.nan
    score: float | None = None
    elapsed_s: float = 0.0
    doing: str = TRAINING


@dataclass(slots=True)
class History:
    """What a training did; plain values, so that a checkpoint holds it as JSON.

    Attributes:
        precision: ``fp32`` or ``bf16``.
        is_channels_last: Memory layout of the kernels.
        steps: Optimiser steps made.
        seconds: Wall-clock time, summed over interruptions.
        losses: (step, mean loss, learning rate), about 200 of them: first of single steps, later
            of more, so that few are kept.
        scores: (step, validation score).
        measured: Validations that were due so far.
        best_score: The highest of the scores; None where nothing was measured.
        stale: Validations since the best.
        ended_by: ``steps``, ``minutes`` or ``early stop``; empty while it goes on.
        step_ms: What each manner took per step where several were tried.
        data: Digest of the data's splits.
        pending: Sum and count of the losses that are not in ``losses`` yet.
    """

    precision: str = "fp32"
    is_channels_last: bool = False
    steps: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    measured: int = 0
    best_score: float | None = None
    stale: int = 0
    ended_by: str = ""
    step_ms: dict[str, float] = field(default_factory=dict)
    data: str = ""
    pending: tuple[float, int] = (0.0, 0)

    @property
    def recent_loss(self) -> float:
        """The latest mean loss, not a number before the first step."""
        return self.losses[-1][1] if self.losses else float("nan")

    def kept_score(self, keep: Literal["best", "last"]) -> float | None:
        """Return the score of the weights that are kept; None where nothing was measured."""
        if keep == "best" or not self.scores:
            return self.best_score
        return self.scores[-1][1]

    def add_loss(self, value: float, rate: float) -> None:
        """Note the loss of step ``steps``.

        Raises:
            DataError: E350 it is not a number, or infinite.
        """
        if not math.isfinite(value):
            what = "not a number" if math.isnan(value) else "infinite"
            msg = f"training failed at step {self.steps}: the loss is {what}; lower optimizer.lr"
            raise DataError("E350", msg)
        total, count = self.pending[0] + value, self.pending[1] + 1
        if count < 1 + self.steps // 100:
            self.pending = total, count
            return
        self.losses.append((self.steps, total / count, rate))
        self.pending = 0.0, 0

    def add_score(self, value: float) -> bool:
        """Note a validation score; True when no earlier one was better."""
        self.scores.append((self.steps, value))
        if self.best_score is not None and value < self.best_score:
            self.stale += 1
            return False
        is_gain = self.best_score is None or value > self.best_score
        self.stale = 0 if is_gain else self.stale + 1
        self.best_score = value
        return True
