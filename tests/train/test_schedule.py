"""Progress and learning rate."""

import math

import pytest

from edgedl.train.schedule import one_cycle, progress


def test_progress_is_steps_or_time_whichever_is_further():
    assert progress(10, 100, 5.0, None) == 0.1
    assert progress(10, 100, 5.0, 0) == 0.1
    assert progress(10, 100, 5.0, 10.0) == 0.5
    assert progress(90, 100, 5.0, 10.0) == 0.9
    assert progress(10, 100, 50.0, 10.0) == 1.0
    assert progress(100, 100, 0.0, 10.0) == 1.0


def test_rises_linearly_and_falls_as_half_a_cosine():
    assert one_cycle(0.0, 0.2) == 0.0
    assert one_cycle(0.1, 0.2) == pytest.approx(0.5)
    assert one_cycle(0.2, 0.2) == 1.0
    assert one_cycle(0.6, 0.2) == pytest.approx(0.5)
    assert one_cycle(0.4, 0.2) == pytest.approx(0.5 + 0.5 * math.cos(math.pi / 4))
    assert one_cycle(1.0, 0.2) == pytest.approx(0.0)
    assert one_cycle(0.0, 0.0) == 1.0
