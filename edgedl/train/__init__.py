"""Training: from a recipe to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgedl.bundle.files import new_folder
from edgedl.train.captioner import look, train_captioner
from edgedl.train.fit import Progress
from edgedl.train.recipe import read_recipe
from edgedl.train.report import draw_curves, write_report
from edgedl.train.run_folder import Run

PICTURES_IN_REPORT = 400

__all__ = ["Progress", "Run", "train"]


def train(
    recipe: str | Path,
    out: Path | str,
    overrides: Mapping[str, Any] | None = None,
    progress: Callable[[Progress], None] | None = None,
    force: bool = False,
) -> Run:
    """Train by a recipe and write a run folder; an interrupted training leaves nothing.

    Args:
        recipe: A name such as ``"scenes-captioner"``, or the path of a ``.toml`` file.
        out: The folder to make.
        overrides: Dotted keys of the recipe to values, e.g. ``{"train.minutes": 1}``.
        progress: Called several times a second.
        force: Replace a run that is there.

    Raises:
        ConfigError: The recipe or a value in it is wrong.
        BundleError: ``out`` exists or cannot be written.
        DataError: E350 the training diverged.
    """
    resolved = read_recipe(recipe, overrides)
    with new_folder(Path(out), force) as folder:
        history = train_captioner(resolved, folder, progress)
        draw_curves(history, folder / "curves.png")
        run = Run.open(folder)
        write_report(run, look(run, PICTURES_IN_REPORT), folder / "report.html")
    return Run.open(out)
