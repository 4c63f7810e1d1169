"""What quality and speed are computed from."""

import math
from typing import Any

import numpy as np
import pytest

from edgedl.data.scenes import Scenes, captions, words
from edgedl.export.evaluate import Captioning, expect, judge, look_at, margin, time_captions
from edgedl.runtime.decode import Decoded
from edgedl.spec import ImageSpec
from edgedl.vocab import EOS, Vocab

SPEC = ImageSpec(size_hw=(8, 8))
SCENES = Scenes(2, "test", (32, 32))
VOCAB = Vocab.build(words())


class Says:
    """Stands in for a ``Captioning``: says given texts and remembers the order of pictures."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.seen = texts, []

    def all(self, _tensors: Any) -> list[Decoded]:
        return [Decoded(text, (), 0.0, True) for text in self.texts]

    def __call__(self, tensors: np.ndarray) -> None:
        self.seen.append(float(tensors[0, 0, 0, 0]))


def test_quality_counts_what_the_grammar_licenses() -> None:
    pictures = look_at(SPEC, [(SCENES.picture(i), SCENES.scene(i)) for i in range(4)])
    right = [captions(scene)[0] for scene in pictures.scenes]
    quality = judge(Says([*right[:3], "a red nonsense"]), pictures)  # type: ignore[arg-type]
    assert quality.exact == 0.75
    assert quality.interval[0] < 0.75 < quality.interval[1]
    assert 0 < quality.bleu4 <= 1
    assert quality.to_dict()["n"] == 4
    assert pictures.hits(quality.texts) == [True, True, True, False]
    rest = pictures.part(3, 4)
    assert (len(rest), rest.references) == (1, pictures.references[3:])


def test_references_do_not_change() -> None:
    made = [(SCENES.picture(i), SCENES.scene(i)) for i in range(3)]
    assert look_at(SPEC, made).references == look_at(SPEC, made).references


def test_candidates_are_timed_on_the_same_pictures() -> None:
    tensors = np.arange(3, dtype=np.float32).reshape(3, 1, 1, 1)
    candidates = {"a": Says([]), "b": Says([])}
    times = time_captions(candidates, tensors, rounds=4, warmup=1)  # type: ignore[arg-type]
    assert {name: len(ms) for name, ms in times.items()} == {"a": 4, "b": 4}
    assert candidates["a"].seen == candidates["b"].seen == [0, 1, 2, 0, 1]


class Net:
    """An encoder and step whose logits are known."""

    backend, inputs, outputs = "fake", (), ()

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = rows

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "image" in feeds:
            n = len(feeds["image"])
            zero = np.zeros((n, 1), np.float32)
            return {"features": zero[:, None], "h": zero, "c": zero}
        row = self.rows[int(feeds["h_in"][0, 0])]
        logits = np.tile(np.array(row, np.float32), (len(feeds["token"]), 1))
        return {"logits": logits, "h_out": feeds["h_in"] + 1, "c_out": feeds["c_in"]}

    def close(self) -> None:
        pass


def net(rows: list[list[float]]) -> Captioning:
    return Captioning(Net(rows), Net(rows), VOCAB, 5)


def test_margin_is_the_closest_decision() -> None:
    rows = [[0.0] * len(VOCAB) for _ in range(3)]
    rows[0][7], rows[0][9] = 3.0, 1.0
    rows[1][8], rows[1][4] = 2.0, 1.5
    rows[2][EOS] = 9.0
    assert margin(net(rows), np.zeros((1, 3, 8, 8), np.float32)) == 0.5


def test_expectation_holds_the_first_logits() -> None:
    rows = [[0.0] * len(VOCAB), [0.0] * len(VOCAB)]
    rows[0][7], rows[1][EOS] = 30.0, 30.0
    expected = expect(net(rows), np.zeros((1, 3, 8, 8), np.float32))
    assert expected.text == VOCAB.tokens[7]
    assert math.isclose(expected.log_prob, 0.0, abs_tol=1e-6)
    np.testing.assert_array_equal(expected.arrays["logits"], np.array(rows[0], np.float32))
    assert {name: a.shape for name, a in expected.arrays.items()} == {
        "features": (1, 1),
        "h": (1,),
        "c": (1,),
        "logits": (len(VOCAB),),
    }


@pytest.mark.parametrize(("count", "lots"), [(1, [1]), (64, [64]), (65, [64, 1])])
def test_pictures_go_in_lots(count: int, lots: list[int]) -> None:
    rows = [[0.0] * len(VOCAB)]
    rows[0][EOS] = 1.0
    captioning = net(rows)
    seen: list[int] = []
    original = captioning.encoder.run
    captioning.encoder.run = lambda f: (seen.append(len(f["image"])), original(f))[1]  # type: ignore[method-assign]
    assert len(captioning.all(np.zeros((count, 3, 8, 8), np.float32))) == count
    assert seen == lots
