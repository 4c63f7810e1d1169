"""Which class a picture shows: labels, probabilities, and their order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import quarters
from tiny_kinds import QUARTERS, HandSession, quarter_logits, write_bundle

from edgedl.bundle import Given
from edgedl.errors import BundleError, EdgedlError
from edgedl.frame import Frame
from edgedl.runtime.classifier import Classifier, LabelResult
from edgedl.runtime.pipeline import load
from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.runtime.preprocess_reference import preprocess_reference
from edgedl.runtime.probability import softmax
from edgedl.vocab import labels_json


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("classifier") / "x.edge", QUARTERS)


@pytest.fixture
def pipeline(bundle: Path) -> Iterator[Any]:
    with load(bundle) as opened:
        yield opened


def tensor_of(picture: np.ndarray) -> np.ndarray:
    """Return (1, 1, 12, 12) of gray pixels that have the network's size."""
    return ((picture / 255 - 0.5) / 0.25)[None, None].astype(np.float32)


def test_the_brightest_quarter_is_found(pipeline: Any) -> None:
    pictures, labels = quarters(24)
    for picture, label in zip(pictures, labels, strict=True):
        result = pipeline(picture)
        assert isinstance(result, LabelResult)
        probabilities = softmax(quarter_logits(tensor_of(picture)))[0]
        assert result.label == str(label) == result.top[0][0]
        assert (
            result.probability == result.top[0][1] == pytest.approx(probabilities.max(), abs=1e-5)
        )
        assert dict(result.top) == pytest.approx(
            dict(zip(QUARTERS.labels, probabilities, strict=True)), abs=1e-5
        )
        assert sum(p for _, p in result.top) == pytest.approx(1)
        assert [p for _, p in result.top] == sorted((p for _, p in result.top), reverse=True)
        assert result.text == f"{result.label} {100 * result.probability:.1f}%"


def test_equal_classes_keep_their_order(pipeline: Any) -> None:
    result = pipeline(np.full((12, 12), 77, np.uint8))
    assert result.top == (("0", 0.25), ("1", 0.25), ("2", 0.25), ("3", 0.25))


@pytest.mark.parametrize(("asked", "listed"), [(1, 1), (3, 3), (4, 4), (5, 4), (99, 4)])
def test_top_says_how_many_are_listed(pipeline: Any, asked: int, listed: int) -> None:
    pipeline.top = asked
    result = pipeline(quarters(1)[0][0])
    assert len(result.top) == listed
    assert result.label == result.top[0][0]


def test_the_result_as_json(pipeline: Any) -> None:
    result = pipeline(quarters(1)[0][0])
    table = json.loads(json.dumps(result.to_json()))
    assert list(table["stage_ms"]) == ["preprocess", "infer"]
    assert table["top"][0] == [result.label, result.probability]
    assert table["probability"] == round(result.probability, 6)
    assert (table["backend"], table["precision"]) == ("onnxruntime", "fp32")
    assert table["model_hash"] == pipeline.bundle.manifest.digest[:12]


def test_gray_bgr_and_frames_of_one_picture_agree(pipeline: Any) -> None:
    gray = quarters(1)[0][0]
    expected = pipeline(gray).top
    assert pipeline(np.repeat(gray[..., None], 3, axis=2)).top == expected
    assert pipeline(Frame(gray, pixel_format="gray8")).top == expected


def test_a_picture_of_another_size_and_format(bundle: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (30, 50, 3), np.uint8)
    with load(bundle, source_format="rgb8") as pipeline:
        found = pipeline(rgb)
    assert QUARTERS.image is not None
    logits = quarter_logits(preprocess_reference(QUARTERS.image, rgb, "rgb8"))
    assert found.probability == pytest.approx(softmax(logits).max(), abs=1e-6)
    assert found.label == QUARTERS.labels[int(logits.argmax())]


def test_the_model_prepares_expects_and_works_in_lots() -> None:
    session = HandSession(lambda image: {"logits": quarter_logits(image)})
    model = Classifier(QUARTERS, {"model": session}, FramePreprocessor(QUARTERS.image))
    picture = np.repeat(quarters(1)[0][0][..., None], 3, axis=2)
    tensor = model.prepare(Given((picture,)))
    np.testing.assert_allclose(tensor, tensor_of(picture[..., 0]), atol=1e-6)
    expected = model.expect(tensor)
    assert expected.text == str(quarters(1)[1][0])
    assert expected.output["probability"] == pytest.approx(softmax(quarter_logits(tensor)).max())
    assert expected.arrays["logits"].dtype == np.float32
    np.testing.assert_allclose(expected.arrays["logits"], quarter_logits(tensor)[0], rtol=1e-6)
    many = np.random.default_rng(0).normal(size=(130, 1, 12, 12)).astype(np.float32)
    session.lots.clear()
    np.testing.assert_allclose(model.logits(many), quarter_logits(many), rtol=1e-6)
    assert session.lots == [64, 64, 2]


def test_logits_that_are_no_numbers() -> None:
    nothing = HandSession(lambda image: {"logits": np.full((len(image), 4), np.nan)})
    model = Classifier(QUARTERS, {"model": nothing}, FramePreprocessor(QUARTERS.image))
    with pytest.raises(BundleError, match="finite logits"):
        model.expect(np.zeros((1, 1, 12, 12), np.float32))


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4)), "x.png", None])
def test_what_is_no_picture(pipeline: Any, wrong: object) -> None:
    with pytest.raises(EdgedlError) as caught:
        pipeline(wrong)
    assert caught.value.code.startswith("E1")


def test_labels_of_another_number(tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", QUARTERS)
    (path / "labels.json").write_text(labels_json(("a", "b", "c")))
    relist(path)
    with pytest.raises(BundleError, match=r"has 3 labels; got logits \('N', 4\)") as caught:
        load(path)
    assert caught.value.code == "E416"
