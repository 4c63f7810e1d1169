"""The charts of a training's report, and the table of what was taken for what."""

import re
import warnings

import cv2
import numpy as np
import pytest

from edgedl.train import charts
from edgedl.train.confusion import confusion_html


def decoded(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)


def test_a_series_shows_both_lines():
    values = np.arange(5, dtype=np.float32)
    same, other = (decoded(charts.series(values, found)) for found in (values, values[::-1]))
    assert same.shape == other.shape
    assert (same != other).any()


def cells(text):
    return re.findall(r"<td style=\"--part:([\d.]+)\"( class=\"dark\")?>(\d*)</td>", text)


def test_few_classes_are_a_table_of_numbers():
    found = confusion_html(np.array([[3, 1], [0, 0]]), ["cat", "dog"])
    assert cells(found) == [
        ("0.750", ' class="dark"', "3"),
        ("0.250", "", "1"),
        ("0.000", "", ""),
        ("0.000", "", ""),
    ]
    assert re.findall(r"<th>(?:<span>)?(\w*)<", found) == ["", "cat", "dog", "cat", "dog"]


@pytest.mark.parametrize("name", [r"$\frac$", "猫", "<b>", "a" * 200])
def test_names_of_classes_are_plain_text_of_the_page(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = confusion_html(np.eye(2, dtype=np.int64), [name, "other"])
    assert found.count(name.replace("<b>", "&lt;b&gt;")) == 2
    assert "<b>" not in found


def test_many_classes_are_a_picture():
    counts = np.eye(21, dtype=np.int64)
    found = confusion_html(counts, [str(i) for i in range(21)])
    assert found.startswith('<img class="wide" src="data:image/png;base64,')
    picture = decoded(charts.heat_map(counts / 1.0, "told", "true"))
    assert picture.min() < 60
