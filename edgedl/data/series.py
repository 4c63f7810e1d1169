"""Measured series: columns of numbers, row after row in time."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from edgedl.data.download import find
from edgedl.data.problems import OnBadSample, Problems
from edgedl.data.table import column, read_csv
from edgedl.errors import DataError
from edgedl.options import check_either, check_ranges

if TYPE_CHECKING:
    from edgedl.spec import SeriesSpec

_LARGEST = float(np.finfo(np.float32).max)

_WITH_COMMA = re.compile(r"\s*[-+]?[\d.]*,[\d.,]+(e[-+]?\d+)?\s*", re.IGNORECASE)

F32Array = npt.NDArray[np.float32]

GENERATED_COLUMNS = ("load", "temperature", "level")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesOptions:
    """The section ``[data]`` of a series.

    Attributes:
        path: A CSV file with a header, its rows in the order of time; empty for a generated one.
        generated: ``machine``: load, temperature and level of a machine, see ``machine_series``.
        inputs: Columns that are seen; empty: all columns of numbers that have a name.
        outputs: Columns that are predicted; empty: those that are seen.
        window: Rows that are seen.
        horizon: So many rows after the last one seen lies the predicted one.
        val_part: Part of the rows before the test part that is held back for choosing, 0..0.5.
        test_part: Last part of the rows, 0..0.5.
        count: Rows of a generated series.
        seed: Of a generated series.
        on_bad_sample: ``fail`` reports all bad cells before training; ``skip`` takes the value of
            the row before, 0 in the first.
    """

    path: str = ""
    generated: Literal["", "machine"] = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    window: int = 32
    horizon: int = 1
    val_part: float = 0.1
    test_part: float = 0.2
    count: int = 20000
    seed: int = 1
    on_bad_sample: Literal["fail", "skip"] = "fail"

    def __post_init__(self) -> None:
        check_either("data", self, "path", "generated")
        check_ranges(
            "data",
            self,
            window=(1, 4096),
            horizon=(1, 4096),
            val_part=(0, 0.5),
            test_part=(0, 0.5),
            count=(100, 10_000_000),
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """Consecutive rows of a table.

    Attributes:
        columns: Names.
        values: (n, columns) float32, in the table's units.
    """

    columns: tuple[str, ...]
    values: F32Array

    def __len__(self) -> int:
        return len(self.values)

    def of(self, names: Sequence[str]) -> F32Array:
        """Return some columns, (n, len(names))."""
        return self.values[:, [self.columns.index(name) for name in names]]


@dataclass(frozen=True, slots=True)
class SeriesData:
    """A series in its splits, one after the other in time.

    Attributes:
        inputs: Columns that are seen.
        outputs: Columns that are predicted.
        splits: ``train``, ``val``, ``test`` as far as they are there.
        facts: For ``data.json``.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    splits: Mapping[str, Rows]
    facts: Mapping[str, Any]


def open_series(options: SeriesOptions) -> SeriesData:
    """Read or make a series and split it by time.

    Raises:
        DataError: E355 bad cells, E356 no such file, E358 not UTF-8, E359 no such column, E352 too
            few rows.
    """
    if options.generated:
        rows = Rows(GENERATED_COLUMNS, machine_series(options.seed, options.count))
    else:
        columns = (*options.inputs, *options.outputs)
        rows = read_series(find(options.path), columns, options.on_bad_sample)
    inputs = options.inputs or rows.columns
    outputs = options.outputs or inputs
    for name in (*inputs, *outputs):
        column(list(rows.columns), name, Path(options.path or options.generated))
    n = len(rows)
    first, second = (
        round(n * (1 - part)) for part in (options.test_part + options.val_part, options.test_part)
    )
    cuts = {"train": (0, first), "val": (first, second), "test": (second, n)}
    splits = {
        name: Rows(rows.columns, rows.values[start:stop])
        for name, (start, stop) in cuts.items()
        if stop > start
    }
    least = options.window + options.horizon
    for name, part in splits.items():
        if len(part) < least:
            msg = (
                f"{options.path or options.generated}: {name} has {len(part)} of {n} rows; a "
                f"window of {options.window} and a horizon of {options.horizon} need {least}"
            )
            raise DataError("E352", msg)
    warnings = [] if options.inputs or options.generated else _clocks(rows)
    return SeriesData(inputs, outputs, splits, _facts(splits, options) | {"warnings": warnings})


