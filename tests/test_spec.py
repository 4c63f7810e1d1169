"""ImageSpec and TensorSpec: shapes, checks, round trip."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgedl.errors import ConfigError
from edgedl.spec import ImageSpec, ModelSpec, SeriesSpec, TensorSpec


def test_the_public_example() -> None:
    spec = ImageSpec(
        size_hw=(224, 200),
        resize="bilinear",
        fit="stretch",
        fill=114,
        pixel_format="rgb8",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        layout="NCHW",
        dtype="float32",
    )
    assert spec.shape == (1, 3, 224, 200)
    assert ImageSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_shapes_of_the_other_layouts() -> None:
    gray = ImageSpec(size_hw=(8, 6), pixel_format="gray8", mean=(0.0,), std=(1.0,))
    assert gray.shape == (1, 1, 8, 6)
    assert ImageSpec(size_hw=(8, 6), layout="NHWC").shape == (1, 8, 6, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_hw": [0, 4]}, "size_hw must be two numbers in 1..8192; got (0, 4)"),
        ({"size_hw": [4]}, "size_hw must be two numbers"),
        ({"fill": 256}, "fill must be in 0..255; got 256"),
        ({"mean": [0.5]}, "mean and std must have 3 values for rgb8; got 1 and 3"),
        ({"std": [1.0, 0.0, 1.0]}, "std must be > 0"),
        ({"resize": "bilinar"}, "did you mean 'bilinear'?"),
        ({"sise_hw": [1, 1]}, "unknown key 'sise_hw'; did you mean 'size_hw'?"),
    ],
)
def test_wrong_specs_say_what_is_wrong(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ImageSpec.from_dict({"size_hw": [4, 4], **change})
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["a\x1b[31m", "two\nlines"])
def test_names_that_cannot_be_printed(name: str) -> None:
    image = ImageSpec(size_hw=(4, 4))
    series = SeriesSpec(inputs=("a", name), outputs=("a",), window=2)
    for parts in ({"task": "classification", "image": image, "labels": ("a", name)},
                  {"task": "regression", "series": series}):  # fmt: skip
        with pytest.raises(ConfigError, match="cannot be printed; rename it") as caught:
            ModelSpec(**parts)
        assert caught.value.code == "E205"


def test_tensor_spec_round_trip() -> None:
    spec = TensorSpec(name="image", dtype="float32", shape=("N", 3, 64, 64))
    assert TensorSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
