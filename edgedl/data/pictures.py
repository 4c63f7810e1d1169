"""Opens pictures with labels in any of the formats, splits them and says what they are like."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgedl.data import cifar10, idx, image_folder
from edgedl.data.download import find
from edgedl.data.picture_list import Labels, Pictures
from edgedl.data.problems import Problems, empty_classes
from edgedl.errors import ConfigError, DataError
from edgedl.options import check_ranges
from edgedl.printable import counted

__all__ = ["PictureData", "Pictures", "PicturesOptions", "open_pictures"]

Format = Literal["auto", "idx", "cifar10", "folder", "archive", "csv"]

_STATISTICS_FROM = 5000  # pictures
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class PicturesOptions:
    """The section ``[data]`` of labelled pictures.

    Attributes:
        path: A folder, archive or CSV file; or the name of a known set, e.g. ``mnist``.
        format: What it is; ``auto`` looks.
        val: Pictures of ``train`` that are held back for choosing, the same part of each class;
            only where the data has no split ``val``.
        test_part: Part of each class that is held out where the data has no split ``test``, 0..0.9.
        seed: Of these choices.
        train_limit: Learn from at most so many pictures, the same part of each class. 0: all.
        on_bad_sample: ``fail`` reports all bad pictures before training; ``skip`` leaves them out.
    """

    path: str
    format: Format = "auto"
    val: int = 0
    test_part: float = 0.1
    seed: int = 1
    train_limit: int = 0
    on_bad_sample: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        check_ranges(
            "data",
            self,
            val=(0, 1 << 30),
            test_part=(0, 0.9),
            train_limit=(0, 1 << 30),
        )


@dataclass(frozen=True, slots=True)
class PictureData:
    """Pictures in their splits.

    Attributes:
        labels: Names of the classes, in the order of their numbers.
        splits: ``train``, ``val``, ``test`` as far as they are there.
        facts: For ``data.json``: counts, statistics, digests, duplicates, warnings.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Pictures]
    facts: Mapping[str, Any]


def open_pictures(options: PicturesOptions) -> PictureData:
    """Read labelled pictures, split and describe them.

    Raises:
        DataError: E352 fewer than two classes, E355 bad pictures, E356 nothing is there, E358 and
            E359 a CSV file is none.
    """
    path, problems = find(options.path), Problems()
    form = _format(path, options.format)
    labels, splits = _read(path, form, problems)
    bad = problems.finish(options.on_bad_sample)
    if not splits:
        msg = f"{path} holds no pictures that can be used; it was read as {form}"
        raise DataError("E356", msg)
    if len(labels) < 2:
        msg = f"{path}: pictures of two classes are needed; got {list(labels)}"
        raise DataError("E352", msg)
    parts = _split(splits, options)
    facts = {"name": path.name, "format": form, "left_out": bad, **_facts(labels, parts)}
    return PictureData(labels, parts, facts)


def _format(path: Path, asked: Format) -> Format:
    """Return how to read a path.

    Raises:
        DataError: E356 it looks like nothing that is known, or is no folder where one is needed.
    """
    if asked in ("idx", "folder") and not path.is_dir():
        msg = f"{path} is a file; data.format = {asked!r} is read from a folder"
        raise DataError("E356", msg)
    if asked != "auto":
        return asked
    if path.is_file() and path.suffix.lower() == ".csv":
        return "csv"
    if cifar10.is_here(path):
        return "cifar10"
    if path.is_file():
        if image_folder.is_archive(path):
            return "archive"
    elif idx.image_files(path):
        return "idx"
    elif image_folder.archives(path):
        return "archive"
    elif any(p.is_dir() for p in path.iterdir()):
        return "folder"
    msg = (
        f"{path} is no data of pictures: IDX files, CIFAR-10 batches, folders CLASS/*.jpg, "
        "archives of such, or a CSV file with path and label are expected"
    )
    raise DataError("E356", msg)


def _read(
    path: Path, form: Format, problems: Problems
) -> tuple[tuple[str, ...], Mapping[str, Pictures]]:
    if form == "idx":
        return idx.read_set(path, problems)
    if form == "cifar10":
        return cifar10.read_set(path, problems)
    if form == "csv":
        items = image_folder.read_list(path, problems)
    elif form == "archive":
        files = [path] if path.is_file() else image_folder.archives(path)
        items = [item for file in files for item in image_folder.read_archive(file, problems)]
    else:
        items = image_folder.read_folder(path, problems)
    of_train = {item.label for item in items if item.split in ("", "train")}
    labels = tuple(sorted(of_train or {item.label for item in items}))
    for item in items:
        if item.label not in labels:
            problems.add(item.where, f"mislabelled: class {item.label!r} is not in train")
    known = [item for item in items if item.label in labels]
    splits = image_folder.checked(known, labels, problems)
    return _without_empty(labels, splits, problems)


def _without_empty(
    labels: tuple[str, ...], splits: Mapping[str, Pictures], problems: Problems
) -> tuple[tuple[str, ...], Mapping[str, Pictures]]:
    """Leave out classes of which no picture of train could be read: nothing would teach them."""
    train = splits.get("train", splits.get(""))
    if train is None or len(there := np.unique(train.labels)) == len(labels):
        return labels, splits
    kept = {}
    for name, part in splits.items():
        is_known = np.isin(part.labels, there)
        for row in np.flatnonzero(~is_known):
            why = f"mislabelled: class {labels[part.labels[row]]!r} is not in train"
            problems.add(part.names[int(row)], why)
        if is_known.any():
            some = part.take(np.flatnonzero(is_known))
            numbers = np.searchsorted(there, some.labels)
            kept[name] = Pictures(some.pictures, numbers.astype(np.int64), some.names)
    return tuple(labels[number] for number in there), kept


