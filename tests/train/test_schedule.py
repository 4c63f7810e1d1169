"""Progress and learning rate."""

import math

import pytest

from edgedl.errors import ConfigError
from edgedl.train.schedule import ScheduleOptions, progress, rate_factor


def test_progress_is_steps_or_time_whichever_is_further():
    assert progress(10, 100, 5.0, None) == 0.1
    assert progress(10, 100, 5.0, 0) == 0.1
    assert progress(10, 100, 5.0, 10.0) == 0.5
    assert progress(90, 100, 5.0, 10.0) == 0.9
    assert progress(10, 100, 50.0, 10.0) == 1.0
    assert progress(100, 100, 0.0, 10.0) == 1.0


def factors(*places, **options):
    made = ScheduleOptions(**options)
    return [rate_factor(made, place) for place in places]


def test_cosine_rises_linearly_and_falls_as_half_a_cosine():
    found = factors(0.0, 0.1, 0.2, 0.4, 0.6, 1.0, warmup=0.2)
    assert found == pytest.approx([0, 0.5, 1, 0.5 + 0.5 * math.cos(math.pi / 4), 0.5, 0])
    assert factors(0.0, warmup=0.0) == [1.0]


def test_linear_falls_to_the_final_part():
    found = factors(0.0, 0.25, 0.5, 0.75, 1.0, name="linear", warmup=0.5, final=0.2)
    assert found == pytest.approx([0, 0.5, 1, 0.6, 0.2])


def test_steps_and_constant():
    found = factors(0.05, 0.2, 0.3, 0.6, 1.0, name="step", warmup=0.1, at=(0.3, 0.6), factor=0.5)
    assert found == pytest.approx([0.5, 1, 0.5, 0.25, 0.25])
    assert factors(0.5, 1.0, name="constant", final=0.0) == [1.0, 1.0]


def test_places_outside_the_training():
    with pytest.raises(ConfigError, match=r"schedule.at must be in 0..1; got \(1.5,\)"):
        ScheduleOptions(at=(1.5,))
    with pytest.raises(ConfigError, match=r"schedule.warmup must be in 0..0.99; got 1"):
        ScheduleOptions(warmup=1.0)


@pytest.mark.parametrize("name", ["step", "constant"])
def test_a_final_rate_that_nothing_falls_to(name):
    with pytest.raises(ConfigError, match=f"schedule.final is for .*; got 0.1 for {name}") as err:
        ScheduleOptions(name=name, final=0.1)
    assert err.value.code == "E205"
