"""How far graphs are from each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tiny_kinds import HandSession

from edgedl.export.replay import differences

X = np.float32([[1, 2], [3, -4], [0, 1]])


def found(name: str, by: Any) -> dict[str, float]:
    """Return the errors of an output that is ``by`` times what is expected."""
    right: Any = {"model": HandSession(lambda x: {name: x * np.float32([1000, 1])})}
    wrong: Any = {"model": HandSession(lambda x: {name: x * np.float32([1000, 1]) * by})}
    return differences(wrong, right, {"model": [{"x": X[:1]}, {"x": X[1:]}]})


def test_of_the_largest_magnitude() -> None:
    assert found("logits", np.float32([1, 1.5])) == {"logits": pytest.approx(1 / 1000)}


def test_each_predicted_column_has_its_own_size() -> None:
    assert found("values", np.float32([1, 1.5])) == {"values": pytest.approx(0.5)}
    assert found("values", np.float32([1.25, 1])) == {"values": pytest.approx(0.25)}
    assert found("values", np.float32([1, 1])) == {"values": 0}
