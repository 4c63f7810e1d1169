"""The table of a recipe's sections is whole, and the recipe on its page is one."""

import dataclasses
import re
from pathlib import Path

from edgedl.train.tasks import read_recipe, recipe_class

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


def test_the_recipe_of_the_page_can_be_read(tmp_path):
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "photos.toml").write_text(text, encoding="utf-8")
    recipe = read_recipe(tmp_path / "photos.toml")
    assert recipe.data.path == "photos"
    assert recipe.model["weights"] == "r18.safetensors"
