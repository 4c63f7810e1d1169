"""BLEU, ROUGE-L, CIDEr-D against published values and hand-made ones."""

import math
import os
from pathlib import Path

import pytest

from edgedl.errors import DataError
from edgedl.metrics.caption import bleu, cider_d, rouge_l


@pytest.fixture
def nlg_eval():
    root = os.environ.get("EDGEDL_DATA")
    folder = Path(root or "", "metrics", "nlg-eval", "examples")
    if not root or not folder.is_dir():
        pytest.skip("EDGEDL_DATA names no folder with metrics/nlg-eval/examples")
    read = [(folder / f"{name}.txt").read_text().splitlines() for name in ("hyp", "ref1", "ref2")]
    return [line.strip() for line in read[0]], [
        [a.strip(), b.strip()] for a, b in zip(read[1], read[2], strict=True)
    ]


def test_bleu_of_published_example(nlg_eval):
    assert bleu(*nlg_eval) == pytest.approx((0.55, 0.428174, 0.284043, 0.201143), abs=1e-6)


def test_rouge_l_of_published_example(nlg_eval):
    assert rouge_l(*nlg_eval) == pytest.approx(0.522104, abs=1e-6)


def test_cider_d_of_published_example(nlg_eval):
    assert cider_d(*nlg_eval) == pytest.approx(1.242192, abs=1e-6)


def test_bleu_by_hand():
    # Papineni's first example: "the" occurs twice in a reference, so 2 of 7 count.
    scores = bleu(["the " * 7], [["the cat is on the mat", "there is a cat on the mat"]], n=2)
    assert scores == pytest.approx((2 / 7, 0.0))


def test_bleu_brevity_penalty_uses_the_closest_length():
    # 4 words against 5 and 9: the closest is 5.
    scores = bleu(["a b c d"], [["a b c d e", "a b c d e f g h i"]], n=1)
    assert scores == pytest.approx((math.exp(1 - 5 / 4),))


def test_equal_sentences_are_perfect():
    hyps, refs = (
        ["a small red ring", "a big blue star"],
        [["a small red ring"], ["a big blue star"]],
    )
    assert bleu(hyps, refs) == pytest.approx((1, 1, 1, 1))
    assert rouge_l(hyps, refs) == pytest.approx(1)
    assert cider_d(hyps, refs) == pytest.approx(10)


def test_rouge_l_by_hand():
    # common subsequence "a c" of 2: precision 2/2, recall 2/4, beta 1.2
    expected = (1 + 1.44) * 1.0 * 0.5 / (0.5 + 1.44 * 1.0)
    assert rouge_l(["a c"], [["a b c d"]]) == pytest.approx(expected)


def test_cider_d_clips_repeated_words():
    refs = [["a red ring"], ["one blue star"]]
    assert cider_d(["red red red", "x"], refs) < cider_d(["red", "x"], refs)


def test_empty_caption_scores_zero():
    assert bleu([""], [["a ring"]]) == (0.0,) * 4
    assert rouge_l([""], [["a ring"]]) == 0.0
    assert cider_d(["", ""], [["a ring"], ["b"]]) == 0.0


@pytest.mark.parametrize(("hyps", "refs"), [([], []), (["a"], []), (["a"], [[]])])
def test_captions_without_references(hyps, refs):
    with pytest.raises(DataError, match="at least one reference each") as err:
        bleu(hyps, refs)
    assert err.value.code == "E352"
