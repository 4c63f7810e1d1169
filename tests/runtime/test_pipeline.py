"""From a frame to a caption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import edgedl
from edgedl.bundle import Bundle
from edgedl.errors import BundleError, EdgedlError, UsageError
from edgedl.frame import Frame
from edgedl.runtime.pipeline import load
from edgedl.vocab import Vocab


def picture(seed: int = 0, size: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def test_result(tiny_bundle: Path) -> None:
    with edgedl.load(tiny_bundle, precision="fp32") as pipeline:
        result = pipeline(picture())
        assert isinstance(pipeline, edgedl.Pipeline)
    assert set(result.text.split()) <= set(Bundle.open(tiny_bundle).vocab.tokens)
    assert result.log_prob < 0
    assert (result.backend, result.precision) == ("onnxruntime", "fp32")
    assert list(result.stage_ms) == ["preprocess", "encode", "decode_text"]
    assert all(ms > 0 for ms in result.stage_ms.values())
    digest = json.loads((tiny_bundle / "manifest.json").read_text())["digest"]
    assert digest.startswith(result.model_hash)
    assert len(result.model_hash) == 12
    table = json.loads(json.dumps(result.to_json()))
    assert (table["text"], table["precision"]) == (result.text, "fp32")


def test_golden_captions_come_out(tiny_bundle: Path) -> None:
    for precision in ("fp32", "int8-cpu"):
        pipeline = load(tiny_bundle, precision=precision)
        for sample in pipeline.bundle.golden():
            result = pipeline(sample.given.pictures[0])
            assert result.text == sample.expected[precision].text
            assert result.log_prob == pytest.approx(
                sample.expected[precision].output["log_prob"], abs=1e-6
            )


def test_automatic_choice_and_opened_bundle(tiny_bundle: Path) -> None:
    pipeline = load(Bundle.open(tiny_bundle))
    assert pipeline.precision == "int8-cpu"
    assert "fastest" in pipeline.choice.reason


def test_frames_say_their_own_format(tiny_bundle: Path) -> None:
    bgr = picture()
    pipeline = load(tiny_bundle)
    expected = pipeline(bgr)
    swapped = pipeline(Frame(np.ascontiguousarray(bgr[..., ::-1]), pixel_format="rgb8"))
    assert (swapped.text, swapped.log_prob) == (expected.text, expected.log_prob)
    rgb = load(tiny_bundle, source_format="rgb8")(np.ascontiguousarray(bgr[..., ::-1]))
    assert rgb.log_prob == expected.log_prob
    gray = pipeline(Frame(bgr[..., 0].copy(), pixel_format="gray8"))
    assert gray.log_prob != expected.log_prob
    assert pipeline(Frame(bgr)).log_prob == expected.log_prob


def test_batch_equals_one_at_a_time(tiny_bundle: Path) -> None:
    pipeline = load(tiny_bundle, precision="fp32")
    pictures = [picture(seed) for seed in range(5)]
    found = pipeline.batch(np.concatenate([pipeline.preprocess(p) for p in pictures]))
    for one, decoded in zip(pictures, found, strict=True):
        result = pipeline(one)
        assert decoded.text == result.text
        assert decoded.log_prob == pytest.approx(result.log_prob, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), None],
)
def test_wrong_pictures(tiny_bundle: Path, wrong: object) -> None:
    with pytest.raises(EdgedlError) as caught:
        load(tiny_bundle)(wrong)
    assert caught.value.code.startswith("E1")


def test_wrong_arguments(tiny_bundle: Path) -> None:
    with pytest.raises(UsageError):
        load(tiny_bundle, source_format="cmyk")
    with pytest.raises(UsageError):
        load(tiny_bundle, threads=0)
    with pytest.raises(BundleError, match="fp16 was refused"):
        load(tiny_bundle, precision="fp16")


def test_graphs_in_each_others_place(tiny_bundle: Path, relist: Callable[..., None]) -> None:
    step, encoder = (tiny_bundle / "graphs" / f"{r}.fp32.onnx" for r in ("step", "encoder"))
    encoder.write_bytes(step.read_bytes())
    relist(tiny_bundle)
    with pytest.raises(BundleError, match="expected inputs image; got token, h_in") as caught:
        load(tiny_bundle, precision="fp32")
    assert caught.value.code == "E413"


def test_a_spec_of_another_size(tiny_bundle: Path, relist: Callable[..., None]) -> None:
    relist(tiny_bundle, image_spec=edgedl.ImageSpec(size_hw=(9, 8)))
    with pytest.raises(
        BundleError, match=r"expected image of \(3, 9, 8\).*for \(3, 8, 8\)"
    ) as caught:
        load(tiny_bundle)
    assert caught.value.code == "E413"


def test_a_vocabulary_of_another_size(tiny_bundle: Path, relist: Callable[..., None]) -> None:
    (tiny_bundle / "vocab.json").write_text(Vocab.build(["a"]).to_json())
    relist(tiny_bundle)
    with pytest.raises(BundleError, match="the bundle has 5 tokens; got logits") as caught:
        load(tiny_bundle)
    assert caught.value.code == "E416"
