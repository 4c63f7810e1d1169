"""The smallest number that suffices."""

from __future__ import annotations

import math

import pytest

from edgedl.export.fewest import fewest


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 21, 54])
def test_the_answer_is_found_from_everywhere(limit: int) -> None:
    for start in range(1, max(2, limit)):
        for answer in range(1, limit + 1):
            tried: list[int] = []

            def is_enough(count: int, answer: int = answer, tried: list[int] = tried) -> bool:
                tried.append(count)
                return count >= answer

            assert fewest(limit, start, is_enough) == answer
            assert all(0 < count < limit for count in tried)
            assert len(set(tried)) == len(tried)
            assert len(tried) <= 2 * math.log2(limit) + 2


@pytest.mark.parametrize("answer", [9, 10, 11])
def test_a_good_guess_needs_few_trials(answer: int) -> None:
    tried: list[int] = []
    fewest(54, 10, lambda count: tried.append(count) or count >= answer)
    assert len(tried) <= 4
