"""Series: columns of numbers, split by time, cut into windows."""

import csv
import hashlib
import logging
import math

import numpy as np
import pytest

from edgedl.data.series import (
    GENERATED_COLUMNS,
    Rows,
    SeriesOptions,
    machine_series,
    open_series,
    read_series,
    windows,
)
from edgedl.errors import ConfigError, DataError
from edgedl.spec import SeriesSpec


def table(n=100):
    t = np.arange(n)
    return np.stack([t, np.sin(t / 5), 1e-3 * t**2], 1).astype(np.float32)


def written(folder, values=None, names=("time", "a", "b"), text=None):
    path = folder / "plant.csv"
    if text is None:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([names, *(map(repr, map(float, row)) for row in values)])
    else:
        path.write_text(text)
    return path


def opened(path="", **options):
    small = {"window": 4} | options
    return open_series(SeriesOptions(path=str(path), **small))


# reading


def test_values_come_out_exactly(tmp_path):
    rows = read_series(written(tmp_path, table()))
    assert rows.columns == ("time", "a", "b")
    assert rows.values.dtype == np.float32
    np.testing.assert_array_equal(rows.values, table())


def test_chosen_columns_in_the_order_asked_for(tmp_path):
    rows = read_series(written(tmp_path, table()), ("b", "time", "b"))
    assert rows.columns == ("b", "time")
    np.testing.assert_array_equal(rows.values, table()[:, [2, 0]])
    np.testing.assert_array_equal(rows.of(["time"]), table()[:, :1])
    assert len(rows) == 100


def test_columns_of_something_else_are_passed_over(tmp_path):
    text = "when;a;state;b\nmonday;1;on;-2e3\ntuesday;2;7;0.5\nsunday;3;off;nan\nfriday;4;on;5\n"
    path = written(tmp_path, text=text)
    rows = read_series(path, on_bad_sample="skip")
    assert rows.columns == ("a", "b")
    assert rows.values.tolist() == [[1, -2000], [2, 0.5], [3, 0.5], [4, 5]]


def test_an_index_without_a_name_is_no_measurement(tmp_path):
    """Tables of pandas begin with one."""
    rows = read_series(written(tmp_path, text=",a\n0,5\n1,6\n"))
    assert rows.columns == ("a",)


def test_commas_in_columns_that_are_not_used_do_not_matter(tmp_path):
    path = written(tmp_path, text="a;b\n1;2,5\n2;3,5\n")
    assert read_series(path, ["a"]).values.tolist() == [[1], [2]]
    lists = written(tmp_path, text="a;b\n1;on, off\n2;3,5\n3;x\n")
    assert read_series(lists).columns == ("a",)


def test_a_time_among_the_measurements_is_told(tmp_path):
    rows = [f"{i},{5 + i // 4},{i % 3},7" for i in range(40)]
    path = written(tmp_path, text="t [s],count,load,same\n" + "\n".join(rows) + "\n")
    data = open_series(SeriesOptions(path=str(path), window=2))
    why = "never falls: a time or a number of rows is better left out, --set"
    assert data.facts["warnings"] == [
        f'{name} {why} \'data.inputs=["load", "same"]\'' for name in ("t [s]", "count")
    ]
    named = SeriesOptions(path=str(path), window=2, inputs=("count",))
    assert open_series(named).facts["warnings"] == []


def test_two_columns_of_one_name_are_not_confused(tmp_path):
    with pytest.raises(DataError, match="has 2 columns 'a'; give each a name of its own") as err:
        read_series(written(tmp_path, text="a,a,b\n0,5,1\n1,6,2\n"))
    assert err.value.code == "E359"


def test_a_bad_first_cell_does_not_hide_its_column(tmp_path):
    path = written(tmp_path, text="a,b\n1,?\n2,5\n3,6\n")
    with pytest.raises(DataError, match=f"{path}:2: b is '\\?', not a number"):
        read_series(path)
    rows = read_series(path, on_bad_sample="skip")
    assert rows.values.tolist() == [[1, 0], [2, 5], [3, 6]]


