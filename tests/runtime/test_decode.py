"""Greedy search equals a loop over rows that anybody can read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edgedl.errors import BundleError
from edgedl.runtime.decode import greedy, most_probable
from edgedl.vocab import BOS, EOS, Vocab

VOCAB = Vocab.build([f"w{i}" for i in range(9)])
V, H = len(VOCAB), 6


class Step:
    """A step in NumPy whose rows do not influence each other."""

    backend = "numpy"
    inputs = outputs = ()

    def __init__(self, seed: int, eos_bias: float = 0.0, scale: float = 2.0) -> None:
        rng = np.random.default_rng(seed)
        self.words, self.cell = rng.normal(size=(V, H)), rng.normal(size=(H, H))
        self.out, self.bias = rng.normal(size=(H, V)) * scale, np.zeros(V)
        self.bias[EOS] = eos_bias
        self.calls = 0

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        rows = []
        for token, h, c, features in zip(
            feeds["token"], feeds["h_in"], feeds["c_in"], feeds["features"], strict=True
        ):
            c = c + self.words[token] + features.mean(axis=0)
            h = np.tanh(h @ self.cell + c)
            rows.append((h @ self.out + self.bias, h, c))
        return dict(
            zip(("logits", "h_out", "c_out"), map(np.stack, zip(*rows, strict=True)), strict=True)
        )

    def close(self) -> None:
        pass


def state(rows: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4, H)), rng.normal(size=(rows, H)), rng.normal(size=(rows, H))


def plain(step: Step, features: Any, h: Any, c: Any, max_tokens: int) -> tuple[list[int], float]:
    """Search one caption by the definition."""
    token, ids, log_prob = BOS, [], 0.0
    for _ in range(max_tokens):
        out = step.run({"token": [token], "h_in": [h], "c_in": [c], "features": [features]})
        p = np.exp(out["logits"][0] - out["logits"][0].max())
        token = int(np.flatnonzero(p == p.max())[0])
        log_prob += float(np.log(p[token] / p.sum()))
        h, c = out["h_out"][0], out["c_out"][0]
        if token == EOS:
            break
        ids.append(token)
    return ids, log_prob


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("eos_bias", [-50.0, 0.0, 3.0])
def test_equals_one_row_at_a_time(seed: int, eos_bias: float) -> None:
    step = Step(seed, eos_bias)
    features, h, c = state(5, seed)
    found = greedy(step, features, h, c, VOCAB, 7)
    for n, decoded in enumerate(found):
        ids, log_prob = plain(step, features[n], h[n], c[n], 7)
        assert decoded.ids == tuple(ids)
        assert decoded.log_prob == pytest.approx(log_prob, abs=7e-6)
        assert decoded.text == VOCAB.decode(ids)
        assert decoded.is_complete == (len(ids) < 7)


def test_stops_when_all_have_ended() -> None:
    step = Step(0, eos_bias=100.0)
    found = greedy(step, *state(3), VOCAB, 20)
    assert step.calls == 1
    assert [d.ids for d in found] == [(), (), ()]
    assert all(d.is_complete and d.text == "" for d in found)


def test_longest_caption_is_not_complete() -> None:
    step = Step(0, eos_bias=-100.0)
    (decoded,) = greedy(step, *state(1), VOCAB, 4)
    assert step.calls == len(decoded.ids) == 4
    assert not decoded.is_complete


def test_no_rows_need_no_steps() -> None:
    step = Step(0)
    assert greedy(step, *state(0), VOCAB, 4) == []
    assert step.calls == 0


def test_ties_go_to_the_lowest_id() -> None:
    logits = np.float32([[1, 3, 3, 0], [2, 2, 2, 2]])
    token, probability = most_probable(logits)
    assert token.tolist() == [1, 0]
    assert probability[1] == 0.25


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_logits_do_not_overflow(dtype: Any) -> None:
    token, probability = most_probable(np.array([[6e4, -6e4, 0]], dtype))
    assert (token[0], probability[0]) == (0, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_an_error(bad: float) -> None:
    logits = np.full((2, 4), bad if bad < 0 else 0.0)
    logits[1, 2] = bad
    with pytest.raises(BundleError, match="finite") as caught:
        most_probable(logits)
    assert caught.value.code == "E414"
