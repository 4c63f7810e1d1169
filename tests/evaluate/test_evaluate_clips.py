"""Classifiers of clips on videos whose right answers are known."""

from __future__ import annotations

import dataclasses
import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import FADES, HandSession, fade_features, fade_logits
from videos import gray, write_video

from edgedl.data import clips
from edgedl.data.moving import MOTIONS
from edgedl.errors import DataError
from edgedl.evaluate import open_evaluation
from edgedl.runtime.model import open_model

ENCODER = HandSession(lambda image: {"features": fade_features(image)})
MODEL: Any = open_model(
    FADES,
    {
        "encoder": ENCODER,
        "model": HandSession(lambda features: {"logits": fade_logits(features)}),
    },
)

UP, DOWN = (40, 90, 140, 190, 240), (240, 190, 140, 90, 40)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five test videos, the second of "darker" really becomes lighter; two to learn from."""
    folder = tmp_path_factory.mktemp("videos")
    for name, values in (
        ("test/darker/a", DOWN), ("test/darker/b", UP), ("test/darker/c", DOWN),
        ("test/lighter/a", UP), ("test/lighter/b", UP),
        ("train/darker/a", DOWN), ("train/lighter/a", UP),
    ):  # fmt: skip
        write_video(folder / f"{name}.mp4", gray(values))
    return folder


def data_of(folder: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(folder), "frames": 3, **more}


def test_videos_are_rated(videos: Path) -> None:
    found = open_evaluation(FADES, data_of(videos))
    assert (len(found), found.truths.tolist()) == (5, [0, 0, 0, 1, 1])
    assert found.tensors.shape == (5, 3, 1, 8, 8)
    measured = found.measure(MODEL)
    assert found.hits(measured) == [True, False, True, True, True]
    assert (measured.task, measured.n, measured.main) == ("clip-classification", 5, 0.8)
    # F1 of darker: 2 hits, 2 taken, 3 there; of lighter: 2 hits, 3 taken, 2 there.
    assert measured.metrics["macro_f1"] == pytest.approx(4 / 5)
    # The first, the middle and the last of five frames.
    means = found.tensors.mean(axis=(2, 3, 4)) * 255
    np.testing.assert_allclose(means[0], [240, 140, 40], atol=4)


def test_limit_and_input(videos: Path) -> None:
    found = open_evaluation(FADES, data_of(videos), limit=2)
    assert found.truths.tolist() == [0, 0]
    assert len(open_evaluation(FADES, data_of(videos), "train", limit=9)) == 2
    whole = open_evaluation(FADES, data_of(videos))
    given = whole.inputs(3)
    assert [picture.shape for picture in given.pictures] == [(16, 32, 3)] * 3
    np.testing.assert_array_equal(MODEL.prepare(given)[0], whole.tensors[3])


def test_the_clips_themselves_are_not_kept(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At camera size they are many times what the network gets."""
    read, alive = clips.read_clip, []

    def watched(*args: object) -> np.ndarray:
        made = read(*args)
        alive.append(weakref.ref(made))
        return made

    monkeypatch.setattr(clips, "read_clip", watched)
    found = open_evaluation(FADES, data_of(videos))
    assert len(alive) == 5
    gc.collect()
    assert [clip() for clip in alive] == [None] * 5
    given = found.inputs(4)  # decoded again
    assert len(alive) == 6
    np.testing.assert_array_equal(MODEL.prepare(given)[0], found.tensors[4])


def test_a_split_that_is_not_there(videos: Path) -> None:
    found = open_evaluation(FADES, data_of(videos), "val")
    assert (len(found), found.tensors.shape) == (0, (0, 3, 1, 8, 8))


def test_classes_that_the_model_does_not_know(videos: Path) -> None:
    spec = dataclasses.replace(FADES, labels=("brighter", "darker"))
    with pytest.raises(DataError, match="lighter cannot be right") as caught:
        open_evaluation(spec, data_of(videos))
    assert caught.value.code == "E357"
    turned = dataclasses.replace(FADES, labels=("lighter", "darker"))
    assert open_evaluation(turned, data_of(videos)).truths.tolist() == [1, 1, 1, 0, 0]


def test_generated_clips_are_gray_and_handed_in_as_a_camera_would() -> None:
    spec = dataclasses.replace(FADES, labels=MOTIONS)
    data = {"generated": "digits", "frames": 3, "size_px": 24, "train": 1, "test": 70}
    found = open_evaluation(spec, data)
    assert len(found) == 70
    np.testing.assert_array_equal(MODEL.prepare(found.inputs(3))[0], found.tensors[3])
    weights = np.random.default_rng(0).normal(size=(6, len(MOTIONS)))
    reader = HandSession(lambda features: {"logits": features.reshape(-1, 6) @ weights})
    model: Any = open_model(spec, {"encoder": ENCODER, "model": reader})
    expected = [int((fade_features(clip).ravel() @ weights).argmax()) for clip in found.tensors]
    measured = found.measure(model)
    assert measured.outputs.tolist() == expected
    assert reader.lots == [64, 6]
    assert measured.main == pytest.approx(np.mean(np.array(expected) == np.arange(70) % 6))


def test_bad_videos(tmp_path: Path) -> None:
    for name in ("darker", "lighter"):
        write_video(tmp_path / "test" / name / "a.mp4", gray(UP))
    (tmp_path / "test" / "lighter" / "b.mp4").write_bytes(b"")
    (tmp_path / "test" / "lighter" / "c.mp4").write_bytes(b"not a video")
    with pytest.raises(DataError, match="2 bad samples") as caught:
        open_evaluation(FADES, data_of(tmp_path))
    assert caught.value.code == "E355"
    assert len(open_evaluation(FADES, data_of(tmp_path, on_bad_sample="skip"))) == 2
