"""Which tasks there are: reads a recipe as its task's, and opens the task."""

from __future__ import annotations

from collections.abc import Mapping
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
    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Fold, Task


def open_task(recipe: Recipe, fold: Fold | None = None) -> Task:
    """Read the data, build the network: all that a recipe trains.

    Args:
        recipe: Of one of the tasks.
        fold: Which part of the training data is ``val``; only for tasks whose samples have no
            order.

    Raises:
        ConfigError: A value of the recipe does not fit.
        DataError: The data cannot be used.
    """
    torch.manual_seed(recipe.seed)
    if isinstance(recipe, classification.ClassificationRecipe):
        return classification.Classification(recipe, fold)
    if fold is not None:
        msg = f"train.folds is for classification; got {recipe.task}: set train.folds = 0"
        raise ConfigError("E205", msg)
    if isinstance(recipe, captioning.CaptioningRecipe):
        return captioning.Captioning(recipe)
    if isinstance(recipe, clip_classification.ClipClassificationRecipe):
        return clip_classification.ClipClassification(recipe)
    if isinstance(recipe, text_generation.TextGenerationRecipe):
        return text_generation.TextGeneration(recipe)
    if isinstance(recipe, text_classification.TextClassificationRecipe):
        return text_classification.TextClassification(recipe)
    if isinstance(recipe, regression.RegressionRecipe):
        return regression.Regression(recipe)
    raise TypeError(recipe)


def recipe_class(task: object, where: str) -> type[Recipe]:
    """Return the record of a task's recipes.

    Raises:
        ConfigError: E204 no such task.
    """
    table: dict[str, type[Recipe]] = {
        "captioning": captioning.CaptioningRecipe,
        "classification": classification.ClassificationRecipe,
        "clip-classification": clip_classification.ClipClassificationRecipe,
        "text-generation": text_generation.TextGenerationRecipe,
        "text-classification": text_classification.TextClassificationRecipe,
        "regression": regression.RegressionRecipe,
    }
    if task not in table:
        hint = suggest(str(task), table) or f"; known: {', '.join(table)}"
        msg = f"{where}: unknown task {task!r}{hint}"
        raise ConfigError("E204", msg)
    return table[str(task)]


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
