"""What ``edgedl run`` does with models that take texts, tables, or whole clips."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from edgedl.cli.parser import print_json
from edgedl.errors import DataError, UsageError
from edgedl.printable import counted, escaped

if TYPE_CHECKING:
    from edgedl.runtime.base import Pipeline, Result
    from edgedl.runtime.clip_classifier import ClipPipeline
    from edgedl.runtime.regressor import RegressorPipeline
    from edgedl.runtime.tensor_model import TensorPipeline
    from edgedl.runtime.text_classifier import TextClassifierPipeline
    from edgedl.runtime.text_generator import TextPipeline

TAKES = {
    "captioning": "a video, images, a folder of images, or a camera",
    "classification": "a video, images, a folder of images, or a camera",
    "clip-classification": "a video, a camera, or a folder of videos",
    "text-generation": "the beginning of a text, in quotes",
    "text-classification": "a text in quotes, a .txt file (a text per line), a .csv file with the "
    "column of texts it was trained on, or - for standard input",
    "regression": "a .csv file with its columns",
    "tensor": ".npy and .npz files or a folder of them, names as its inputs",
}
"""What SOURCE may be, by task."""
ARRAYS = (".npy", ".npz")
WRITING: dict[str, Any] = {"length": 300, "temperature": 0.8, "top_k": 0, "seed": 1}
"""How text is written where the command line does not say it."""


def write_text(pipeline: TextPipeline, args: argparse.Namespace) -> None:
    """Go on with the text, character by character."""
    given = {name: getattr(args, name) for name in WRITING}
    options = {name: WRITING[name] if value is None else value for name, value in given.items()}
    if args.json:
        print_json(pipeline(args.source, **options).to_json(), args.json)
        return
    pieces = pipeline.write(**options)
    sys.stdout.write(args.source)
    pipeline.read(args.source)
    for piece in pieces:
        sys.stdout.write(escaped(piece, keep="\n\t"))
        sys.stdout.flush()
    sys.stdout.write("\n")


def classify_texts(pipeline: TextClassifierPipeline, args: argparse.Namespace) -> int:
    """Say which class each text belongs to; return how many there were."""
    count = 0
    with _lines_to(args.json) as out:
        trained_on = pipeline.bundle.manifest.data.get("text_column")
        for text in _texts(args.source, str(trained_on or "text")):
            _print(pipeline(text), {"given": text}, out, args, f"  {text}")
            count += 1
    return count


def predict(pipeline: RegressorPipeline, args: argparse.Namespace) -> int:
    """Predict what follows each window of a table; return how many there were."""
    from edgedl.data.series import read_series

    path = Path(args.source)
    if path.suffix.lower() != ".csv":
        raise misfit(pipeline, args.source)
    series = pipeline.model.series
    seen = read_series(path, series.inputs).of(series.inputs)
    if len(seen) < series.window:
        msg = f"{path} has {counted(len(seen), 'row')}; a window of {series.window} is needed"
        raise UsageError("E102", msg)
    first = len(seen) - series.window if args.last else 0
    with _lines_to(args.json) as out:
        for start in range(first, len(seen) - series.window + 1):
            end = start + series.window
            where = {"after_row": end, "horizon": series.horizon}
            _print(pipeline(seen[start:end]), where, out, args, f"  after row {end}")
    return len(seen) - series.window + 1 - first


def compute(pipeline: TensorPipeline, args: argparse.Namespace) -> int:
    """Run the network once for each file of arrays; return how many there were."""
    from edgedl.data.arrays import read_arrays

    path = Path(args.source)
    files = sorted(f for f in path.rglob("*") if f.suffix in ARRAYS) if path.is_dir() else [path]
    if not files or files[0].suffix not in ARRAYS:
        raise misfit(pipeline, args.source)
    with _lines_to(args.json) as out:
        for file in files:
            try:
                result = pipeline(read_arrays(file))
            except UsageError as err:
                msg = f"{file}: {err}"
                raise UsageError("E110", msg) from err
            name = file.relative_to(path).as_posix() if path.is_dir() else file.name
            _print(result, {"file": name}, out, args, f"  {name}")
    return len(files)


def classify_clips(pipeline: ClipPipeline, folder: Path, args: argparse.Namespace) -> int:
    """Say what happens in each video of a folder and the folders in it; return how many."""
    from edgedl.data.clips import read_clip, videos_in

    files = videos_in(folder)
    with _lines_to(args.json) as out:
        for file in files:
            result = pipeline.whole(list(read_clip(file, pipeline.model.clip.frames)))
            name = file.relative_to(folder).as_posix()
            _print(result, {"clip": name}, out, args, f"  {name}")
    return len(files)


def misfit(pipeline: Pipeline, source: str) -> UsageError:
    """Return the error of a source that a model cannot take."""
    task = pipeline.bundle.model_spec.task
    msg = f"{source!r} is nothing for a model for {task}: it takes {TAKES[task]}"
    return UsageError("E102", msg)


@contextmanager
def _lines_to(path: str | None) -> Iterator[TextIO]:
    """Open what ``--json`` names; standard output without a path.

    Raises:
        UsageError: E131 the file cannot be written.
    """
    if path is None or path == "-":
        yield sys.stdout
        return
    try:
        file = Path(path).open("w", encoding="utf-8")  # noqa: SIM115 - closed below
    except OSError as err:
        msg = f"cannot write {path}: {err.strerror}; choose another place"
        raise UsageError("E131", msg) from err
    with file:
        yield file


def _print(
    result: Result, extra: dict[str, Any], out: TextIO, args: argparse.Namespace, note: str
) -> None:
    """Write one result: a line for people, or a line of JSON."""
    line = escaped(f"{result.text}{note}")
    if args.json is not None:
        line = json.dumps({**extra, **result.to_json()}, ensure_ascii=False)
    print(line, file=out, flush=True)


def _texts(source: str, text_column: str) -> Iterator[str]:
    """Return the texts that a source means; of a table without spaces around, as in training."""
    from edgedl.data.table import column, read_csv
    from edgedl.data.text import read_utf8

    path = Path(source)
    if source == "-":
        yield from _lines(sys.stdin)
    elif path.suffix.lower() == ".csv":
        names, rows = read_csv(path)
        place = column(names, text_column, path)
        yield from (cells[place].strip() for _, cells in rows if place < len(cells))
    elif path.suffix.lower() == ".txt":
        yield from (line for line in read_utf8(path).split("\n") if line.strip())
    else:
        yield source


def _lines(stream: TextIO) -> Iterator[str]:
    """Return the lines of standard input that are not empty.

    Raises:
        DataError: E358 it is in another encoding than the locale's.
    """
    try:
        yield from (line.rstrip("\n") for line in stream if line.strip())
    except UnicodeDecodeError as err:
        msg = f"standard input is not {err.encoding}; convert it, e.g. iconv -f latin1 -t utf-8"
        raise DataError("E358", msg) from err
