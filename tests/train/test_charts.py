"""Charts whose names come from the data."""

import cv2
import numpy as np

from edgedl.train import charts

BROKEN = r"$\frac$"  # as a formula


def has_something(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE).std() > 0


def test_names_of_classes_and_columns_are_no_formulas():
    values = np.arange(5, dtype=np.float32)
    assert has_something(charts.series(values, values + 1, BROKEN))
    assert has_something(charts.confusion_matrix(np.eye(2, dtype=np.int64), [BROKEN, "other"]))
