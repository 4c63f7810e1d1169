"""What tools measured: read from a file of JSON, and told by a table in a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgedl.errors import DataError

Figures = dict[str, Any]


@contextmanager
def figures_of(path: Path) -> Iterator[Figures]:
    """Yield the JSON object of a file; what the block does not find in it is the file's fault.

    Raises:
        DataError: E356 the file cannot be read, or holds something else.
    """
    mend = "see --help for what is wanted"
    try:
        figures = json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise DataError("E356", f"{path} cannot be read: {err.strerror}; {mend}") from err
    except (ValueError, RecursionError) as err:
        raise DataError("E356", f"{path} is not JSON: {err}; {mend}") from err
    try:
        if not isinstance(figures, dict):
            msg = f"an object is wanted, not a {type(figures).__name__}"
            raise TypeError(msg)
        yield figures
    except (AttributeError, LookupError, TypeError, ValueError) as err:
        raise DataError("E356", f"{path} holds no such figures: {err!r}; {mend}") from err


def kept_rows(path: Path, as_text: Callable[[Mapping[str, Any]], str]) -> Figures:
    """Return the rows that an earlier call left in a file; none where it is not there.

    Args:
        path: The file.
        as_text: Makes the table; must be able to of these rows, before anything is measured.

    Raises:
        DataError: E356 the file cannot be read, or holds something else.
    """
    if not path.exists():
        return {}
    with figures_of(path) as rows:
        as_text(rows)
        return rows


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows]
    return "\n".join(lines)


def write_between_marks(page: Path, tool: str, text: str) -> None:
    """Replace what stands between the marks of a tool in a page.

    Raises:
        DataError: E356 the page cannot be read, or has no such marks.
    """
    begin, end = f"<!-- table: {tool} -->", "<!-- end of table -->"
    try:
        before, rest = page.read_text(encoding="utf-8").split(begin)
        _old, after = rest.split(end, 1)
    except OSError as err:
        msg = f"{page} cannot be read: {err.strerror}; name the page of the table"
        raise DataError("E356", msg) from err
    except ValueError as err:
        msg = f"{page} has no place for the table; it goes between {begin} and {end}"
        raise DataError("E356", msg) from err
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
