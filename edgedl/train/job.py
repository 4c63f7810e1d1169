"""One training from recipe to run folder, through interruptions."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgedl.bundle.files import new_folder, write_file
from edgedl.errors import BundleError
from edgedl.timing import machine_facts
from edgedl.train.charts import curves
from edgedl.train.fit import Report, fit
from edgedl.train.folds import Fold
from edgedl.train.history import Progress
from edgedl.train.measure import measure
from edgedl.train.report import write_report
from edgedl.train.run_folder import Run, to_toml, unfinished, write_run
from edgedl.train.tasks import open_task, read_recipe

if TYPE_CHECKING:
    from edgedl.train.history import History
    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Task


@dataclass(frozen=True, slots=True)
class _Trained:
    """A task with the weights to keep, how it got them, and the scores of all folds."""

    task: Task
    history: History
    scores: list[float]


def train(
    recipe: str | Path | None,
    out: Path | str,
    overrides: Mapping[str, Any] | None = None,
    progress: Report | None = None,
    *,
    force: bool = False,
    resume: bool = False,
) -> Run:
    """Train by a recipe and write a run folder.

    Until the training has ended it lies in ``OUT.unfinished``: the recipe and a checkpoint.

    Args:
        recipe: A name such as ``"scenes-captioner"``, or the path of a ``.toml`` file; None only
            to go on.
        out: The folder to make.
        overrides: Keys of the recipe to values, e.g. ``{"train.minutes": 1}``.
        progress: Called several times a second, and at the beginning of each part: reading data,
            training, measuring.
        force: Replace a run or an unfinished training that is there.
        resume: Go on where ``OUT.unfinished`` stopped.

    Raises:
        ConfigError: The recipe or a value in it is wrong.
        BundleError: ``out`` exists or cannot be written, E435 an unfinished training is there or
            none is, E436 the training to go on with is another.
        DataError: The data cannot be used, or E350 the training diverged.
        Stopped: A signal ended it; ``resume`` goes on.
    """
    out = Path(out)
    place = unfinished(out)
    if resume:
        resolved = _resumed_recipe(recipe, out, overrides or {})
    else:
        assert recipe is not None
        resolved = read_recipe(recipe, overrides)
        _check_place(place, force)
    with (
        new_folder(out, force or resume, ("model.json",)) as folder,
        torch.random.fork_rng(devices=[]),
    ):
        trained = _train_all(resolved, place, progress, resume)
        _write(folder, resolved, trained, progress)
    shutil.rmtree(place, ignore_errors=True)
    return Run.open(out)


def _train_all(recipe: Recipe, place: Path, progress: Report | None, resume: bool) -> _Trained:
    """Train once, or once for each fold, and return the best."""
    best, scores = None, []
    for number, fold in enumerate(_folds(recipe)):
        _tell(progress, "reading the data", 0.0)
        task = open_task(recipe, fold)
        try:
            if not (resume or number):  # only now: the data is there and can be used
                shutil.rmtree(place, ignore_errors=True)
            name = "last" if fold is None else f"fold-{fold.index}"
            place.mkdir(parents=True, exist_ok=True)
            write_file(place / "recipe.toml", to_toml(recipe.to_dict()))
            history = fit(task, recipe, place / "checkpoints" / f"{name}.safetensors", progress)
        finally:
            task.close()
        score = history.kept_score(recipe.train.keep)
        if best is None or (score is not None and score > max(scores)):
            best = task, history
        scores.append(float("nan") if score is None else score)
    assert best is not None
    return _Trained(*best, scores)


def _write(folder: Path, recipe: Recipe, trained: _Trained, progress: Report | None) -> None:
    """Measure what was trained, and write the run."""
    task, history = trained.task, trained.history
    data = recipe.to_dict().get("data", {})
    splits = ("test",) if recipe.train.folds else ("val", "test")  # other folds learnt from val
    known = task.facts.get("splits", splits)
    measured = {}
    for split in (split for split in splits if split in known):
        _tell(progress, f"measuring on {split}", 1.0)
        measured[split] = measure(task, data, split)
    found = {split: m.metrics for split, m in measured.items() if m is not None}
    metrics = {"task": recipe.task, **found, **_about(recipe, history)}
    if recipe.train.folds:
        metrics["folds"] = _about_folds(trained.scores)
    write_run(folder, recipe, task, metrics)
    (folder / "curves.png").write_bytes(curves(history))
    write_report(Run.open(folder), measured, folder / "report.html")


def _tell(progress: Report | None, doing: str, done: float) -> None:
    if progress:
        progress(Progress(done, doing=doing))


def _about(recipe: Recipe, history: History) -> dict[str, Any]:
    return {
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "samples_per_s": round(history.steps * recipe.train.batch / max(history.seconds, 1e-9)),
        "ended_by": history.ended_by,
        "precision": history.precision,
        "channels_last": history.is_channels_last,
        "step_ms": history.step_ms,
        "best_score": history.best_score,
        "losses": history.losses,
        "scores": history.scores,
        "machine": machine_facts(),
    }


def _about_folds(scores: list[float]) -> dict[str, Any]:
    """Return the scores of all folds on what each held back, their mean and deviation."""
    values = torch.tensor(scores, dtype=torch.float64)
    return {"scores": scores, "mean": float(values.mean()), "std": float(values.std())}


def _folds(recipe: Recipe) -> list[Fold | None]:
    count = recipe.train.folds
    return [Fold(index, count) for index in range(count)] or [None]


def _check_place(place: Path, force: bool) -> None:
    """Refuse to begin where an unfinished training lies, or something else.

    Raises:
        BundleError: E435 without ``force``, E432 it is nothing that a training left.
    """
    if not place.exists():
        return
    if not (place / "recipe.toml").is_file():
        msg = f"{place} is in the way and no unfinished training; move it, or take another --out"
        raise BundleError("E432", msg)
    if not force:
        msg = (
            f"{place} holds a training that has not ended; go on with --resume, or begin again "
            "with --force"
        )
        raise BundleError("E435", msg)


def _resumed_recipe(recipe: str | Path | None, out: Path, overrides: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the unfinished training; what was asked for must be the same."""
    path = unfinished(out) / "recipe.toml"
    if not path.is_file():
        state = "has ended already" if (out / "model.json").is_file() else "was not begun"
        msg = f"nothing to go on with: the training of {out} {state}; leave out --resume"
        raise BundleError("E435", msg)
    ours = read_recipe(path)
    asked = read_recipe(recipe if recipe is not None else path, overrides)
    if asked != ours:
        msg = (
            f"{path.parent} was begun with another recipe: {_difference(ours, asked)}; go on "
            f"without a recipe: edgedl train --out {out} --resume"
        )
        raise BundleError("E436", msg)
    return ours


def _difference(ours: Recipe, asked: Recipe) -> str:
    """Return the first few keys in which two recipes differ, with both values."""
    flat = []
    for recipe in (ours, asked):
        keys: dict[str, Any] = {}
        for name, value in recipe.to_dict().items():
            inner = value.items() if isinstance(value, dict) else ()
            keys |= {f"{name}.{k}": v for k, v in inner} or {name: value}
        flat.append(keys)
    one, other = flat
    keys_differing = [key for key in {**one, **other} if one.get(key) != other.get(key)]
    shown = [f"{key} was {one.get(key)!r}, now {other.get(key)!r}" for key in keys_differing[:3]]
    more = f" and {len(keys_differing) - 3} more" if len(keys_differing) > 3 else ""
    return ", ".join(shown) + more
