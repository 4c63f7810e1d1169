"""How well a text is foreseen: nats, bits, perplexity."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgedl.metrics.sequence import bits, nats, perplexity


def test_an_even_guess_among_k() -> None:
    mean = nats(np.full(9, -math.log(8)))
    assert mean == pytest.approx(math.log(8))
    assert bits(mean) == pytest.approx(3)
    assert perplexity(mean) == pytest.approx(8)


def test_a_mean_by_hand() -> None:
    # Probabilities 1/2, 1/4 and 1: one, two and no bits.
    mean = nats(np.log(np.float32([0.5, 0.25, 1])))
    assert bits(mean) == pytest.approx(1)
    assert perplexity(mean) == pytest.approx((2 * 4 * 1) ** (1 / 3))


def test_one_token_that_was_certain() -> None:
    assert (nats(np.zeros(1)), bits(0.0), perplexity(0.0)) == (0, 0, 1)


def test_a_long_text_is_added_up_exactly() -> None:
    # In half precision, 60000 times 0.1 would be infinite, and 0.1 itself is 0.09998.
    assert nats(np.full(60_000, -0.1, np.float16)) == pytest.approx(float(np.float16(0.1)))
