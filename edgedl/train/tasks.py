"""Which tasks there are: reads a recipe as its task's, and opens the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgedl.errors import ConfigError
from edgedl.options import options_from, suggest
from edgedl.train import (
    captioning,
    classification,
    clip_classification,
    regression,
    text_classification,
    text_generation,
)
from edgedl.train.recipe import override, recipe_table

if TYPE_CHECKING:
    from edgedl.train.folds import Fold
    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Task


def open_task(recipe: Recipe, fold: Fold | None = None) -> Task:
    """Read the data, build the network: all that a recipe trains.

    Args:
        recipe: Of one of the tasks.
        fold: Which part of the training data is ``val``; None for the tasks that refuse
            ``train.folds``.

    Raises:
        ConfigError: A value of the recipe does not fit.
        DataError: The data cannot be used.
    """
    torch.manual_seed(recipe.seed)
    _, task = _tasks()[recipe.task]
    return task(recipe) if fold is None else task(recipe, fold)


def recipe_class(task: object, where: str) -> type[Recipe]:
    """Return the record of a task's recipes.

    Raises:
        ConfigError: E204 no such task.
    """
    table = _tasks()
    if task not in table:
        hint = suggest(str(task), table) or f"; known: {', '.join(table)}"
        msg = f"{where}: unknown task {task!r}{hint}"
        raise ConfigError("E204", msg)
    return table[str(task)][0]


def read_recipe(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe of the package by its name, or any by its path.

    Args:
        name: ``"mnist-cnn"``, or a path that ends with ``.toml``.
        overrides: Dotted key, or one that only one section has, to value: ``{"train.steps": 100}``.
            A text is read as a TOML value.

    Raises:
        ConfigError: E200 no such file, E203 an unknown recipe or key, E204 a wrong type, E205 out
            of range.
    """
    table, where = recipe_table(name)
    record = recipe_class(table.get("task"), where)
    override(table, record, overrides or {})
    return options_from(record, table, where)


def _tasks() -> dict[str, tuple[type[Recipe], Callable[..., Task]]]:
    """Return the record of each task's recipes, and the task itself."""
    return {
        "captioning": (captioning.CaptioningRecipe, captioning.Captioning),
        "classification": (
            classification.ClassificationRecipe,
            classification.Classification,
        ),
        "clip-classification": (
            clip_classification.ClipClassificationRecipe,
            clip_classification.ClipClassification,
        ),
        "text-generation": (
            text_generation.TextGenerationRecipe,
            text_generation.TextGeneration,
        ),
        "text-classification": (
            text_classification.TextClassificationRecipe,
            text_classification.TextClassification,
        ),
        "regression": (regression.RegressionRecipe, regression.Regression),
    }
