"""Folders of samples: a folder a class, perhaps in a folder a split."""

from __future__ import annotations

from pathlib import Path, PurePath

SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_folders(folder: Path) -> list[tuple[str, Path]]:
    """Return split and place of each folder of classes; without splits "" and ``folder``."""
    places = [p for p in visible(folder) if p.is_dir()]
    inner = [p for p in places if p.name.lower() in SPLITS]
    if len(inner) == 1 < len(places) and not any(f.is_dir() for f in visible(inner[0])):
        inner = []  # a class that is called train
    return [(SPLITS[p.name.lower()], p) for p in inner] or [("", folder)]


def visible(folder: Path) -> list[Path]:
    """Return what lies in a folder, but for names that begin with a dot or ``_``."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith((".", "_")))


def is_hidden(path: PurePath) -> bool:
    """Say whether a file or a folder of its path begins with a dot: macOS leaves such behind."""
    return any(part.startswith(".") and part != ".." for part in path.parts)