def windows(rows: Rows, spec: SeriesSpec) -> tuple[F32Array, F32Array]:
    """Return all windows of consecutive rows and what follows each.

    Returns:
        (n, T, F) and (n, O) float32 with n = rows - T - horizon + 1.
    """
    seen, after = rows.of(spec.inputs), rows.of(spec.outputs)
    n = len(rows) - spec.window - spec.horizon + 1
    view = np.lib.stride_tricks.sliding_window_view(seen, spec.window, axis=0)[:n]
    return np.ascontiguousarray(view.transpose(0, 2, 1)), after[len(after) - n :]


def machine_series(seed: int, count: int) -> F32Array:
    """Return a made-up machine (count, 3): load, temperature and level.

    Load is two rhythms and a state that switches now and then; temperature follows the load
    slowly; level fills by the load and is emptied when it is full. All with noise.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(count)
    state = np.repeat(rng.integers(0, 2, count // 50 + 1), 50)[:count].astype(np.float64)
    load: npt.NDArray[np.float64] = (
        5 + 2 * np.sin(2 * math.pi * t / 24) + np.sin(2 * math.pi * t / 7) * (1 + state)
    )
    load = load + rng.normal(0, 0.1, count)
    temperature, level = np.empty(count), np.empty(count)
    heat, filled = 40.0, 0.0
    for i in range(count):
        heat += 0.1 * (30 + 3 * load[i] - heat)
        filled = filled + 0.5 * load[i] if filled < 100 else 0.0
        temperature[i], level[i] = heat, filled
    temperature += rng.normal(0, 0.2, count)
    return np.stack([load, temperature, level], axis=1).astype(np.float32)


def read_series(
    path: Path, columns: Sequence[str] = (), on_bad_sample: OnBadSample = "fail"
) -> Rows:
    """Read columns of a CSV file; without names all columns of numbers.

    Raises:
        DataError: E355 bad cells, E358 not UTF-8, E359 no such column, or no number; numbers with
            commas, where no columns are named.
    """
    names, table = read_csv(path)
    wanted = tuple(columns) or tuple(_numeric(names, [cells for _, cells in table], path))
    if not wanted:
        msg = f"{path} has no column of numbers: {', '.join(names)} hold something else"
        raise DataError("E359", msg)
    chosen = tuple(dict.fromkeys(wanted))
    places = [column(names, name, path) for name in chosen]
    problems, values = Problems(), np.empty((len(table), len(places)), np.float32)
    for row, (line, cells) in enumerate(table):
        values[row] = values[row - 1] if row else 0
        if len(cells) != len(names):
            why = f"{len(cells)} cells where the header has {len(names)}"
            problems.add(f"{path}:{line}", why)
            continue
        for k, place in enumerate(places):
            number = _number(cells[place])
            if number is None:
                why = f"{chosen[k]} is {cells[place].strip()!r}, not a number"
                problems.add(f"{path}:{line}", why)
            else:
                values[row, k] = number
    problems.finish(on_bad_sample)
    return Rows(chosen, values)


def _numeric(names: Sequence[str], rows: Sequence[Sequence[str]], path: Path) -> list[str]:
    """Return the columns with a name most of whose cells are numbers.

    Raises:
        DataError: E359 those of a column have commas.
    """
    found = Counter(
        k for cells in rows for k, cell in enumerate(cells) if _number(cell) is not None
    )
    for k, name in enumerate(names):
        with_comma = [row[k] for row in rows if k < len(row) and _WITH_COMMA.fullmatch(row[k])]
        if name and 2 * len(with_comma) > len(rows):
            msg = (
                f"{path}: the numbers of {name!r} have commas, e.g. {with_comma[0].strip()!r}; "
                "write them with points, as in 1234.5, or name other columns: --set "
                "'data.inputs=[\"NAME\"]'"
            )
            raise DataError("E359", msg)
    return [name for k, name in enumerate(names) if name and 2 * found[k] > len(rows)]


def _number(cell: str) -> float | None:
    """Return a number that float32 can hold, None for everything else."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST else None


def _clocks(rows: Rows) -> list[str]:
    """Return a warning for each column that may be a time: what is to come was never seen."""
    steps = dict(zip(rows.columns, np.diff(rows.values, axis=0).T, strict=True))
    others = [name for name, step in steps.items() if (step < 0).any() or not step.any()]
    told = json.dumps(others or ["NAME"], ensure_ascii=False)
    return [
        f"{name} never falls: a time or a number of rows is better left out, --set "
        f"'data.inputs={told}'"
        for name in rows.columns
        if name not in others
    ]


def _facts(splits: Mapping[str, Rows], options: SeriesOptions) -> dict[str, Any]:
    return {
        "name": options.generated or Path(options.path).name,
        "splits": {
            name: {
                "rows": len(part),
                "sha256": hashlib.sha256(part.values.tobytes()).hexdigest(),
            }
            for name, part in splits.items()
        },
        "columns": list(next(iter(splits.values())).columns),
    }