def _split(splits: Mapping[str, Pictures], options: PicturesOptions) -> dict[str, Pictures]:
    """Return ``train``, ``val`` and ``test``; what the data does not split is split by chance."""
    parts = dict(splits)
    whole = parts.pop("", None)
    if whole is not None:
        parts["train"] = parts.get("train", whole)
    rng = np.random.default_rng(options.seed)
    train = parts.get("train")
    if train is None or not len(train):
        msg = f"{options.path} has no pictures to learn from; a split 'train' is needed"
        raise DataError("E356", msg)
    if "test" not in parts and options.test_part:
        train, parts["test"] = _hold_back(train, round(options.test_part * len(train)), rng)
    if "val" not in parts and options.val:
        if options.val >= len(train):
            msg = (
                f"data.val is {options.val}, but there are {len(train)} pictures to learn from; "
                f"hold fewer back: --set data.val={len(train) // 10}"
            )
            raise ConfigError("E205", msg)
        train, parts["val"] = _hold_back(train, options.val, rng)
    if 0 < options.train_limit < len(train):
        train, _ = _hold_back(train, len(train) - options.train_limit, rng)
    parts["train"] = train
    return {name: parts[name] for name in ("train", "val", "test") if name in parts}


def _hold_back(
    pictures: Pictures, count: int, rng: np.random.Generator
) -> tuple[Pictures, Pictures]:
    """Return the rest, and ``count`` pictures: of each class the same part, but for rounding.

    The only picture of a class is held back last: it would not be learnt.
    """
    order = rng.permutation(len(pictures))
    labels = pictures.labels[order]
    place = np.empty(len(order))
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        start = rng.random() if len(inside) > 1 else 1.0
        place[inside] = (np.arange(len(inside)) + start) / len(inside)
    by_place = order[np.argsort(place, kind="stable")]
    return pictures.take(np.sort(by_place[count:])), pictures.take(np.sort(by_place[:count]))


def _facts(labels: Sequence[str], splits: Mapping[str, Pictures]) -> dict[str, Any]:
    counts = {
        name: {labels[k]: n for k, n in sorted(Counter(part.labels.tolist()).items())}
        for name, part in splits.items()
    }
    digests = {
        name: [part.digest(row) for row in range(len(part))] for name, part in splits.items()
    }
    duplicates = _duplicates(splits, digests)
    warnings = empty_classes("picture", labels, counts)
    of_train = counts["train"].values()
    if max(of_train) > 10 * min(of_train):
        warnings.append(
            "the largest class has more than ten times as many pictures as the smallest"
        )
    if duplicates["across_splits"]:
        where = "; ".join(duplicates["examples"])
        told = counted(duplicates["across_splits"], "picture")
        warnings.append(f"{told} in two splits: {where}")
    if duplicates["with_other_labels"]:
        where = "; ".join(duplicates["conflicts"])
        told = counted(duplicates["with_other_labels"], "picture")
        warnings.append(f"{told} again with another label: {where}")
    return {
        "classes": counts,
        "splits": {
            name: {"pictures": len(part), "sha256": _digest(part, digests[name])}
            for name, part in splits.items()
        },
        "statistics": _statistics(splits["train"]),
        "duplicates": duplicates,
        "warnings": warnings,
    }


def _digest(part: Pictures, digests: Sequence[bytes]) -> str:
    whole = hashlib.sha256(b"".join(digests))
    whole.update(part.labels.tobytes())
    return whole.hexdigest()


def _duplicates(
    splits: Mapping[str, Pictures], digests: Mapping[str, Sequence[bytes]]
) -> dict[str, Any]:
    """Return how many pictures lie in two splits, or have two labels, and the first of them."""
    seen: dict[bytes, list[tuple[str, int]]] = defaultdict(list)
    for name, found in digests.items():
        for row, digest in enumerate(found):
            seen[digest].append((name, row))
    repeated = [places for places in seen.values() if len(places) > 1]

    def told(places: Sequence[tuple[str, int]]) -> str:
        return " = ".join(f"{name} {splits[name].names[row]}" for name, row in places[:2])

    def unlike(key: Callable[[str, int], object]) -> list[list[tuple[str, int]]]:
        """Return the first picture of each ``key``, of those that have several."""
        firsts = [
            list({key(*place): place for place in reversed(places)}.values())[::-1]
            for places in repeated
        ]
        return [places for places in firsts if len(places) > 1]

    across = unlike(lambda name, _: name)
    by_label = unlike(lambda name, row: int(splits[name].labels[row]))
    return {
        "across_splits": len(across),
        "examples": [told(places) for places in across[:_SHOWN]],
        "with_other_labels": len(by_label),
        "conflicts": [told(places) for places in by_label[:_SHOWN]],
    }


def _statistics(part: Pictures) -> dict[str, Any]:
    """Return mean and deviation of each channel, 0..1, and the sizes, of some pictures."""
    rows: Labels = np.arange(min(_STATISTICS_FROM, len(part))) * len(part)
    rows //= max(1, min(_STATISTICS_FROM, len(part)))
    some = [part.facts(int(row)) for row in rows]
    means, stds = (
        np.array([getattr(facts, name) for facts in some]) / 255 for name in ("mean", "std")
    )
    mean = means.mean(0)
    std = np.sqrt(np.maximum((stds**2 + means**2).mean(0) - mean**2, 0))
    shapes = [facts.shape for facts in some]
    return {
        "mean": mean.round(5).tolist(),
        "std": std.round(5).tolist(),
        "channel_order": "gray" if len(shapes[0]) == 2 else "blue green red",
        "smallest_hw": list(min(shape[:2] for shape in shapes)),
        "largest_hw": list(max(shape[:2] for shape in shapes)),
    }
