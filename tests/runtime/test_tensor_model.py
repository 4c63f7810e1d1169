"""Arrays as a graph takes them, and what is said of those it does not take."""

from typing import Any

import numpy as np
import pytest
from tiny_kinds import HandSession

from edgedl.bundle import Given
from edgedl.errors import EdgedlError
from edgedl.frame import Mounting
from edgedl.runtime.model import open_model
from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.runtime.tensor_model import TensorModel, fitted
from edgedl.spec import ImageSpec, ModelSpec, TensorSpec

A = TensorSpec(name="a", dtype="float32", shape=("N", 3))
B = TensorSpec(name="b", dtype="int32", shape=(2,))
C = TensorSpec(name="c", dtype="uint8", shape=())


def test_types_order_and_batch() -> None:
    given = {"c": 7, "b": np.int64([1, -2]), "a": np.arange(3.0)}
    found = fitted(given, (A, B, C))
    assert list(found) == ["a", "b", "c"]
    assert [(x.shape, str(x.dtype)) for x in found.values()] == [
        ((1, 3), "float32"), ((2,), "int32"), ((), "uint8"),
    ]  # fmt: skip
    np.testing.assert_array_equal(found["a"], [[0, 1, 2]])
    np.testing.assert_array_equal(found["b"], [1, -2])


def test_the_one_input_needs_no_name() -> None:
    assert fitted({"": np.zeros((4, 3))}, (A,))["a"].shape == (4, 3)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, r"needs input 'a'; it takes 'a' \(N, 3\) float32"),
        ({"a": np.zeros((1, 3)), "x": 1}, "has no input 'x'"),
        ({"a": np.zeros((1, 4))}, r"'a' \(N, 3\) float32 is expected; got \(1, 4\) float64"),
        ({"a": np.zeros((1, 1, 3))}, r"got \(1, 1, 3\)"),
        ({"a": np.zeros((1, 3), complex)}, "complex128"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], text: str) -> None:
    with pytest.raises(EdgedlError, match=text) as caught:
        fitted(given, (A,))
    assert caught.value.code == "E110"


@pytest.mark.parametrize("value", [300, -1])
def test_integers_that_do_not_fit(value: int) -> None:
    with pytest.raises(EdgedlError, match=f"uint8 cannot hold: up to {value}"):
        fitted({"": np.int64(value)}, (C,))
    with pytest.raises(EdgedlError, match="is expected; got"):
        fitted({"": np.float32(value)}, (C,))


def test_a_picture_goes_through_the_image_spec() -> None:
    image = ImageSpec(size_hw=(2, 2), pixel_format="gray8", mean=(0.0,), std=(1.0,))
    spec = TensorSpec(name="in", dtype="float32", shape=(1, 1, 2, 2))
    session = HandSession(lambda **feeds: {"out": 2 * feeds["in"]}, (spec,), (spec,))
    model = TensorModel(
        ModelSpec(task="tensor", image=image), {"model": session}, FramePreprocessor(image)
    )
    tensor = model.prepare(Given((np.full((4, 4, 3), 51, np.uint8),)))
    assert list(tensor) == ["in"]
    expected = model.expect(tensor)
    np.testing.assert_allclose(expected.arrays["out"], np.full((1, 1, 2, 2), 0.4), rtol=1e-6)
    assert (expected.text, model.compared) == ("", ("in",))


def test_a_picture_of_a_camera_that_hangs_askew() -> None:
    image = ImageSpec(size_hw=(2, 2), pixel_format="gray8", mean=(0.0,), std=(1.0,))
    spec = TensorSpec(name="in", dtype="float32", shape=(1, 1, 2, 2))
    session = HandSession(lambda **feeds: feeds, (spec,), (spec,))
    mounting = Mounting(rotate=90)
    model = open_model(
        ModelSpec(task="tensor", image=image), {"model": session}, None, "gray8", mounting
    )
    tensor = model.prepare(Given((np.uint8([[0, 51], [102, 153]]),)))["in"]
    np.testing.assert_allclose(tensor[0, 0], [[0.4, 0.0], [0.6, 0.2]], rtol=1e-6)
