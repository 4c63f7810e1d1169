"""The table of a recipe's sections is whole."""

import dataclasses
import re
from pathlib import Path

from edgedl.train.tasks import recipe_class

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
TASKS = (
    "captioning",
    "classification",
    "clip-classification",
    "text-generation",
    "text-classification",
    "regression",
)


def test_the_sections_of_recipes_are_those_documented():
    rows = re.findall(r"^\| (`(?:\[|task).*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`\[?(\w+)\]?`", row)}
    assert told == {f.name for task in TASKS for f in dataclasses.fields(recipe_class(task, ""))}
