"""How long answers take, all models in turn."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from edgedl.export.replay import answer_one
from edgedl.timing import interleave

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgedl.runtime.model import Model

_SAMPLES = 64  # different ones that are timed


def time_answers(
    models: Mapping[str, Model], tensors: npt.NDArray[Any], rounds: int, warmup: int = 20
) -> dict[str, list[float]]:
    """Time one answer at a time, all models in turn.

    Args:
        models: Name to model.
        tensors: Real samples (n, …); in each round all models answer the same one.
        rounds: Timed rounds.
        warmup: Untimed ones before.

    Returns:
        Name to milliseconds per answer, one per round.
    """

    def answer_next(model: Model, samples: Iterator[npt.NDArray[Any]]) -> None:
        answer_one(model, next(samples)[None])

    calls = {
        name: partial(answer_next, model, itertools.cycle(tensors[:_SAMPLES]))
        for name, model in models.items()
    }
    return interleave(calls, rounds, warmup)
