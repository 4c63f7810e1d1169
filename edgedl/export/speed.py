"""How long answers take, all models in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgedl.export.replay import answer_one
from edgedl.timing import interleave

if TYPE_CHECKING:
    from edgedl.runtime.model import Model

MOST_S = 5.0
"""Seconds that timing takes, more or less; of slow models fewer answers are timed."""

_SAMPLES = 64  # different ones that are timed
_LEAST = 30  # rounds


def time_answers(
    models: Mapping[str, Model], tensors: Any, rounds: int, warmup: int = 20
) -> dict[str, list[float]]:
    """Time one answer at a time, all models in turn.

    Args:
        models: Name to model.
        tensors: Real samples, an array (n, …) or, of tensor models, n tables of arrays; in each
            round all models answer the same one.
        rounds: Timed rounds; fewer where they would take longer than ``MOST_S``.
        warmup: Untimed ones before.

    Returns:
        Name to milliseconds per answer, one per round.
    """

    def answer_next(model: Model, samples: Iterator[Any]) -> None:
        answer_one(model, next(samples))

    ones = [tensors[i : i + 1] for i in range(min(_SAMPLES, len(tensors)))]
    calls = {
        name: partial(answer_next, model, itertools.cycle(ones)) for name, model in models.items()
    }
    first = interleave(calls, 1, warmup)
    fit = int(1e3 * MOST_S / max(1e-3, sum(map(sum, first.values()))))
    return interleave(calls, min(rounds, max(_LEAST, fit)), 0)
