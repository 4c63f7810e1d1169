"""Captioners on rendered scenes, by a hand-made one that knows what it sees."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgedl.data.scenes import Scenes, captions, references
from edgedl.errors import DataError, UsageError
from edgedl.evaluate import open_evaluation
from edgedl.metrics.caption import bleu, cider_d
from edgedl.metrics.interval import wilson
from edgedl.runtime.decode import Decoded
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.vocab import SPECIAL

SPEC = ModelSpec(
    task="captioning", image=ImageSpec(size_hw=(16, 24)), tokens=(*SPECIAL, "a", "red", "ring")
)
DATA = {"generated": "scenes", "seed": 3, "camera_px": 40, "test": 9, "val": 4}


class Teller:
    """Says the given texts in turn, whatever it is shown."""

    spec, compared = SPEC, ()

    def __init__(self, texts: Sequence[str], **step: bool) -> None:
        self.texts, self.step = texts, SimpleNamespace(**step)
        self.lots: list[int] = []

    def captions(self, tensors: np.ndarray, lot: int) -> list[Decoded]:
        assert tensors.shape[1:] == (3, 16, 24)
        self.lots.append(lot)
        return [Decoded(text, (), 0.0, is_complete=True) for text in self.texts[: len(tensors)]]


def right(i: int, split: Any = "test") -> str:
    return captions(Scenes(3, split, (40, 40)).scene(i))[0]


def test_captions_are_rated() -> None:
    found = open_evaluation(SPEC, DATA)
    assert (len(found), found.split) == (9, "test")
    texts = [right(i) if i % 3 else "a red ring left of a red ring" for i in range(9)]
    measured = found.measure(Teller(texts))
    assert (measured.task, measured.n, measured.outputs) == ("captioning", 9, texts)
    assert found.hits(measured) == [i % 3 != 0 for i in range(9)]
    assert measured.main == measured.metrics["exact"] == pytest.approx(6 / 9)
    ends = measured.metrics["exact_low"], measured.metrics["exact_high"]
    assert ends == pytest.approx(wilson(6, 9))
    told = [list(one) for one in found.references]
    assert measured.metrics["bleu4"] == pytest.approx(bleu(texts, told)[3])
    assert measured.metrics["cider_d"] == pytest.approx(cider_d(texts, told))
    assert list(measured.metrics)[-2:] == ["bleu4", "cider_d"]


def test_every_wording_of_a_scene_is_right_and_no_other_scene_s() -> None:
    found = open_evaluation(SPEC, DATA, limit=2)
    for text in captions(found.truths[0]):
        assert found.hits(found.measure(Teller([text, text]))) == [True, False]


def test_pictures_are_those_of_the_scenes() -> None:
    found = open_evaluation(SPEC, DATA, "val")
    scenes = Scenes(3, "val", (40, 40))
    assert len(found) == 4
    for i in range(4):
        (picture,) = found.inputs(i).pictures
        np.testing.assert_array_equal(picture, scenes.picture(i))
        assert found.truths[i] == scenes.scene(i)
        assert found.references[i] == list(references(scenes.scene(i), random.Random(i)))
    other = open_evaluation(SPEC, {**DATA, "seed": 4}, "val")
    assert other.truths[0] != found.truths[0]


@pytest.mark.parametrize(("limit", "n"), [(1, 1), (9, 9), (50, 9), (None, 9)])
def test_a_limit(limit: int | None, n: int) -> None:
    assert len(open_evaluation(SPEC, DATA, limit=limit)) == n


def test_scenes_to_learn_from_have_no_end() -> None:
    assert len(open_evaluation(SPEC, DATA, "train", limit=3)) == 3
    with pytest.raises(UsageError, match=r"no end of scenes in train.*--limit") as caught:
        open_evaluation(SPEC, DATA, "train")
    assert caught.value.code == "E132"


def test_other_data_than_scenes_is_refused(tmp_path: Any) -> None:
    with pytest.raises(DataError, match="rendered scenes") as caught:
        open_evaluation(SPEC, DATA, limit=2, path=tmp_path)
    assert caught.value.code == "E356"
