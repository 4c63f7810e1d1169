"""What a training would be, without training: shapes, costs, memory, time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgedl.models.summary import kept_bytes, summarize
from edgedl.train.choose import choose_manner
from edgedl.train.fit import Training, planned_steps
from edgedl.train.folds import Fold
from edgedl.train.tasks import open_task, read_recipe
from edgedl.train.torch_session import torch_sessions

if TYPE_CHECKING:
    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Batch, Task

_TIMED_STEPS = 2
_GRADIENTS = 3  # as large as the largest of the kept tensors, that live at once on the way back


def dry_run(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Open data and network, make a few steps in memory, and say what a training would take.

    Nothing is written, unless the data is downloaded first: the fastest manner is measured as a
    training does, or known from one before, but not remembered.

    Returns:
        ``lines`` to print, and as plain values ``parameters``, ``macs`` of one sample through
        each part, ``training_bytes``, ``steps``, ``step_ms``, ``seconds``, ``precision``.

    Raises:
        ConfigError: The recipe or a value in it is wrong.
        DataError: The data cannot be used.
    """
    resolved = read_recipe(recipe, overrides)
    folds = resolved.train.folds
    with torch.random.fork_rng(devices=[]):
        task = open_task(resolved, Fold(0, folds) if folds else None)
        try:
            parts = {
                role: summarize(session.module, list(session.examples.values()))
                for role, session in torch_sessions(task.spec, task.kept).items()
            }
            batch = task.batch(0)
            resolved = _in_one_manner(task, batch, resolved)
            needed = _training_bytes(task, batch, resolved)
            training = Training(task, resolved)
            training.start()
            training.step()  # the first pays for what is prepared once
            began_s = time.perf_counter()
            for _ in range(_TIMED_STEPS):
                training.step()
            step_s = (time.perf_counter() - began_s) / _TIMED_STEPS
        finally:
            task.close()
    steps = planned_steps(task, resolved)
    seconds = step_s * steps * max(1, folds)
    if resolved.train.minutes:
        seconds = min(seconds, resolved.train.minutes * 60 * max(1, folds))
    lines = [line for role, part in parts.items() for line in (f"{role}:", *part.lines())]
    lines += [
        f"a batch: {', '.join(str(tuple(tensor.shape)) for tensor in batch)}",
        f"memory: about {needed / 2**20:.0f} MiB beside the data",
        f"time: about {_minutes(seconds)}: {steps} steps of {step_s * 1e3:.0f} ms, "
        f"{training.history.precision}",
    ]
    return {
        "lines": lines,
        "parameters": sum(p.numel() for p in task.kept.parameters()),
        "macs": {role: part.macs for role, part in parts.items()},
        "training_bytes": needed,
        "steps": steps,
        "step_ms": round(step_s * 1e3, 2),
        "seconds": round(seconds, 1),
        "precision": training.history.precision,
    }


def _in_one_manner(task: Task, batch: Batch, recipe: Recipe) -> Recipe:
    """Return the recipe with precision and memory layout chosen, so that a training need not."""
    manner, _ = choose_manner(task.network, task.loss, batch, recipe.train, remember=False)
    chosen: dict[str, Any] = {
        "precision": manner.precision,
        "channels_last": "yes" if manner.is_channels_last else "no",
    }
    return dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, **chosen))


def _training_bytes(task: Task, batch: Batch, recipe: Recipe) -> int:
    """Estimate the memory of a training beside its data.

    Returns:
        Weights, their gradients, the optimiser's moments, the running mean, the best weights, and
        for one batch what is kept for the way back and the gradients on it.
    """
    network, options = task.network.train(), recipe.train
    with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
        kept = kept_bytes(network, lambda: task.loss(network, batch))
    weights: int = sum(tensor.nbytes for tensor in network.state_dict().values())
    trained: int = sum(p.nbytes for p in network.parameters() if p.requires_grad)
    copies = 1 + bool(options.ema) + (options.keep == "best")
    moments = 2 if recipe.optimizer.name in ("adam", "adamw") else 1
    on_the_way = sum(kept) + _GRADIENTS * max(kept, default=0)
    return copies * weights + (1 + moments) * trained + on_the_way


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
