"""How many golden samples a bundle has room for, and how large their pictures are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH

from edgedl.bundle import Given
from edgedl.bundle.files import MAX_FILES
from edgedl.errors import BundleError
from edgedl.spec import ClipSpec, ModelSpec

pytest.importorskip("torch")

from edgedl.export.assemble import GOLDEN, _small, golden_count

ENGINES = 2 * 2 * 2  # two flavours, two roles, each with its sidecar
OTHERS = 4 * 2 + ENGINES + 6  # graphs, engines, tables and reports


def clips(frames: int) -> ModelSpec:
    return dataclasses.replace(FADES, clip=ClipSpec(frames=frames))


@pytest.mark.parametrize("spec", [FADES, HEAT, LETTERS, QUARTERS, WARMTH])
def test_eight_where_there_is_room(spec: ModelSpec) -> None:
    assert golden_count(spec) == GOLDEN == 8


def test_fewer_long_clips_and_always_room_for_them() -> None:
    counts = [golden_count(clips(frames)) for frames in range(2, 448)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (8, 1)
    for frames, count in enumerate(counts, start=2):
        assert count * (frames + 1) + OTHERS <= MAX_FILES  # pictures, and arrays of each


def test_not_even_one() -> None:
    with pytest.raises(BundleError, match=r"448 pictures.*room for 447; train on") as caught:
        golden_count(clips(448))
    assert caught.value.code == "E406"


@pytest.mark.parametrize(
    ("size_hw", "kept_hw"),
    [((1024, 1024), (1024, 1024)), ((3024, 4032), (768, 1024)), ((256, 8192), (32, 1024))],
)
def test_golden_pictures_are_of_a_megapixel_at_most(size_hw, kept_hw):
    picture = np.zeros((*size_hw, 3), np.uint8)
    picture[:, : size_hw[1] // 2] = 200
    kept = _small(Given((picture,), text="as it was"))
    assert kept.text == "as it was"
    assert kept.pictures[0].shape == (*kept_hw, 3)
    assert kept.pictures[0][:, 0].min() == 200
    assert kept.pictures[0][:, -1].max() == 0
