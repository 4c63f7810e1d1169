"""What happens in a clip: a window that slides over the frames of a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import FADES, HandSession, fade_features, fade_logits, write_bundle

from edgedl.bundle import Given
from edgedl.errors import BundleError, UsageError
from edgedl.frame import Frame
from edgedl.runtime.clip_classifier import ClipClassifier
from edgedl.runtime.pipeline import load
from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.runtime.probability import softmax
from edgedl.spec import ClipSpec

EVERY, FRAMES = 2, 3  # of FADES


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("clips") / "x.edge", FADES)


@pytest.fixture
def pipeline(bundle: Path) -> Iterator[Any]:
    with load(bundle) as opened:
        yield opened


def frame(value: int) -> np.ndarray:
    return np.full((10, 10, 3), value, np.uint8)


def expected(values: Sequence[int]) -> float:
    """Return the probability of "lighter": twice 5 times the last less the first, both ways."""
    more = 2 * 5 * (values[-1] - values[0]) / 255
    return float(softmax(np.array([-more, more]))[1])


def of_lighter(result: Any) -> float:
    return dict(result.top)["lighter"]


def test_every_second_frame_and_nothing_until_the_window_is_full(pipeline: Any) -> None:
    values = [10, 200, 20, 200, 40, 200, 30, 200, 5, 200, 60]
    found = [pipeline(frame(value)) for value in values]
    said = [i for i, result in enumerate(found) if result is not None]
    assert said == [4, 6, 8, 10]
    for i in said:
        taken = values[i - EVERY * (FRAMES - 1) : i + 1 : EVERY]
        assert of_lighter(found[i]) == pytest.approx(expected(taken), abs=1e-6)
    assert [found[i].label for i in said] == ["lighter", "lighter", "darker", "lighter"]


def test_a_stream_shorter_than_a_window_says_nothing(pipeline: Any) -> None:
    assert [pipeline(frame(value)) for value in (10, 20, 30, 40)] == [None] * 4


def test_reset_begins_a_new_stream(pipeline: Any) -> None:
    for value in (200, 0, 200):  # the next one would be passed over
        pipeline(frame(value))
    pipeline.reset()
    found = [pipeline(frame(value)) for value in (10, 0, 20, 0, 30)]
    assert found[:4] == [None] * 4
    assert of_lighter(found[4]) == pytest.approx(expected([10, 20, 30]), abs=1e-6)


def test_a_camera_that_came_back_begins_a_new_clip(pipeline: Any) -> None:
    frames = [Frame(frame(value)) for value in (200, 0, 200, 0)]
    frames += [Frame(frame(value), connection=1) for value in (10, 0, 20, 0, 30)]
    found = [pipeline(one) for one in frames]
    assert found[:8] == [None] * 8
    assert of_lighter(found[8]) == pytest.approx(expected([10, 20, 30]), abs=1e-6)


def test_a_whole_clip_leaves_the_window_alone(pipeline: Any) -> None:
    for value in (10, 0, 20, 0):
        assert pipeline(frame(value)) is None
    whole = pipeline.whole([frame(90), frame(0), frame(60)])
    assert of_lighter(whole) == pytest.approx(expected([90, 60]), abs=1e-6)
    assert whole.label == "darker"
    assert of_lighter(pipeline(frame(30))) == pytest.approx(expected([10, 30]), abs=1e-6)


def test_each_frame_is_encoded_once(pipeline: Any) -> None:
    encoder = HandSession(lambda image: {"features": fade_features(image)})
    pipeline.model.encoder = encoder
    for value in range(9):
        pipeline(frame(10 * value))
    assert encoder.lots == [1] * 5


def test_the_result(pipeline: Any) -> None:
    found = [pipeline(frame(value)) for value in (0, 0, 0, 0, 255)][-1]
    assert found.text == "lighter 100.0%"
    assert list(found.stage_ms) == ["preprocess", "encode", "infer"]
    assert list(pipeline.whole([frame(0)] * FRAMES).stage_ms) == list(found.stage_ms)
    pipeline.top = 1
    assert len(pipeline.whole([frame(0)] * FRAMES).top) == 1


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_whole_clip_of_another_length(pipeline: Any, count: int) -> None:
    with pytest.raises(BundleError, match="failed to run") as caught:
        pipeline.whole([frame(0)] * count)
    assert caught.value.code == "E413"


def test_a_frame_that_is_none_leaves_the_window_alone(pipeline: Any) -> None:
    for value in (10, 0, 20, 0):
        pipeline(frame(value))
    with pytest.raises(UsageError):
        pipeline(np.zeros((4, 4), np.float32))
    found = [pipeline(frame(30)) for _ in range(2)]
    assert [of_lighter(r) for r in found if r] == [pytest.approx(expected([10, 30]), abs=1e-6)]


def test_many_clips_at_once() -> None:
    encoder = HandSession(lambda image: {"features": fade_features(image)})
    reader = HandSession(lambda features: {"logits": fade_logits(features)})
    model = ClipClassifier(
        FADES, {"encoder": encoder, "model": reader}, FramePreprocessor(FADES.image)
    )
    clips = np.random.default_rng(0).random((70, FRAMES, 1, 8, 8)).astype(np.float32)
    found = model.clip_logits(clips)
    assert (encoder.lots, reader.lots) == ([64, 64, 64, 18], [64, 6])
    for clip, logits in zip(clips, found, strict=True):
        halves = [[half.mean() for half in np.split(one[0], 2, axis=1)] for one in clip]
        more = 5 * sum(b - a for a, b in zip(halves[0], halves[2], strict=True))
        np.testing.assert_allclose(logits, [-more, more], atol=1e-5)


def test_the_model_prepares_and_expects() -> None:
    encoder = HandSession(lambda image: {"features": fade_features(image)})
    reader = HandSession(lambda features: {"logits": fade_logits(features)})
    model = ClipClassifier(
        FADES, {"encoder": encoder, "model": reader}, FramePreprocessor(FADES.image)
    )
    tensor = model.prepare(Given((frame(255), frame(51), frame(0))))
    assert tensor.shape == (1, FRAMES, 1, 8, 8)
    np.testing.assert_allclose(tensor[0, :, 0, 0, 0], [1, 0.2, 0], atol=1e-6)
    told = model.expect(tensor)
    assert told.text == "darker"
    np.testing.assert_allclose(told.arrays["features"], [[1, 1], [0.2, 0.2], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(told.arrays["logits"], [10, -10], atol=1e-5)


def test_a_graph_for_clips_of_another_length(tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", FADES)
    relist(path, clip=ClipSpec(frames=4))
    with pytest.raises(BundleError, match=r"the clip has 4 frames; got a graph for") as caught:
        load(path)
    assert caught.value.code == "E413"
