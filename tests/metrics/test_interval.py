"""Wilson's interval."""

import pytest

from edgedl.metrics.interval import wilson


def test_published_values():
    # Newcombe (1998), table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263, 1.959964) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20, 1.959964) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_is_symmetric_and_within_range():
    low, high = wilson(20, 20)
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(1 - wilson(0, 20)[1])
