"""Reads CSV files with a header."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from edgedl.data.text import read_utf8
from edgedl.errors import DataError
from edgedl.options import suggest


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Read a CSV file: comma, semicolon or tab, the names of the columns in its first line.

    Returns:
        The names; and for each row that is not empty, its line in the file and its cells.

    Raises:
        DataError: E358 it is not UTF-8, E359 it is no such table.
    """
    text = read_utf8(path)
    head = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as err:
        msg = f"{path} line {reader.line_num}: {err}; a CSV file with a header is expected"
        raise DataError("E359", msg) from err
    if not names or not rows:
        msg = f"{path} has no {'rows' if names else 'header'}; a CSV file with a header is expected"
        raise DataError("E359", msg)
    return names, rows


def column(names: list[str], wanted: str, path: Path, key: str = "") -> int:
    """Return the place of a column; ``key`` of a recipe names it.

    Raises:
        DataError: E359 there is none of that name, or several.
    """
    if names.count(wanted) > 1:
        msg = f"{path} has {names.count(wanted)} columns {wanted!r}; give each a name of its own"
        raise DataError("E359", msg)
    if wanted in names:
        return names.index(wanted)
    hint = suggest(wanted, names) or f"; it has: {', '.join(names)}"
    how = f" (in training, --set {key}=NAME names another)" if key else ""
    msg = f"{path} has no column {wanted!r}{hint}{how}"
    raise DataError("E359", msg)
