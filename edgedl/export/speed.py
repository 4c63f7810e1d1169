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

_SAMPLES = 64  # different ones that are timed


def time_answers(
    models: Mapping[str, Model], tensors: Any, rounds: int, warmup: int = 20
) -> dict[str, list[float]]:
    """Time one answer at a time, all models in turn.

    Args:
        models: Name to model.
        tensors: Real samples, an array (n, …) or, of tensor models, n tables of arrays; in each
            round all models answer the same one.
        rounds: Timed rounds.
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
    return interleave(calls, rounds, warmup)
