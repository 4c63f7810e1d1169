"""Sentences about scenes: the label by a reader of its own, and that no shortcut leads to it."""

import re

import pytest

from edgedl.data.scene_texts import scene_texts

COLORS = "red|orange|yellow|green|blue|purple|white|black"
BEFORE = ("to the left of", "left of", "above", "over")
AFTER = ("to the right of", "right of", "below", "under")


@pytest.fixture(scope="module")
def texts():
    return scene_texts(3, 4000)


def answer(sentence):
    """Return the colour of the thing on the left or above, from the words alone."""
    first, second = re.findall(COLORS, sentence)
    is_before = any(words in sentence for words in BEFORE)
    assert is_before != any(words in sentence for words in AFTER)
    is_turned = sentence.startswith((*BEFORE, *AFTER))  # "above B is A"
    subject, other = (second, first) if is_turned else (first, second)
    return subject if is_before else other


def test_labels_are_what_the_sentences_say(texts):
    assert len(texts) == 4000
    assert all(label == answer(text) for text, label, _ in texts)


def test_every_turn_of_the_grammar_occurs(texts):
    for words in (*BEFORE, *AFTER):
        assert any(f" {words} " in text for text, *_ in texts)
        assert any(text.startswith(words) for text, *_ in texts)
    assert any(text.startswith("there is ") for text, *_ in texts)


def test_sentences_differ_and_name_two_colours(texts):
    assert len({text for text, *_ in texts}) == len(texts)
    assert all(len(set(re.findall(COLORS, text))) == 2 for text, *_ in texts)
    assert {split for *_, split in texts} == {""}


def test_order_alone_does_not_tell(texts):
    """The first colour named is right in half of the sentences."""
    first = sum(re.search(COLORS, text).group() == label for text, label, _ in texts)
    assert abs(first / len(texts) - 0.5) < 0.04


def test_depends_on_the_seed_alone(texts):
    assert scene_texts(3, 500) == texts[:500]
    assert scene_texts(4, 500) != texts[:500]
