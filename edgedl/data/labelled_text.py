"""Texts with a label each: from CSV files, and from the grammar of rendered scenes."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgedl.data.download import find
from edgedl.data.problems import Problems, empty_classes
from edgedl.data.scene_texts import scene_texts
from edgedl.data.table import column, read_csv
from edgedl.errors import DataError
from edgedl.options import check_either, check_ranges
from edgedl.printable import counted

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledTextOptions:
    """The section ``[data]`` of texts with labels.

    Attributes:
        path: A CSV file with a header; empty for generated texts.
        generated: ``scenes``: sentences about rendered scenes, the label is the colour of the
            thing that stands on the left (or above), wherever in the sentence it is named.
        text_column: Name of the column of the texts.
        label_column: Name of the column of the labels.
        split_column: Name of a column of ``train``, ``val``, ``test``; empty: split by chance.
        val_part: Part held back for choosing where there is no such column, 0..0.5.
        test_part: Part held back for the end, 0..0.5.
        count: Number of generated texts, 100..500000; there are less than a million.
        seed: Of the split and of generated texts.
        on_bad_sample: ``fail`` reports all bad rows before training; ``skip`` leaves them out.
    """

    path: str = ""
    generated: Literal["", "scenes"] = ""
    text_column: str = "text"
    label_column: str = "label"
    split_column: str = ""
    val_part: float = 0.1
    test_part: float = 0.2
    count: int = 20000
    seed: int = 1
    on_bad_sample: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        check_either("data", self, "path", "generated")
        check_ranges("data", self, val_part=(0, 0.5), test_part=(0, 0.5), count=(100, 500_000))


@dataclass(frozen=True, slots=True)
class Texts:
    """Some texts.

    Attributes:
        texts: n texts.
        labels: (n,) numbers of their labels.
    """

    texts: Sequence[str]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Texts:
        """Return the texts of ``rows``."""
        return Texts([self.texts[i] for i in rows], self.labels[rows])


@dataclass(frozen=True, slots=True)
class TextData:
    """Texts in their splits.

    Attributes:
        labels: Names of the classes, sorted.
        splits: ``train``, ``val``, ``test`` as far as they are there.
        facts: For ``data.json``: counts, digests, warnings.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Texts]
    facts: Mapping[str, Any]


def open_labelled_text(options: LabelledTextOptions) -> TextData:
    """Read or make texts with labels, and split them.

    Raises:
        DataError: E355 bad rows, E356 no such file, E358 not UTF-8, E359 no such column, E352
            fewer than two classes.
    """
    if options.generated:
        rows = scene_texts(options.seed, options.count)
    else:
        rows = _read(find(options.path), options)
    labels = tuple(sorted({label for _, label, _ in rows}))
    if len(labels) < 2:
        msg = f"{options.path or options.generated}: texts of two classes are needed; got {labels}"
        raise DataError("E352", msg)
    places = _split(rows, options)
    splits = {}
    for name in SPLITS:
        inside = [row for row, place in zip(rows, places, strict=True) if place == name]
        if inside:
            numbers = np.array([labels.index(label) for _, label, _ in inside], np.int64)
            splits[name] = Texts([text for text, *_ in inside], numbers)
    return TextData(labels, splits, _facts(labels, splits, options))


def _read(path: Path, options: LabelledTextOptions) -> list[tuple[str, str, str]]:
    """Return (text, label, split or "") of each good row."""
    names, table = read_csv(path)
    keys = ["text_column", "label_column", *["split_column"] * bool(options.split_column)]
    places = [column(names, getattr(options, key), path, f"data.{key}") for key in keys]
    problems, rows = Problems(), []
    for line, cells in table:
        where = f"{path}:{line}"
        if len(cells) != len(names):
            problems.add(where, f"{len(cells)} cells where the header has {len(names)}")
            continue
        text, label, *split = (cells[place].strip() for place in places)
        if not text or not label:
            problems.add(where, f"{'text' if not text else 'label'} is empty")
        elif split and split[0] not in SPLITS:
            problems.add(where, f"split is {split[0]!r}, not train, val or test")
        else:
            rows.append((text, label, split[0] if split else ""))
    problems.finish(options.on_bad_sample)
    return rows


def _split(rows: Sequence[tuple[str, str, str]], options: LabelledTextOptions) -> list[str]:
    """Return the split of each row; the same text never lies in two of them.

    Where it is left to chance, a text's own digest decides, so that more data changes nothing for
    what was there before.
    """
    if options.split_column:
        return [split for *_, split in rows]
    places = []
    for text, *_ in rows:
        digest = hashlib.sha256(f"{options.seed} {text}".encode()).digest()
        point = int.from_bytes(digest[:8], "big") / 2**64
        is_test = point < options.test_part
        is_val = not is_test and point < options.test_part + options.val_part
        places.append("test" if is_test else "val" if is_val else "train")
    return places


def _facts(
    labels: Sequence[str], splits: Mapping[str, Texts], options: LabelledTextOptions
) -> dict[str, Any]:
    counts = {
        name: dict(Counter(labels[i] for i in part.labels.tolist()))
        for name, part in splits.items()
    }
    warnings = empty_classes("text", labels, counts)
    seen = set(splits["train"].texts) if "train" in splits else set()
    for name, part in splits.items():
        same = sum(text in seen for text in part.texts) if name != "train" else 0
        if same:
            warnings.append(f"{same} of {len(part)} texts of {name} are in train, too")
    if told := _with_several_labels(splits):
        warnings.append(f"{counted(len(told), 'text')} with several labels, e.g. {told[0][:60]!r}")
    of_train = counts.get("train", {})
    if of_train and max(of_train.values()) > 10 * min(of_train.values()):
        warnings.append("the largest class has more than ten times as many texts as the smallest")
    return {
        "name": options.generated or Path(options.path).name,
        "classes": counts,
        "splits": {
            name: {"texts": len(part), "sha256": _digest(part)} for name, part in splits.items()
        },
        "warnings": warnings,
    }


def _with_several_labels(splits: Mapping[str, Texts]) -> list[str]:
    found: dict[str, set[int]] = {}
    for part in splits.values():
        for text, label in zip(part.texts, part.labels.tolist(), strict=True):
            found.setdefault(text, set()).add(label)
    return [text for text, labels in found.items() if len(labels) > 1]


def _digest(part: Texts) -> str:
    digest = hashlib.sha256()
    for text, label in zip(part.texts, part.labels.tolist(), strict=True):
        digest.update(f"{label}\t{text}\n".encode())
    return digest.hexdigest()