BAD = "a,b\n1,10\nx,20\n3,nan\n4,inf\n5,1e39\n,60\n7,70,7\n8\n9,90\n"


def test_bad_cells_are_told_all_together(tmp_path):
    path = written(tmp_path, text=BAD)
    with pytest.raises(DataError) as err:
        read_series(path)
    assert err.value.code == "E355"
    text = str(err.value)
    assert text.startswith("7 bad samples (")
    for line, why in {
        3: "a is 'x', not a number",
        4: "b is 'nan', not a number",
        5: "b is 'inf', not a number",
        6: "b is '1e39', not a number",  # float32 cannot hold it
        7: "a is '', not a number",
        8: "3 cells where the header has 2",
        9: "1 cells where the header has 2",
    }.items():
        assert f"  {path}:{line}: {why}\n" in text
    assert text.endswith("--on-bad-sample skip")


def test_skip_takes_the_row_before_and_logs(tmp_path, caplog):
    path = written(tmp_path, text=BAD)
    with caplog.at_level(logging.WARNING):
        rows = read_series(path, on_bad_sample="skip")
    assert rows.values.tolist() == [
        [1, 10], [1, 20], [3, 20], [4, 20], [5, 20], [5, 60], [5, 60], [5, 60], [9, 90],
    ]  # fmt: skip
    assert "left out: 7 bad samples" in caplog.text


@pytest.mark.parametrize(
    ("text", "columns", "code", "told"),
    [
        ("a,b\n1,2\n", ("c",), "E359", "has no column 'c'; it has: a, b"),
        ("speed,b\n1,2\n", ("sped",), "E359", "did you mean 'speed'"),
        ("a,b\nx,y\n", (), "E359", "has no column of numbers: a, b hold something else"),
        ("a;b\n1;2,5\n2;,5\n", (), "E359", "numbers of 'b' have commas, e.g. '2,5'; write them"),
        ('a,b\n1,"-1,234.5"\n', (), "E359", "numbers of 'b' have commas, e.g. '-1,234.5'"),
        ("a,b\n", (), "E359", "has no rows"),
    ],
)
def test_files_that_do_not_do(tmp_path, text, columns, code, told):
    path = written(tmp_path, text=text)
    with pytest.raises(DataError, match=told) as err:
        read_series(path, columns)
    assert err.value.code == code
    assert str(path) in str(err.value)


# splitting


def test_splits_follow_each_other_in_time(tmp_path):
    data = opened(written(tmp_path, table()), val_part=0.1, test_part=0.2)
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 70, "val": 10, "test": 20,
    }  # fmt: skip
    values = np.concatenate([part.values for part in data.splits.values()])
    np.testing.assert_array_equal(values, table())
    assert data.inputs == data.outputs == ("time", "a", "b")
    digest = hashlib.sha256(table()[80:].astype("<f4").tobytes()).hexdigest()
    assert data.facts["splits"]["test"] == {"rows": 20, "sha256": digest}
    assert data.facts["columns"] == ["time", "a", "b"]
    assert data.facts["name"] == "plant.csv"


def test_what_is_seen_and_what_is_predicted(tmp_path):
    data = opened(written(tmp_path, table()), inputs=("a", "time"), outputs=("b",))
    assert (data.inputs, data.outputs) == (("a", "time"), ("b",))
    assert data.splits["train"].columns == ("a", "time", "b")
    seen = opened(written(tmp_path, table()), inputs=("a",))
    assert (seen.inputs, seen.outputs) == (("a",), ("a",))


def test_splits_that_are_not_asked_for_are_not_there(tmp_path):
    data = opened(written(tmp_path, table()), val_part=0, test_part=0)
    assert list(data.splits) == ["train"]


