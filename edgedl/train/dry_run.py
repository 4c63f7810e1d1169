"""What a training would be, without training: shapes, costs, memory, time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from edgedl.models.summary import summarize
from edgedl.train.fit import Training, planned_steps
from edgedl.train.task import Fold
from edgedl.train.tasks import open_task, read_recipe
from edgedl.train.torch_session import torch_sessions

_TIMED_STEPS = 2


def dry_run(recipe: str | Path, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Open data and network, make a few steps in memory, and say what a training would take.

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
    needed = max(part.training_bytes(resolved.train.batch) for part in parts.values())
    batch = [tuple(tensor.shape) for tensor in task.batch(0)]
    lines = [line for role, part in parts.items() for line in (f"{role}:", *part.lines())]
    lines += [
        f"a batch: {', '.join(map(str, batch))}",
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


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
