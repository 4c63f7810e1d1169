"""How far training is, and what learning rate that means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgedl.errors import ConfigError
from edgedl.options import check_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleOptions:
    """The section ``[schedule]`` of a recipe: how the learning rates rise and fall.

    All places are parts of the training, 0..1, so that a schedule means the same for any number
    of steps.

    Attributes:
        name: After the warm-up the rates fall as half a cosine (``cosine``), as a line
            (``linear``), by ``factor`` at each of ``at`` (``step``), or stay (``constant``).
        warmup: Part in which the rates rise linearly from 0.
        final: What ``cosine`` and ``linear`` fall to, as a part of the peak.
        at: Where ``step`` lowers the rates.
        factor: What ``step`` multiplies them by.
    """

    name: Literal["cosine", "linear", "step", "constant"] = "cosine"
    warmup: float = 0.1
    final: float = 0.0
    at: tuple[float, ...] = (0.5, 0.75)
    factor: float = 0.1

    def __post_init__(self) -> None:
        check_ranges("schedule", self, warmup=(0, 0.99), final=(0, 1), factor=(0, 1))
        if not all(0 < place < 1 for place in self.at):
            msg = f"schedule.at must be in 0..1; got {self.at}"
            raise ConfigError("E205", msg)
        if self.final and self.name not in ("cosine", "linear"):
            msg = f"schedule.final is for cosine and linear; got {self.final} for {self.name}"
            raise ConfigError("E205", msg)


def progress(step: int, steps: int, elapsed_s: float, budget_s: float | None) -> float:
    """Return how much of a training is done, 0..1: by steps or by time, whichever is further.

    A slow machine so ends within its budget with a completed schedule, only with fewer steps.
    """
    by_time = elapsed_s / budget_s if budget_s else 0.0
    return min(1.0, max(step / steps, by_time))


def rate_factor(options: ScheduleOptions, done: float) -> float:
    """Return the factor of the peak learning rates at progress ``done``, 0..1."""
    if done < options.warmup:
        return done / options.warmup
    if options.name == "step":
        return options.factor ** sum(done >= place for place in options.at)
    if options.name == "constant":
        return 1.0
    left = (1.0 - done) / (1.0 - options.warmup)
    height = left if options.name == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
    return options.final + (1.0 - options.final) * height
