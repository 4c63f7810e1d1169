"""Classifiers of pictures on data whose right answers are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from idx_files import quarters, write_idx, write_quarters
from tiny_kinds import QUARTERS, HandSession, quarter_logits

from edgedl.errors import ConfigError, DataError
from edgedl.evaluate import open_evaluation
from edgedl.metrics.interval import wilson
from edgedl.runtime.model import open_model

MODEL: Any = open_model(
    QUARTERS, {"model": HandSession(lambda image: {"logits": quarter_logits(image)})}
)


def write_folder(folder: Path, wrong: int = 0) -> Path:
    """Write three pictures of each of the classes 1 and 3; ``wrong`` of 3 are really 0."""
    pictures = np.zeros((3, 12, 12), np.uint8)
    for split in ("train", "test"):
        for label in (1, 3):
            place = folder / split / str(label)
            place.mkdir(parents=True)
            for i, picture in enumerate(pictures.copy()):
                top, left = divmod(0 if label == 3 and i < wrong else label, 2)
                picture[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] = 200 + i
                cv2.imwrite(str(place / f"{i}.png"), picture)
    return folder


def test_all_are_right(tmp_path: Path) -> None:
    write_quarters(tmp_path, train=16, test=10)
    found = open_evaluation(QUARTERS, {"path": str(tmp_path)})
    pictures, labels = quarters(10, seed=1)
    assert (len(found), found.split) == (10, "test")
    assert found.truths.tolist() == labels.tolist()
    np.testing.assert_allclose(found.tensors[:, 0], (pictures / 255 - 0.5) / 0.25, atol=1e-5)
    measured = found.measure(MODEL)
    assert (measured.n, measured.main, measured.metrics["macro_f1"]) == (10, 1.0, 1.0)
    ends = measured.metrics["accuracy_low"], measured.metrics["accuracy_high"]
    assert ends == pytest.approx(wilson(10, 10))
    assert found.hits(measured) == [True] * 10


def test_labels_by_chance(tmp_path: Path) -> None:
    write_quarters(tmp_path, train=16, test=30, shuffled=True)
    found = open_evaluation(QUARTERS, {"path": str(tmp_path)})
    _, seen = quarters(30, seed=1)
    told = np.random.default_rng(6).permutation(seen)
    hits = [int(a) == int(b) for a, b in zip(seen, told, strict=True)]
    measured = found.measure(MODEL)
    assert found.hits(measured) == hits
    assert measured.main == pytest.approx(sum(hits) / 30)
    assert 0 < sum(hits) < 30
    assert measured.outputs.tolist() == seen.tolist()


def test_a_limit_spreads_over_the_classes(tmp_path: Path) -> None:
    found = open_evaluation(QUARTERS, {"path": str(write_folder(tmp_path))}, limit=2)
    assert found.truths.tolist() == [1, 3]
    assert len(open_evaluation(QUARTERS, {"path": str(tmp_path)}, limit=100)) == 6
    assert len(open_evaluation(QUARTERS, {"path": str(tmp_path)}, "train", 4)) == 4


def test_data_with_fewer_classes_than_the_model(tmp_path: Path) -> None:
    found = open_evaluation(QUARTERS, {"path": str(write_folder(tmp_path, wrong=1))})
    assert found.truths.tolist() == [1, 1, 1, 3, 3, 3]
    measured = found.measure(MODEL)
    assert found.hits(measured) == [True, True, True, False, True, True]
    assert measured.main == pytest.approx(5 / 6)
    # F1 of 1: 3 of 3 and 3; of 3: 2 of 2 and 3. Class 0, which has no sample, does not count.
    assert measured.metrics["macro_f1"] == pytest.approx((1 + 4 / 5) / 2)


def test_what_a_user_would_hand_in(tmp_path: Path) -> None:
    found = open_evaluation(QUARTERS, {"path": str(write_folder(tmp_path, wrong=1))})
    for index in range(6):
        given = found.inputs(index)
        (picture,) = given.pictures
        assert picture.shape == (12, 12, 3)
        np.testing.assert_array_equal(MODEL.prepare(given)[0], found.tensors[index])


def test_gray_pictures_are_handed_in_as_a_camera_would(tmp_path: Path) -> None:
    found = open_evaluation(QUARTERS, {"path": str(write_quarters(tmp_path, train=8, test=4))})
    (picture,) = found.inputs(1).pictures
    np.testing.assert_array_equal(picture, quarters(4, seed=1)[0][1][..., None].repeat(3, axis=2))


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    write_quarters(tmp_path, train=16, test=10)
    found = open_evaluation(QUARTERS, {"path": str(tmp_path)}, "val")
    assert len(found) == len(found.truths) == 0
    assert found.tensors.shape == (0, 1, 12, 12)
    assert len(open_evaluation(QUARTERS, {"path": str(tmp_path), "val": 8}, "val")) == 8


def test_classes_that_the_model_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("train", "t10k"):
        pictures, labels = quarters(10)
        labels[0] = 4
        write_idx(tmp_path / "more", f"{name}-images-idx3-ubyte.gz", pictures)
        write_idx(tmp_path / "more", f"{name}-labels-idx1-ubyte.gz", labels)
    with pytest.raises(
        DataError, match=r"more has the classes 0, 1, 2, 3, 4, the .*: 4 cannot"
    ) as e:
        open_evaluation(QUARTERS, {"path": str(tmp_path / "more")})
    assert e.value.code == "E357"
    named = dataclasses.replace(QUARTERS, labels=("a", "b", "c", "d"))
    with pytest.raises(DataError, match="the model knows a, b, c, d"):
        open_evaluation(named, {"path": str(tmp_path / "more")})


def test_bad_pictures(tmp_path: Path) -> None:
    data = {"path": str(write_folder(tmp_path))}
    (tmp_path / "test" / "1" / "0.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="1 bad sample") as caught:
        open_evaluation(QUARTERS, data)
    assert caught.value.code == "E355"
    found = open_evaluation(QUARTERS, {**data, "on_bad_sample": "skip"})
    assert found.truths.tolist() == [1, 1, 3, 3, 3]


def test_data_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data at") as caught:
        open_evaluation(QUARTERS, {"path": str(tmp_path / "no")})
    assert caught.value.code == "E356"
    with pytest.raises(DataError, match="no data of pictures") as caught:
        open_evaluation(QUARTERS, {"path": str(tmp_path)})
    assert caught.value.code == "E356"
    with pytest.raises(ConfigError, match="unknown key 'pth'; did you mean 'path'"):
        open_evaluation(QUARTERS, {"path": str(tmp_path), "pth": 1})
