"""One step of beam searches, against all candidates in a sorted list."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from softmax_reference import sum_of_exp

from edgedl import _core
from edgedl.errors import UsageError

ORDERS = (-1, 0, 1, 2, 3)
END = 2
NONE = -math.inf


def repeats(history: list[int], token: int, n: int) -> bool:
    tokens = [*history, token]
    last = tokens[len(tokens) - n :]
    starts = range(len(tokens) - n)
    return n > 0 and len(tokens) >= n and any(tokens[s : s + n] == last for s in starts)


def expected(given: dict[str, Any], end: int, no_repeat: int, may_end: bool, penalty: float) -> Any:
    """Return places of (parent, token, log_prob, score) by the definition."""
    searches = []
    for rows, log_probs, scores in zip(
        given["row"], given["log_prob"], given["score"], strict=True
    ):
        found: list[tuple[float, int, float, int, float]] = []
        is_bad = False
        for place, (row, log_prob, score) in enumerate(zip(rows, log_probs, scores, strict=True)):
            if row < 0:
                found.append((score, place, 0.0, end, log_prob))
                continue
            logits = given["logits"][row]
            largest, total = sum_of_exp(logits)
            is_bad |= math.isnan(total)
            for token, logit in enumerate(logits):
                is_free = not repeats(list(given["history"][row]), token, no_repeat)
                if is_free and (may_end or token != end):
                    new = log_prob - math.log(total) + (float(logit) - float(largest))
                    found.append((new / penalty, place, float(logit), token, new))
        found = [one for one in found if one[4] > NONE]
        found.sort(key=lambda c: (-c[0], c[1], -c[2], c[3]))
        best = [(c[1], c[3], c[4], c[0]) for c in found[: len(rows)]]
        best += [(place, end, NONE, NONE) for place in range(len(best), len(rows))]
        searches.append([(-1, -1, math.nan, math.nan)] * len(rows) if is_bad else best)
    return np.array(searches, np.float64).transpose(2, 0, 1)


def step(given: dict[str, Any], order: int = -1, **options: Any) -> tuple[Any, ...]:
    shape = given["row"].shape
    out = tuple(np.full(shape, 77, t) for t in (np.int64, np.int64, np.float64, np.float64))
    _core.beam_step(*given.values(), *out, **{"end": END, **options}, emulated_order=order)
    return out


def assert_equal(given: dict[str, Any], **options: Any) -> tuple[Any, ...]:
    table = {"end": END, "no_repeat": 0, "may_end": True, "penalty": 1.0, **options}
    wanted = expected(given, **table)
    first = step(given, **options)
    for order in ORDERS:
        found = step(given, order, **options)
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])
        np.testing.assert_allclose(found[2], wanted[2], rtol=1e-14)
        np.testing.assert_allclose(found[3], wanted[3], rtol=1e-14)
        for one, other in zip(found, first, strict=True):
            np.testing.assert_array_equal(one, other)
    return first


def beams(
    searches: int, width: int, vocabulary: int, length: int = 0, seed: int = 0, whole: bool = False
) -> dict[str, Any]:
    """Some searches in the middle, a few hypotheses complete, a few places empty."""
    rng = np.random.default_rng(seed)
    shape = (searches, width)
    state = rng.choice(3, shape, p=(0.7, 0.2, 0.1))
    rows = int((state == 0).sum())
    row = np.full(shape, -1, np.int64)
    row[state == 0] = rng.permutation(rows)
    log_prob = np.where(state == 2, NONE, -rng.uniform(0, 4, shape))
    logits = rng.normal(0, 2, (rows, vocabulary))
    return {
        "logits": (np.rint(logits) if whole else logits).astype(np.float32),
        "history": rng.integers(3, 3 + min(4, vocabulary), (rows, length)),
        "row": row,
        "log_prob": np.rint(log_prob) if whole else log_prob,
        "score": (np.rint(log_prob) if whole else log_prob) / 1.25,
    }


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("vocabulary", [3, 16, 60, 257, 520])
def test_matches_the_definition(width: int, vocabulary: int) -> None:
    for seed in range(2):
        given = beams(2, width, vocabulary, seed=seed)
        assert_equal(given)
        assert_equal(given, penalty=1.7, may_end=False)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("no_repeat", [1, 2, 3, 4])
def test_no_tokens_in_a_row_come_twice(no_repeat: int) -> None:
    for length in (0, 1, 2, 3, 12):
        given = beams(4, 4, 7, length, seed=length)
        assert_equal(given, no_repeat=no_repeat, penalty=1.3)


@pytest.mark.usefixtures("target")
def test_ties_go_to_the_lower_place_then_to_the_lower_token() -> None:
    for seed in range(4):
        given = beams(3, 5, 40, seed=seed, whole=True)
        given["logits"][:] = given["logits"][:1]
        assert_equal(given)
    given = beams(1, 3, 8, seed=1)
    given |= {
        "logits": np.zeros((3, 8), np.float32),
        "history": np.zeros((3, 0), np.int64),
        "row": np.arange(3)[None],
        "log_prob": np.zeros((1, 3)),
    }
    parent, token, _, _ = assert_equal(given)
    assert (parent.tolist(), token.tolist()) == ([[0, 0, 0]], [[0, 1, 2]])


@pytest.mark.usefixtures("target")
def test_one_beam_takes_the_first_largest_logit() -> None:
    """That is so even where float64 cannot tell their log-probabilities apart."""
    logits = np.full((1, 300), 1e-8, np.float32)
    logits[0, 250] = np.nextafter(np.float32(1e-8), np.float32(1))
    given = {
        "logits": logits,
        "history": np.zeros((1, 0), np.int64),
        "row": np.zeros((1, 1), np.int64),
        "log_prob": np.full((1, 1), -1000.0),
        "score": np.zeros((1, 1)),
    }
    for order in ORDERS:
        assert step(given, order)[1].tolist() == [[250]]


@pytest.mark.usefixtures("target")
def test_places_without_candidates_are_empty() -> None:
    logits = np.full((2, 4), -np.inf, np.float32)
    logits[:, 1] = 0.0
    given = {
        "logits": logits,
        "history": np.array([[0], [1]]),
        "row": np.array([[0, -1, 1, -1]]),
        "log_prob": np.array([[-1.0, NONE, -2.0, -3.0]]),
        "score": np.array([[0.0, 0.0, 0.0, -1.5]]),
    }
    parent, token, log_prob, score = assert_equal(given, no_repeat=1, penalty=2.0)
    assert parent.tolist() == [[0, 3, 2, 3]]
    assert token.tolist() == [[1, END, END, END]]
    assert log_prob.tolist() == [[-1, -3, NONE, NONE]]
    assert score.tolist() == [[-0.5, -1.5, NONE, NONE]]


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_searches_that_mean_nothing_are_marked_and_others_are_not(bad: float) -> None:
    given = beams(3, 4, 30, seed=2)
    given["logits"][given["row"][1].max(), 7] = bad
    parent, token, log_prob, _ = assert_equal(given)
    assert (parent[1] == -1).all()
    assert (token[1] == -1).all()
    assert np.isnan(log_prob[1]).all()
    assert (parent[[0, 2]] >= 0).all()


@pytest.mark.parametrize("order", ORDERS[1:])
def test_rows_that_are_not_there_mark_their_search(order: int) -> None:
    """On a GPU nobody can look at them beforehand."""
    given = beams(3, 4, 30, seed=2)
    alone = step(given, order)
    given["row"][1, 2] = len(given["logits"])
    found = step(given, order)
    for one, before in zip(found, alone, strict=True):
        assert np.array_equal(one[[0, 2]], before[[0, 2]])
    assert (found[0][1] == -1).all()
    assert (found[1][1] == -1).all()
    assert np.isnan(found[2][1]).all()
    assert np.isnan(found[3][1]).all()


def test_nothing_to_do() -> None:
    assert step(beams(0, 2, 5))[0].shape == (0, 2)
    given = beams(2, 2, 5)
    given |= {
        "logits": np.zeros((0, 5), np.float32),
        "history": np.zeros((0, 3), np.int64),
        "row": np.full((2, 2), -1),
    }
    assert_equal(given)


def test_wrong_arguments_are_named() -> None:
    given = beams(2, 3, 9, 2, seed=3)
    rows = len(given["logits"])

    def refused(match: str, **changes: Any) -> None:
        options = {k: changes.pop(k) for k in ("end", "no_repeat", "penalty") if k in changes}
        with pytest.raises(UsageError, match=match):
            step({**given, **changes}, **options)

    refused(r"\[beam_step\] logits must .* got \(4,\) float32", logits=np.zeros(4, np.float32))
    refused(r"1 to 2\^30 columns", logits=np.zeros((rows, 0), np.float32))
    refused(r"history must .* a row for each of logits", history=given["history"][1:])
    refused(r"log_prob must .* got \(2, 3\) float32", log_prob=np.zeros((2, 3), np.float32))
    refused(r"score must .* got \(3, 2\) float64", score=np.zeros((3, 2)))
    refused(rf"row must be in -1\.\.{rows - 1}; got {rows}", row=np.full((2, 3), rows))
    refused(rf"row must be in -1\.\.{rows - 1}; got -2", row=np.full((2, 3), -2))
    refused(r"row must have 1 to 64 beams; got \(2, 65\)", row=np.full((2, 65), -1))
    refused(r"end must be in 0\.\.8; got 9", end=9)
    refused(r"no_repeat must be >= 0; got -1", no_repeat=-1)
    for penalty in (0.0, -1.0, math.inf, math.nan):
        refused(r"penalty must be > 0", penalty=penalty)
    out = np.zeros((2, 3))
    places = (np.zeros((2, 3), np.int64), np.zeros((2, 3), np.int64))
    with pytest.raises(UsageError, match="must not overlap"):
        _core.beam_step(*given.values(), *places, out, out, end=END)
    with pytest.raises(UsageError, match="must not overlap"):
        _core.beam_step(*given.values(), *places, given["score"], out, end=END)
