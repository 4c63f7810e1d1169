"""Which class a text belongs to: words, padding, and what is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import WARMTH, WORTH, HandSession, write_bundle

from edgedl.bundle import Given
from edgedl.errors import BundleError
from edgedl.runtime.pipeline import load
from edgedl.runtime.probability import softmax
from edgedl.runtime.text_classifier import TextClassifier
from edgedl.spec import TextSpec
from edgedl.vocab import PAD, UNK, labels_json

A, BLUE, RED = (WARMTH.tokens.index(word) for word in ("a", "blue", "red"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("texts") / "x.edge", WARMTH)


@pytest.fixture
def pipeline(bundle: Path) -> Iterator[Any]:
    with load(bundle) as opened:
        yield opened


def hand_model() -> tuple[TextClassifier, HandSession]:
    session = HandSession(lambda tokens: {"logits": WORTH[tokens].sum(axis=1)})
    return TextClassifier(WARMTH, {"model": session}), session


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("a red", [A, RED, PAD, PAD, PAD]),
        ("A RED  Blue", [A, RED, BLUE, PAD, PAD]),
        ("a\nred\tring", [A, RED, UNK, PAD, PAD]),
        ("red, blue", [RED, UNK, BLUE, PAD, PAD]),
        ("red red red red red blue", [RED] * 5),
        ("", [PAD] * 5),
        (" \n", [PAD] * 5),
        ("<pad> red", [UNK, UNK, UNK, RED, PAD]),
    ],
)
def test_what_the_network_reads(text: str, ids: list[int]) -> None:
    model, _ = hand_model()
    tensor = model.prepare(Given(text=text))
    assert (tensor.shape, tensor.dtype) == ((1, 5), np.int64)
    assert tensor[0].tolist() == ids


@pytest.mark.parametrize(
    ("text", "logits"),
    [
        ("a red", (0, 2)),
        ("red blue blue", (4, 2)),
        ("a green ring", (2, 0)),
        ("blue blue red red red blue blue", (4, 6)),
        ("a", (0, 0)),
        ("", (0, 0)),
    ],
)
def test_the_answer(pipeline: Any, text: str, logits: tuple[float, float]) -> None:
    result = pipeline(text)
    cold, warm = softmax(np.array(logits))
    assert result.label == ("warm" if warm > cold else "cold")  # "cold" comes first
    assert dict(result.top) == pytest.approx({"cold": cold, "warm": warm}, abs=1e-6)
    assert result.text == f"{result.label} {max(cold, warm):.1%}"
    assert list(result.stage_ms) == ["tokenize", "infer"]


def test_padding_changes_nothing(pipeline: Any) -> None:
    # A network must not be told what comes after the end: <pad> is worth nothing here.
    assert pipeline("red").top == pipeline("a red a").top


def test_top_says_how_many_are_listed(pipeline: Any) -> None:
    pipeline.top = 1
    assert [label for label, _ in pipeline("blue").top] == ["cold"]


def test_many_texts_go_in_lots() -> None:
    model, session = hand_model()
    tokens = np.random.default_rng(0).integers(4, 7, (70, 5))
    found = model.logits(tokens)
    assert session.lots == [64, 6]
    for row, logits in zip(tokens.tolist(), found, strict=True):
        assert logits.tolist() == [2 * row.count(BLUE), 2 * row.count(RED)]


def test_the_model_expects() -> None:
    model, _ = hand_model()
    told = model.expect(model.prepare(Given(text="a blue ring")))
    assert told.text == "cold"
    assert told.output["probability"] == pytest.approx(softmax(np.array([3.0, 0.0]))[0])
    assert told.arrays["logits"].tolist() == [3, 0]


def test_graphs_that_do_not_fit(tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", WARMTH)
    relist(path, text=TextSpec(unit="word", lower=True, length=6))
    with pytest.raises(BundleError, match="expected 6 tokens; got") as caught:
        load(path)
    assert caught.value.code == "E413"
    relist(path, text=WARMTH.text)
    (path / "labels.json").write_text(labels_json(("a", "b", "c")))
    relist(path)
    with pytest.raises(BundleError, match="has 3 labels") as caught:
        load(path)
    assert caught.value.code == "E416"
