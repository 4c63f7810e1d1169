"""CSV files: what separates their cells, which line a row is, what is no table."""

import csv

import pytest

from edgedl.data.table import column, read_csv
from edgedl.errors import DataError


def written(folder, text):
    path = folder / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


ROWS = [["1", "a,b;c\td"], ["2", 'said "so"'], ["", "two\nlines"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_reads_what_csv_writes(tmp_path, delimiter):
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([["number", " text "], *ROWS])
    names, rows = read_csv(path)
    assert names == ["number", "text"]
    assert [cells for _, cells in rows] == ROWS


def test_rows_keep_their_line(tmp_path):
    names, rows = read_csv(written(tmp_path, "a,b\r\n1,2\r\n\r\n , \r\n3,4\r\n5\r\n"))
    assert names == ["a", "b"]
    assert rows == [(2, ["1", "2"]), (5, ["3", "4"]), (6, ["5"])]


def test_one_column_needs_no_delimiter(tmp_path):
    assert read_csv(written(tmp_path, "a\n1\n2\n")) == (["a"], [(2, ["1"]), (3, ["2"])])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "has no header; a CSV file with a header is expected"),
        ("a,b\n", "has no rows; a CSV file with a header is expected"),
        ("a,b\n\n , \n", "has no rows"),
        ("a,b\n1,2\n3,old\rMac\n", "line 3: new-line character seen in unquoted field"),
        ("a,b\n1," + "x" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_what_is_no_table(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as err:
        read_csv(path)
    assert err.value.code == "E359"
    assert str(err.value).startswith(f"{path} {told}")


def test_not_utf8_names_line_and_byte(tmp_path):
    with pytest.raises(DataError, match="line 2, byte 6 is 0xe9") as err:
        read_csv(written(tmp_path, b"a,b\n1,\xe9\n"))
    assert err.value.code == "E358"


def test_columns_by_name(tmp_path):
    path = tmp_path / "a.csv"
    assert column(["text", "label"], "label", path) == 1
    with pytest.raises(DataError, match="has no column 'lable'; did you mean 'label'") as err:
        column(["text", "label"], "lable", path)
    assert err.value.code == "E359"
    assert str(path) in str(err.value)
    with pytest.raises(DataError, match="no column 'stars'; it has: text, label"):
        column(["text", "label"], "stars", path)
