"""The exception tree: its drawing, its exit codes, the codes in use."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from edgedl import errors

EXIT_CODES = {
    "UsageError": 2,
    "ConfigError": 2,
    "DataError": 3,
    "SourceError": 3,
    "BundleError": 4,
    "MachineError": 5,
    "MissingDependencyError": 5,
    "IntegrityError": 6,
}
FIRST_DIGIT = {
    "UsageError": "1",
    "ConfigError": "2",
    "DataError": "3",
    "SourceError": "3",
    "BundleError": "4",
    "IntegrityError": "4",
    "MachineError": "6",
    "MissingDependencyError": "6",
}


def test_the_drawn_tree_is_the_tree() -> None:
    classes = {
        name: item
        for name, item in inspect.getmembers(errors, inspect.isclass)
        if issubclass(item, errors.EdgedlError) and item is not errors.EdgedlError
    }
    assert set(classes) == set(EXIT_CODES)
    for name, item in classes.items():
        assert item.exit_code == EXIT_CODES[name]
        assert re.search(rf"{name}\b", errors.__doc__ or "")


def test_every_error_raised_has_a_code_of_its_range() -> None:
    root = Path(errors.__file__).parent
    raised = re.compile(r"\b(\w+Error)\(\s*[\"'](E\d{3})[\"']")
    found = [
        (path.name, name, code)
        for path in root.rglob("*.py")
        for name, code in raised.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 10
    wrong = [
        item
        for item in found
        if item[2][1] not in (FIRST_DIGIT[item[1]], "2"[: item[1] == "UsageError"])
    ]
    assert wrong == []


def test_a_source_error_prints_its_sentence() -> None:
    error = errors.SourceError("E311", "nothing listens")
    assert str(error) == "nothing listens"
    assert isinstance(error, OSError)
