"""Writes text: what it remembers, how it draws, what its probabilities are."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import LETTERS, MEMORY, NEXT, HandSession, V, graphs_of, letter_step, write_bundle

from edgedl.bundle import Given
from edgedl.errors import BundleError, UsageError
from edgedl.runtime.pipeline import TextPipeline, load
from edgedl.runtime.text_generator import EXPECTED_LENGTH, TextGenerator, draw
from edgedl.spec import TensorSpec, TextSpec
from edgedl.vocab import UNK, Vocab

STATE = TensorSpec(name="h_in", dtype="float32", shape=("N", 1, V))
TOKEN = TensorSpec(name="token", dtype="int64", shape=("N",))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("letters") / "x.edge", LETTERS)


@pytest.fixture
def pipeline(bundle: Path) -> Iterator[Any]:
    with load(bundle) as opened:
        yield opened


def ids_of(text: str) -> list[int]:
    known = LETTERS.tokens[4:]
    return [4 + known.index(c) if c in known else UNK for c in text]


def logits_after(ids: Sequence[int]) -> np.ndarray:
    """Return what ``tiny_kinds`` says comes next: the last token, and all of them, halved on."""
    seen = np.zeros(V)
    for place, token in enumerate(reversed(ids)):
        seen[token] += 0.5**place
    return seen @ MEMORY.astype(float) + NEXT[ids[-1]]


def greedy(ids: Sequence[int], length: int) -> tuple[str, float]:
    """Return the likeliest text after ``ids`` and the log of its probability."""
    ids, text, log_prob = list(ids), "", 0.0
    for _ in range(length):
        logits = logits_after(ids)[4:].tolist()
        best = logits.index(max(logits))
        log_prob += max(logits) - math.log(sum(math.exp(x) for x in logits))
        ids.append(4 + best)
        text += LETTERS.tokens[4 + best]
    return text, log_prob


def test_without_heat_it_takes_the_likeliest(pipeline: Any) -> None:
    result = pipeline("ab a", length=12, temperature=0)
    text, log_prob = greedy(ids_of("ab a"), 12)
    assert (result.prompt, result.text, result.tokens) == ("ab a", text, 12)
    assert result.log_prob == pytest.approx(log_prob, abs=1e-4)
    assert list(result.stage_ms) == ["read", "write"]
    assert pipeline.tokens == 12


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("temperature", "top_k"), [(0, 0), (0, 3), (1.5, 1)])
def test_the_likeliest_needs_no_chance(
    pipeline: Any, temperature: float, top_k: int, seed: int
) -> None:
    found = pipeline("b", length=8, temperature=temperature, top_k=top_k, seed=seed)
    assert found.text == greedy(ids_of("b"), 8)[0]


def test_it_goes_on_from_what_it_read_and_wrote(pipeline: Any) -> None:
    first = pipeline("ab", length=3, temperature=0)
    second = pipeline(" ", length=3, temperature=0)
    text, log_prob = greedy(ids_of("ab" + first.text + " "), 3)
    assert second.text == text
    assert (second.log_prob, second.tokens) == (pytest.approx(log_prob, abs=1e-4), 3)
    assert pipeline.tokens == 6
    assert pipeline.log_prob == pytest.approx(first.log_prob + second.log_prob)
    third = pipeline("", length=2, temperature=0)
    assert third.text == greedy(ids_of("ab" + first.text + " " + second.text), 2)[0]


def test_reset_forgets(pipeline: Any) -> None:
    fresh = pipeline("ab", length=6, temperature=0.7, seed=4)
    again = pipeline("ab", length=6, temperature=0.7, seed=4)
    assert again.log_prob != fresh.log_prob
    pipeline.reset()
    assert (pipeline.tokens, pipeline.log_prob) == (0, 0)
    anew = pipeline("ab", length=6, temperature=0.7, seed=4)
    assert (anew.text, anew.log_prob) == (fresh.text, fresh.log_prob)


def test_the_state_survives_one_letter_at_a_time(pipeline: Any) -> None:
    whole = pipeline("ab ba", length=5, temperature=0).text
    pipeline.reset()
    for letter in "ab ba":
        pipeline.read(letter)
    assert "".join(pipeline.write(5, temperature=0)) == whole


def test_nothing_read_means_a_new_line(pipeline: Any) -> None:
    assert pipeline("", length=6, temperature=0).text == greedy(ids_of("\n"), 6)[0]


def test_unknown_characters_are_read_and_never_written(pipeline: Any) -> None:
    found = pipeline("aéz", length=5, temperature=0).text
    assert found == greedy([*ids_of("a"), UNK, UNK], 5)[0]
    pipeline.reset()
    text = "".join(pipeline.write(300, temperature=50))
    assert set(text) == set("\n ab")


def test_a_seed_repeats_itself(pipeline: Any) -> None:
    found = []
    for seed in (1, 1, 2):
        pipeline.reset()
        found.append(pipeline("a", length=40, seed=seed).text)
    assert found[0] == found[1] != found[2]


def test_the_log_prob_knows_no_temperature(pipeline: Any) -> None:
    result = pipeline("ab", length=10, temperature=3, top_k=2, seed=5)
    ids, expected = ids_of("ab"), 0.0
    for token in ids_of(result.text):
        logits = logits_after(ids)[4:].tolist()
        expected += logits[token - 4] - math.log(sum(math.exp(x) for x in logits))
        ids.append(token)
    assert result.log_prob == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"length": -5},
        {"temperature": -0.1},
        {"temperature": 101},
        {"temperature": math.nan},
        {"top_k": -1},
        {"seed": -1},
    ],
)
def test_wrong_values_change_nothing(pipeline: Any, wrong: dict[str, Any]) -> None:
    values = {"length": 5, **wrong}
    with pytest.raises(UsageError, match=r"length must be >= 1, temperature in 0\.\.100") as caught:
        pipeline.write(**values)  # before the first letter is asked for
    assert caught.value.code == "E122"
    with pytest.raises(UsageError):
        pipeline("a", **values)
    assert pipeline("b", length=6, temperature=0).text == greedy(ids_of("b"), 6)[0]


def test_draws_follow_the_probabilities() -> None:
    logits, temperature = np.array([0.0, 1.0, 2.0, -1.0]), 1.5
    rng = np.random.default_rng(0)
    counts = Counter(draw(logits, temperature, 0, rng) for _ in range(8000))
    weights = [math.exp(x / temperature) for x in logits.tolist()]
    for index, weight in enumerate(weights):
        assert counts[index] / 8000 == pytest.approx(weight / sum(weights), abs=0.02)


def test_draws_from_the_likeliest_only() -> None:
    logits = np.array([0.0, 1.0, 2.0, -1.0])
    rng = np.random.default_rng(0)
    counts = Counter(draw(logits, 1.0, 2, rng) for _ in range(4000))
    assert set(counts) == {1, 2}
    assert counts[2] / 4000 == pytest.approx(math.e / (1 + math.e), abs=0.03)
    assert {draw(logits, 50.0, 4, rng) for _ in range(200)} == {0, 1, 2, 3}
    assert {draw(logits, 50.0, 9, rng) for _ in range(200)} == {0, 1, 2, 3}


def test_among_equals_the_first_are_drawn_from() -> None:
    rng = np.random.default_rng(0)
    assert {draw(np.zeros(5), 1.0, 2, rng) for _ in range(100)} == {0, 1}
    assert draw(np.zeros(5), 0.0, 0, rng) == 0


def test_little_heat_is_nearly_none() -> None:
    rng = np.random.default_rng(0)
    logits = np.array([-3.0, -2.0, -2.5])
    assert {draw(logits, 1e-3, 0, rng) for _ in range(50)} == {1}


def hand_model() -> TextGenerator:
    outs = tuple(TensorSpec(name=n, dtype="float32", shape=("N",)) for n in ("logits", "h_out"))
    return TextGenerator(LETTERS, {"step": HandSession(letter_step, (TOKEN, STATE), outs)})


def test_log_probs_are_the_definition() -> None:
    tokens = np.random.default_rng(3).integers(3, V, (4, 9))
    found = hand_model().log_probs(tokens)
    assert (found.shape, found.dtype) == ((4, 8), np.float64)
    for row, told in zip(tokens.tolist(), found, strict=True):
        for t in range(8):
            logits = logits_after(row[: t + 1]).tolist()
            expected = logits[row[t + 1]] - math.log(sum(math.exp(x) for x in logits))
            assert told[t] == pytest.approx(expected, abs=1e-4)


def test_the_model_prepares_and_expects() -> None:
    model = hand_model()
    tensor = model.prepare(Given(text="b az"))
    assert tensor.tolist() == [ids_of("b az")]
    told = model.expect(tensor)
    assert told.text == greedy(ids_of("b az"), EXPECTED_LENGTH)[0]
    np.testing.assert_allclose(told.arrays["logits"], logits_after(ids_of("b az")), atol=1e-5)


def test_words_are_joined_by_spaces(tmp_path: Path) -> None:
    spec = dataclasses.replace(
        LETTERS,
        text=TextSpec(unit="word", lower=True),
        tokens=(*LETTERS.tokens[:4], ".", "dog", "sees", "the"),
    )
    path = write_bundle(tmp_path / "x.edge", spec, graphs=graphs_of(LETTERS))
    with load(path) as pipeline:
        assert isinstance(pipeline, TextPipeline)
        found = pipeline("The DOG", length=6, temperature=0)
        ids = [spec.tokens.index(word) for word in ("the", "dog")]
        letters = greedy(ids, 6)[0]
        words = [spec.tokens[LETTERS.tokens.index(letter)] for letter in letters]
        assert found.text == "".join(f" {word}" for word in words)
        pipeline.reset()
        start = [spec.tokens.index(".")]
        letters = greedy(start, 3)[0]
        words = [spec.tokens[LETTERS.tokens.index(letter)] for letter in letters]
        assert list(pipeline.write(3, temperature=0)) == [f" {word}" for word in words]


def test_graphs_that_do_not_fit(tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", LETTERS)
    (path / "vocab.json").write_text(Vocab((*LETTERS.tokens, "c")).to_json())
    relist(path)
    with pytest.raises(BundleError, match="has 9 tokens; got logits") as caught:
        load(path)
    assert caught.value.code == "E416"
    wrong = graphs_of(LETTERS)["step"].replace(b"h_out", b"h_new")
    (path / "graphs" / "step.fp32.onnx").write_bytes(wrong)
    relist(path)
    with pytest.raises(BundleError, match="expected outputs logits, h_out; got") as caught:
        load(path)
    assert caught.value.code == "E413"
