"""Types of a tool's arguments: what would fail at the end of the work is refused before it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path


def file_to_write(text: str) -> Path:
    """Return the whole path of a file that can be there: its folder is."""
    path = Path(text).absolute()
    if path.is_dir() or not path.parent.is_dir():
        msg = f"must be a file in a folder that is there; got {text}"
        raise ArgumentTypeError(msg)
    return path


def folder_to_make(text: str) -> Path:
    """Return the path of a folder that is there, or can be."""
    path = Path(text)
    here = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not here.is_dir():
        msg = f"must be a folder; {here} is a file"
        raise ArgumentTypeError(msg)
    return path
