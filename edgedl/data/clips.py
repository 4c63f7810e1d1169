"""Clips with a label each: what moves how, generated or in folders of videos."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import numpy as np
import numpy.typing as npt

from edgedl.data.download import find
from edgedl.data.moving import MOTIONS, MovingDigits, MovingThings
from edgedl.data.problems import Problems, empty_classes
from edgedl.data.remembered import remembered
from edgedl.data.split_folders import is_hidden, split_folders, visible
from edgedl.data.threads import end_if_unwanted, in_threads
from edgedl.data.upright import to_bgr
from edgedl.errors import DataError
from edgedl.options import check_either, check_ranges

_Result = TypeVar("_Result")

VIDEOS = (
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".3gp", ".wmv", ".flv", ".gif",
)  # fmt: skip
SPLITS = ("train", "val", "test")
MAX_DECODED = 100_000  # frames of one video
MAX_EVERY = 1000

_EMPTY = "it holds no picture"
_UNREADABLE = (av.FFmpegError, OSError, ValueError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipsOptions:
    """The section ``[data]`` of clips.

    Attributes:
        path: A folder ``CLASS/*.mp4``, or ``train/CLASS/*.mp4`` and so on, with folders in those of
            the classes; empty for generated clips.
        generated: ``digits``: a digit moves, comes nearer or goes away, the class is how;
            ``scenes``: so does one of the things of the rendered scenes.
        frames: T, frames of a clip; of a video so many, spread evenly.
        every: On a live source every so many-th frame is taken; 0: they lie as
            far apart as in the videos of ``train``, in the median.
        size_px: Side of generated pictures.
        train: Number of generated clips to learn from.
        val: Number of generated clips for choosing.
        test: Number of generated clips held out.
        val_part: Part of the videos held back for choosing where there is no folder ``val``.
        test_part: Part of the videos held out where there is no folder ``test``.
        seed: Of the clips and the split.
        on_bad_sample: ``fail`` reports all bad videos before training; ``skip`` leaves them out.
    """

    path: str = ""
    generated: Literal["", "digits", "scenes"] = ""
    frames: int = 12
    every: int = 0
    size_px: int = 32
    train: int = 6000
    val: int = 600
    test: int = 2000
    val_part: float = 0.1
    test_part: float = 0.2
    seed: int = 1
    on_bad_sample: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        check_either("data", self, "path", "generated")
        check_ranges(
            "data",
            self,
            frames=(2, 256),
            every=(0, MAX_EVERY),
            size_px=(24, 256),
            train=(1, 1_000_000),
            val=(0, 1_000_000),
            test=(1, 1_000_000),
            val_part=(0, 0.5),
            test_part=(0, 0.5),
        )


@dataclass(frozen=True, slots=True)
class Clips:
    """Some clips, made or decoded when they are asked for.

    Attributes:
        clip: Number of a clip to its frames, (T, H, W) gray8 or (T, H, W, 3) bgr8.
        labels: (n,) numbers of their classes.
        names: Where each comes from.
        sha256: Of the names and sizes of the files, or of what generated clips are made by.
    """

    clip: Callable[[int], npt.NDArray[np.uint8]]
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)

    def each(self, work: Callable[[npt.NDArray[np.uint8]], _Result]) -> Iterator[_Result]:
        """Yield ``work`` of each clip, done in threads: few clips are in memory at once."""
        return in_threads(lambda i: work(self.clip(i)), range(len(self)))

    def take(self, rows: npt.NDArray[np.int64]) -> Clips:
        """Return the clips of ``rows``; ``sha256`` stays that of all."""
        names = tuple(self.names[row] for row in rows)
        return Clips(lambda i: self.clip(int(rows[i])), self.labels[rows], names, self.sha256)


@dataclass(frozen=True, slots=True)
class ClipData:
    """Clips in their splits.

    Attributes:
        labels: Names of the classes.
        splits: ``train``, ``val``, ``test`` as far as they are there.
        facts: For ``data.json``.
        every: On a live source every so many-th frame is taken.
    """

    labels: tuple[str, ...]
    splits: Mapping[str, Clips]
    facts: Mapping[str, Any]
    every: int


@dataclass(frozen=True, slots=True)
class _Video:
    """A file that was decoded to its end, its class, and how many pictures it holds."""

    label: str
    file: Path
    pictures: int


def open_clips(options: ClipsOptions) -> ClipData:
    """Find or make clips and split them.

    Raises:
        DataError: E352 fewer than two classes, E355 bad videos, E356 no such folder.
    """
    if options.generated:
        return _generated(options)
    path = find(options.path)
    if not path.is_dir():
        msg = f"{path} is a file; clips are read from a folder: CLASS/*.mp4"
        raise DataError("E356", msg)
    problems = Problems()
    found: dict[str, list[_Video]] = {}
    for name, folder in split_folders(path):
        found.setdefault(name or "train", []).extend(_videos(folder, problems))
    problems.finish(options.on_bad_sample)
    found = _split(found, options)
    labels = tuple(sorted({video.label for part in found.values() for video in part}))
    if len(labels) < 2:
        msg = f"{path}: folders of two classes are needed, CLASS/*.mp4; got {list(labels)}"
        raise DataError("E352", msg)
    splits = {
        name: _clips_of(path, part, labels, options.frames) for name, part in found.items() if part
    }
    every = options.every or _every(found["train"], options.frames)
    return ClipData(labels, splits, _facts(path.name, labels, splits), every)


def videos_in(folder: Path) -> list[Path]:
    """Return the videos of a folder and the folders in it, without hidden ones."""
    inside = (f for f in folder.rglob("*") if f.suffix.lower() in VIDEOS and f.is_file())
    return sorted(f for f in inside if not is_hidden(f.relative_to(folder)))


def read_clip(path: Path, frames: int, pictures: int | None = None) -> npt.NDArray[np.uint8]:
    """Decode a video and return ``frames`` of its pictures, spread evenly, (T, H, W, 3) bgr8.

    They are upright, as ``edgedl run`` gets them from the same file.

    The first and the last are among them; a shorter video repeats some. Only these are kept in
    memory: a video of minutes would not fit.

    Args:
        path: Of the video.
        frames: T.
        pictures: How many it holds, where that is known; else they are counted first.

    Raises:
        DataError: E356 it cannot be decoded.
    """
    try:
        places = spread(_count(path) if pictures is None else pictures, frames)
        kept = {
            place: to_bgr(frame) for place, frame in enumerate(_decoded(path)) if place in places
        }
        if kept.keys() != set(places):
            msg = "it holds fewer pictures than it did"
            raise ValueError(msg)
        return np.stack([kept[place] for place in places])
    except _UNREADABLE as err:
        msg = f"{path} cannot be decoded: {_why(err)}"
        raise DataError("E356", msg) from err


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError(_EMPTY)
        for frame in islice(container.decode(video=0), MAX_DECODED):
            end_if_unwanted()
            yield frame


@remembered
def _count(path: Path) -> int:
    """Decode a video to its end and return how many pictures it holds.

    Raises:
        ValueError: There are none, or they have several sizes; others of ``_UNREADABLE`` as well.
    """
    sizes = Counter((frame.height, frame.width) for frame in _decoded(path))
    if len(sizes) != 1:
        raise ValueError("the size of its pictures changes" if sizes else _EMPTY)
    return sizes.total()


def _why(err: Exception) -> str:
    return str(getattr(err, "strerror", None) or err)


def spread(count: int, wanted: int) -> list[int]:
    """Return ``wanted`` of the numbers 0..count - 1 in order, evenly spread, both ends included."""
    return [round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted)]


def _every(videos: list[_Video], frames: int) -> int:
    """Return how far apart ``frames`` of a video lie, in the median, so that a camera's do too."""
    apart = [(video.pictures - 1) / (frames - 1) for video in videos]
    return min(max(round(float(np.median(apart))), 1), MAX_EVERY) if apart else 1


def _generated(options: ClipsOptions) -> ClipData:
    splits = {}
    for place, name in enumerate(SPLITS):
        count = getattr(options, name)
        if not count:
            continue
        kind = MovingDigits if options.generated == "digits" else MovingThings
        source = kind(options.seed * len(SPLITS) + place, options.frames, options.size_px)
        labels = np.arange(count, dtype=np.int64) % len(MOTIONS)
        names = tuple(f"{options.generated} {name} {i}" for i in range(count))
        made_by = (options.generated, options.seed, name, count, options.frames, options.size_px)
        splits[name] = Clips(source.clip, labels, names, _sha256([repr(made_by)]))
    facts = _facts(options.generated, MOTIONS, splits)
    return ClipData(MOTIONS, splits, facts, options.every or 1)


def _clips_of(folder: Path, part: list[_Video], labels: tuple[str, ...], frames: int) -> Clips:
    numbers = np.array([labels.index(video.label) for video in part], np.int64)
    files = [video.file for video in part]
    sha256 = _sha256(f"{f.relative_to(folder).as_posix()} {f.stat().st_size}" for f in files)
    return Clips(
        lambda i: read_clip(files[i], frames, part[i].pictures),
        numbers,
        tuple(map(str, files)),
        sha256,
    )


def _sha256(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _videos(folder: Path, problems: Problems) -> list[_Video]:
    """Return all videos that can be decoded to their end; the others become problems."""
    files = []
    for place in (p for p in visible(folder) if p.is_dir()):
        inside = videos_in(place)
        if not inside:
            problems.add(str(place), "the class has no video")
        files += [(place.name, file) for file in inside]
    found = []
    counts = in_threads(_pictures, [file for _, file in files])
    for (label, file), pictures in zip(files, counts, strict=True):
        if isinstance(pictures, str):
            problems.add(str(file), pictures)
        else:
            found.append(_Video(label, file, pictures))
    return found


def _pictures(file: Path) -> int | str:
    """Return how many pictures a video holds, or why it cannot be used."""
    try:
        return _count(file) if file.stat().st_size else "the file is empty"
    except _UNREADABLE as err:
        return f"unreadable video: {_why(err)}"


def _split(found: Mapping[str, list[_Video]], options: ClipsOptions) -> dict[str, list[_Video]]:
    """Return the splits; those without a folder are a part of each class of train, by chance."""
    rng = np.random.default_rng(options.seed)
    parts = {name: list(found.get(name, ())) for name in SPLITS}
    videos, parts["train"] = parts["train"], []
    for label in sorted({video.label for video in videos}):
        files = [video for video in videos if video.label == label]
        left = [files[i] for i in rng.permutation(len(files))]
        held_back = {
            name: round(part * len(files))
            for name, part in (("test", options.test_part), ("val", options.val_part))
            if name not in found
        }
        for name, count in held_back.items():
            parts[name] += left[:count]
            left = left[count:]
        parts["train"] += left
    return parts


def _facts(name: str, labels: tuple[str, ...], splits: Mapping[str, Clips]) -> dict[str, Any]:
    counts = {
        split: dict(Counter(labels[i] for i in clips.labels.tolist()))
        for split, clips in splits.items()
    }
    return {
        "name": name,
        "classes": counts,
        "splits": {
            split: {"clips": len(clips), "sha256": clips.sha256} for split, clips in splits.items()
        },
        "warnings": empty_classes("clip", labels, counts),
    }
