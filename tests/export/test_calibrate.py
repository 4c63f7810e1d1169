"""Calibration samples: what is refused, what is warned about, what the graphs see of them."""

import logging

import numpy as np
import pytest

from edgedl.bundle import Given
from edgedl.bundle.manifest import DecodeOptions
from edgedl.errors import DataError
from edgedl.export.calibrate import ENOUGH, calibration_of
from edgedl.export.replay import feeds_of
from edgedl.runtime.captioner import Captioner
from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.vocab import BOS, EOS, SPECIAL

SPEC = ImageSpec(size_hw=(8, 8))


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (20, 30, 3), np.uint8) for _ in range(count)]


class Samples:
    """Pictures whose tensors are their means."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames = frames
        self.tensors = np.array([[frame.mean()] for frame in frames], np.float32)

    def __len__(self) -> int:
        return len(self.frames)

    def inputs(self, index: int) -> Given:
        return Given((self.frames[index],))


def test_enough_good_pictures_need_no_warning() -> None:
    found = calibration_of(Samples(pictures(ENOUGH)))
    assert found.warnings == ()
    assert found.tensors.shape == (ENOUGH, 1)


def test_digest_follows_the_samples() -> None:
    frames = pictures(4)
    digests = {calibration_of(Samples(f)).sha256 for f in (frames, frames, frames[::-1])}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("frames", "warning"),
    [
        (pictures(5), "only 5 calibration samples"),
        ([*pictures(ENOUGH), np.zeros((9, 9, 3), np.uint8)], "1 of 129 calibration pictures are"),
        (pictures(1) * ENOUGH, "more than half of 128 calibration samples are repetitions"),
    ],
)
def test_warnings(frames: list[np.ndarray], warning: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = calibration_of(Samples(frames))
    assert any(warning in text for text in found.warnings)
    assert warning in caplog.text


def test_samples_that_are_measured_on_as_well_are_told() -> None:
    frames = pictures(8)
    for reported, is_told in ((frames[2:], True), ([*frames[:1], *pictures(12)[8:]], False)):
        found = calibration_of(Samples(frames), reported=Samples(reported))
        assert any("nothing is held out" in text for text in found.warnings) is is_told


@pytest.mark.parametrize(
    ("frames", "code"), [([], "E353"), ([np.full((9, 9, 3), 7, np.uint8)] * 200, "E354")]
)
def test_useless_samples_are_refused(frames: list[np.ndarray], code: str) -> None:
    with pytest.raises(DataError) as caught:
        calibration_of(Samples(frames))
    assert caught.value.code == code


class Encoder:
    backend, inputs, outputs = "fake", (), ()

    def run(self, feeds: dict) -> dict:
        image = feeds["image"]
        length = image[:, 0, 0, 0]  # how many words the caption has
        state = np.stack([length, np.zeros_like(length)], axis=1)
        return {"features": image[:, 0], "h": state, "c": state}

    def close(self) -> None:
        pass


class Step(Encoder):
    def run(self, feeds: dict) -> dict:
        h = feeds["h_in"] - [1, 0]
        logits = np.zeros((len(h), 6), np.float32)
        logits[:, 5] = 1
        logits[:, EOS] = np.where(h[:, 0] <= 0, 2, 0)
        return {"logits": logits, "h_out": h, "c_out": feeds["c_in"]}


def steps(image: np.ndarray, max_tokens: int) -> list[dict]:
    spec = ModelSpec(task="captioning", image=SPEC, tokens=(*SPECIAL, "a", "b"))
    sessions = {"encoder": Encoder(), "step": Step()}
    model = Captioner(spec, sessions, FramePreprocessor(SPEC), DecodeOptions(max_tokens=max_tokens))
    return feeds_of(model, image)["step"]


def test_step_sees_its_own_words_until_the_end() -> None:
    image = np.zeros((2, 3, 1, 1), np.float32)
    image[:, 0, 0, 0] = 2, 4
    feeds = steps(image, 20)
    assert [list(feed["token"]) for feed in feeds] == [[BOS, BOS], [5, 5], [5], [5]]
    assert [list(feed["h_in"][:, 0]) for feed in feeds] == [[2, 4], [1, 3], [2], [1]]
    assert all(len(feed["features"]) == len(feed["token"]) for feed in feeds)
    assert len(steps(image, 3)) == 3
