"""How far training is, and what learning rate that means."""

from __future__ import annotations

import math


def progress(step: int, steps: int, elapsed_s: float, budget_s: float | None) -> float:
    """Return how much of a training is done, 0..1: by steps or by time, whichever is further.

    A slow machine so ends within its budget with a completed schedule, only with fewer steps.
    """
    by_time = elapsed_s / budget_s if budget_s else 0.0
    return min(1.0, max(step / steps, by_time))


def one_cycle(done: float, warmup: float) -> float:
    """Return the factor of the peak learning rate.

    Args:
        done: Progress, 0..1.
        warmup: Part of the training in which the factor rises linearly from 0 to 1, in [0, 1);
            afterwards it falls as half a cosine to 0.
    """
    if done < warmup:
        return done / warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - warmup) / (1.0 - warmup))