def test_outputs_alone_must_be_there(tmp_path):
    with pytest.raises(DataError, match="has no column 'c'") as err:
        opened(written(tmp_path, table()), outputs=("c",))
    assert err.value.code == "E359"


def test_a_split_shorter_than_a_window(tmp_path):
    path = written(tmp_path, table(50))
    with pytest.raises(DataError) as err:
        opened(path, window=4, horizon=2)
    assert err.value.code == "E352"
    assert str(err.value) == (
        f"{path}: val has 5 of 50 rows; a window of 4 and a horizon of 2 need 6"
    )
    assert len(opened(path, window=4, horizon=1).splits["val"]) == 5


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no data at") as err:
        opened(tmp_path / "none.csv")
    assert err.value.code == "E356"


# windows


@pytest.mark.parametrize(("window", "horizon"), [(1, 1), (4, 1), (4, 3), (7, 5)])
def test_windows_by_definition(window, horizon):
    rows = Rows(("time", "a", "b"), table(20))
    spec = SeriesSpec(inputs=("b", "time"), outputs=("a",), window=window, horizon=horizon)
    seen, after = windows(rows, spec)
    n = 20 - window - horizon + 1
    assert seen.shape == (n, window, 2)
    assert after.shape == (n, 1)
    for i in range(n):
        for t in range(window):
            assert seen[i, t].tolist() == [rows.values[i + t, 2], rows.values[i + t, 0]]
        assert after[i, 0] == rows.values[i + window - 1 + horizon, 1]


def test_just_one_window():
    rows = Rows(("a",), table(5)[:, :1])
    seen, after = windows(rows, SeriesSpec(inputs=("a",), outputs=("a",), window=4))
    assert seen.tolist() == [[[0], [1], [2], [3]]]
    assert after.tolist() == [[4]]


# generated


def test_a_generated_machine_obeys_its_own_laws():
    values = machine_series(5, 4000).astype(np.float64)
    load, temperature, level = values.T
    assert values.shape == (4000, len(GENERATED_COLUMNS))
    assert np.isfinite(values).all()
    emptied = level == 0
    filled = ~emptied[1:]
    np.testing.assert_allclose(np.diff(level)[filled], 0.5 * load[1:][filled], atol=1e-3)
    assert (level[:-1][emptied[1:]] >= 100).all()
    assert emptied.sum() > 20
    heat = temperature[:-1] + 0.1 * (30 + 3 * load[1:] - temperature[:-1])
    assert np.std(temperature[1:] - heat) < 0.3  # noise of 0.2, once new and once damped to 0.18
    spectrum = np.abs(np.fft.rfft(load - load.mean()))
    assert round(4000 / 24) - 1 <= spectrum.argmax() <= round(4000 / 24) + 1


def test_generated_by_seed():
    np.testing.assert_array_equal(machine_series(1, 300), machine_series(1, 300))
    assert not np.array_equal(machine_series(1, 300), machine_series(2, 300))
    data = opened(generated="machine", count=300)
    assert data.inputs == GENERATED_COLUMNS
    values = np.concatenate([part.values for part in data.splits.values()])
    np.testing.assert_array_equal(values, machine_series(1, 300))
    assert data.facts["name"] == "machine"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either data.path or data.generated must be set"),
        ({"path": "x", "generated": "machine"}, "either data.path or data.generated must be set"),
        ({"path": "x", "window": 0}, "data.window must be in 1..4096; got 0"),
        ({"path": "x", "horizon": 5000}, "data.horizon must be in 1..4096; got 5000"),
        ({"path": "x", "val_part": math.nan}, "data.val_part must be in 0..0.5; got nan"),
        ({"path": "x", "test_part": 0.51}, "data.test_part must be in 0..0.5; got 0.51"),
        ({"generated": "machine", "count": 5}, "data.count must be in 100..10000000; got 5"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(ConfigError, match=text) as err:
        SeriesOptions(**options)
    assert err.value.code == "E205"
