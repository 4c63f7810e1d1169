"""Language models: each token is rated once, in order, by what the model says of it."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import LETTERS, NEXT, HandSession, V, letter_step

from edgedl.errors import DataError
from edgedl.evaluate import open_evaluation
from edgedl.evaluate.text_generation import PROMPT, ROWS, WARM_UP, TextGeneration, foreseen
from edgedl.metrics.interval import block_bootstrap
from edgedl.runtime.model import open_model
from edgedl.spec import TensorSpec

INPUTS = (
    TensorSpec(name="token", dtype="int64", shape=("N",)),
    TensorSpec(name="h_in", dtype="float32", shape=("N", 1, V)),
)
LENGTHS = [2, 3, 65, 66, 100, 399, 401, 402, 799, 801, 1000, 1013]
WAYS = [(ROWS, WARM_UP), (1, 100), (4, 10), (7, 3), (4, 0), (64, 0), (3, 1)]


def opened(step: Any) -> Any:
    return open_model(LETTERS, {"step": HandSession(step, INPUTS)})


def markov_step(token: np.ndarray, h_in: np.ndarray) -> dict[str, np.ndarray]:
    return {"logits": NEXT[token], "h_out": h_in}


def unigram_step(token: np.ndarray, h_in: np.ndarray) -> dict[str, np.ndarray]:
    return {"logits": NEXT[[0] * len(token)], "h_out": h_in}


def log_softmax_of(logits: list[float]) -> list[float]:
    total = math.log(math.fsum(math.exp(x) for x in logits))
    return [x - total for x in logits]


TOLD = [log_softmax_of(row) for row in NEXT.tolist()]  # after a token, of each token


def some_tokens(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(0, V, n)


@pytest.mark.parametrize(("rows", "warm_up"), WAYS)
@pytest.mark.parametrize("n", LENGTHS)
def test_a_markov_chain_is_rated_exactly(n: int, rows: int, warm_up: int) -> None:
    tokens = some_tokens(n)
    found = foreseen(opened(markov_step), tokens, rows, warm_up)
    expected = [TOLD[a][b] for a, b in pairwise(tokens)]
    assert found.shape == (n - 1,)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_unigram_model_is_rated_exactly() -> None:
    tokens = some_tokens(1234)
    found = foreseen(opened(unigram_step), tokens)
    np.testing.assert_allclose(found, [TOLD[0][b] for b in tokens[1:]], rtol=1e-9)


def test_one_token_foresees_nothing() -> None:
    assert foreseen(opened(markov_step), np.array([4])).shape == (0,)


def test_one_row_is_reading_from_the_beginning() -> None:
    tokens, model = some_tokens(150), opened(letter_step)
    np.testing.assert_array_equal(foreseen(model, tokens, rows=1), model.log_probs(tokens[None])[0])


def test_rows_remember_what_they_read_before_their_part() -> None:
    tokens, model = some_tokens(2001), opened(letter_step)
    exact, found = foreseen(model, tokens, rows=1), foreseen(model, tokens, rows=5)
    np.testing.assert_allclose(found, exact, atol=1e-5)  # 100 tokens before halve to nothing
    without = foreseen(model, tokens, rows=5, warm_up=0)
    wrong = np.flatnonzero(np.abs(without - exact) > 1e-5)
    assert {400, 800, 1200, 1600} <= set(wrong.tolist())
    assert all(place % 400 < 30 and place >= 400 for place in wrong.tolist())


@pytest.mark.parametrize(("n", "rows", "warm_up"), [(41, 4, 2), (43, 4, 2), (1001, 64, 3)])
def test_a_row_reads_so_many_tokens_unrated(n: int, rows: int, warm_up: int) -> None:
    counts: list[np.ndarray] = []

    def step(token: np.ndarray, h_in: np.ndarray) -> dict[str, np.ndarray]:
        counts.append(h_in[:, 0, 0])
        logits = np.zeros((len(token), V))
        logits[:, 4] = -(h_in[:, 0, 0] + 1) / 50  # the more was read, the less likely is token 4
        return {"logits": logits, "h_out": h_in + 1}

    def count_of(log_p: float) -> int:
        """Find how much was read: p = e^(-c / 50) / (e^(-c / 50) + V - 1)."""
        return round(-50 * math.log((V - 1) * math.exp(log_p) / (1 - math.exp(log_p))))

    found = foreseen(opened(step), np.full(n, 4), rows, warm_up)
    length = math.ceil((n - 1) / min(rows, (n - 1) // (4 * warm_up)))
    assert len(counts[0]) == math.ceil((n - 1) / length)
    expected = [t % length + 1 + (warm_up if t >= length else 0) for t in range(n - 1)]
    assert [count_of(x) for x in found] == expected


def test_short_texts_are_read_in_fewer_rows() -> None:
    lots: list[int] = []

    def step(token: np.ndarray, h_in: np.ndarray) -> dict[str, np.ndarray]:
        lots.append(len(token))
        return {"logits": NEXT[token], "h_out": h_in}

    for n in (500, 801, 25_601, 30_001):
        foreseen(opened(step), some_tokens(n))
        assert lots.pop() == min(ROWS, max(1, (n - 1) // 400))


def write_text(folder: Path, n: int = 2000) -> tuple[str, dict[str, Any]]:
    text = "".join(np.random.default_rng(1).choice(list("ab \n"), n))
    (folder / "t.txt").write_text(text)
    return text, {"path": str(folder / "t.txt"), "test_part": 0.5, "val_part": 0.0}


def test_a_text_is_measured(tmp_path: Path) -> None:
    text, data = write_text(tmp_path)
    found = open_evaluation(LETTERS, data)
    ids = [LETTERS.tokens.index(c) for c in text[1000:]]
    nats = [-TOLD[a][b] for a, b in pairwise(ids)]
    measured = found.measure(opened(markov_step))
    assert (measured.task, measured.n, found.hits(measured)) == ("text-generation", 999, [])
    assert measured.main == pytest.approx(sum(nats) / 999)
    assert measured.metrics["bits_per_char"] == pytest.approx(sum(nats) / 999 / math.log(2))
    assert measured.metrics["perplexity"] == pytest.approx(math.exp(sum(nats) / 999))
    ends = measured.metrics["nats_per_char_low"], measured.metrics["nats_per_char_high"]
    assert ends == pytest.approx(block_bootstrap(np.array(nats), 500))


def test_pieces_and_what_follows_them(tmp_path: Path) -> None:
    text, data = write_text(tmp_path)
    found = open_evaluation(LETTERS, data)
    text = text[1000:]
    assert len(found) == 999 // PROMPT == 15
    assert found.tensors.shape == (15, PROMPT)
    for i in range(15):
        assert found.inputs(i).text == text[i * PROMPT : (i + 1) * PROMPT]
        assert LETTERS.tokens[found.truths[i]] == text[(i + 1) * PROMPT]


def test_a_limit_is_in_pieces(tmp_path: Path) -> None:
    _, data = write_text(tmp_path)
    few, whole = open_evaluation(LETTERS, data, limit=3), open_evaluation(LETTERS, data, limit=99)
    assert (len(few), few.measure(opened(markov_step)).n) == (3, 3 * PROMPT)
    np.testing.assert_array_equal(few.tensors, whole.tensors[:3])
    assert len(whole) == 15


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    _, data = write_text(tmp_path)
    found = open_evaluation(LETTERS, data, "val")
    assert (len(found), found.tensors.shape, found.truths.shape) == (0, (0, PROMPT), (0,))


@pytest.mark.parametrize(("n", "pieces"), [(0, 0), (1, 0), (64, 0), (65, 1), (128, 1), (129, 2)])
def test_a_piece_needs_a_token_after_it(n: int, pieces: int) -> None:
    tokenizer = opened(markov_step).tokenizer
    assert len(TextGeneration.of("a" * n, "test", tokenizer)) == pieces


def test_characters_that_the_model_does_not_know(tmp_path: Path) -> None:
    text, data = write_text(tmp_path)
    (tmp_path / "t.txt").write_text(text.replace("b", "é"))
    found = open_evaluation(LETTERS, data)
    ids = [LETTERS.tokens.index(c) if c != "b" else 3 for c in text[1000:]]
    nats = [-TOLD[a][b] for a, b in pairwise(ids)]
    assert found.measure(opened(markov_step)).main == pytest.approx(sum(nats) / 999)


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (b"too short", "E358", "has 9 characters"),
        (b"a" * 2000 + b"\xff", "E358", "is not UTF-8: line 1, byte 2000 is 0xff"),
        (None, "E356", "no data at"),
    ],
)
def test_bad_texts(tmp_path: Path, raw: bytes | None, code: str, text: str) -> None:
    if raw is not None:
        (tmp_path / "t.txt").write_bytes(raw)
    with pytest.raises(DataError, match=text) as caught:
        open_evaluation(LETTERS, {"path": str(tmp_path / "t.txt")})
    assert caught.value.code == code
