"""Prepared pictures: what the pre-processor makes, bit for bit, in less memory."""

import numpy as np
import pytest

from edgedl.evaluate.prepared import Prepared
from edgedl.runtime.preprocess_reference import preprocess_reference
from edgedl.spec import ImageSpec

COLOUR = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SPECS = {
    "planes": ImageSpec(size_hw=(6, 5), **COLOUR),
    "pixels": ImageSpec(size_hw=(6, 5), layout="NHWC", pixel_format="bgr8", **COLOUR),
    "gray": ImageSpec(size_hw=(6, 5), pixel_format="gray8", mean=(0.13,), std=(0.31,)),
    "half": ImageSpec(size_hw=(6, 5), dtype="float16", **COLOUR),
    "int8": ImageSpec(size_hw=(6, 5), dtype="int8", scale=0.02, **COLOUR),
    "bytes": ImageSpec(size_hw=(6, 5)),
}


def pictures():
    rng = np.random.default_rng(3)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((9, 12), (6, 5), (20, 7))]


@pytest.mark.parametrize("name", SPECS)
def test_rows_are_what_the_definition_says(name):
    spec, found = SPECS[name], Prepared(SPECS[name], pictures())
    expected = np.concatenate([preprocess_reference(spec, picture) for picture in pictures()])
    assert (len(found), found.shape) == (3, expected.shape)
    assert found[:].dtype == expected.dtype
    np.testing.assert_array_equal(found[:], expected)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[1:9], expected[1:])
    np.testing.assert_array_equal(list(found), expected)


def test_gray_pictures_of_a_colour_network():
    picture = pictures()[0][:, :, 0].copy()
    expected = preprocess_reference(SPECS["planes"], picture, "gray8")
    np.testing.assert_array_equal(Prepared(SPECS["planes"], [picture])[:], expected)


def test_no_pictures():
    found = Prepared(SPECS["planes"], [])
    assert (len(found), found[:].shape, list(found)) == (0, (0, 3, 6, 5), [])


def test_a_row_that_is_not_there():
    with pytest.raises(IndexError):
        Prepared(SPECS["planes"], pictures())[3]


def test_floats_are_kept_as_bytes(monkeypatch):
    made = []
    empty = np.empty

    def watched(shape, dtype=float):
        made.append(empty(shape, dtype))
        return made[-1]

    monkeypatch.setattr(np, "empty", watched)
    Prepared(SPECS["planes"], pictures())
    assert sum(array.nbytes for array in made if array.shape[0] == 3) == 3 * 3 * 6 * 5
