import time

import numpy as np
import pytest

from edgedl import open_source
from edgedl.errors import SourceError


def test_the_same_seed_gives_the_same_frames() -> None:
    def frames(uri: str) -> list[np.ndarray]:
        with open_source(uri) as source:
            return [frame.pixels for frame in source]

    first = frames("test://scenes?count=6&seed=3&size=64")
    again = frames("test://scenes?count=6&seed=3&size=64")
    other = frames("test://scenes?count=6&seed=4&size=64")
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[0], first[5])


def test_count_gives_exactly_so_many_with_their_captions() -> None:
    with open_source("test://scenes?count=15&fps=3&size=80x48") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(15))
    assert frames[0].pixels.shape == (48, 80, 3)
    assert frames[3].media_time_s == 1.0
    assert all(frame.info["captions"] for frame in frames)
    assert frames[0].info["captions"] != frames[-1].info["captions"]
    assert source.status().state == "ENDED"


def test_live_gives_the_newest_and_counts_the_rest() -> None:
    with open_source("test://scenes?fps=50&size=32") as source:
        assert source.live
        indices = []
        for _ in range(6):
            frame = source.read(1.0)
            assert frame is not None
            assert frame.age_s < 1.0
            indices.append(frame.index)
            time.sleep(0.1)
        status = source.status()
    assert indices == sorted(set(indices))
    assert indices[-1] > 12
    assert status.dropped == indices[-1] + 1 - len(indices)


def test_read_respects_its_time_limit() -> None:
    with open_source("test://scenes?fps=1&size=32") as source:
        assert source.read(1.0) is not None
        assert source.read(0.01) is None


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("test://scenes?fsp=3", "did you mean 'fps'"),
        ("test://scene", "did you mean 'scenes'"),
        ("test://", "scenes"),
        ("test://scenes?fps=fast", "fps must be float; got 'fast'"),
        ("test://scenes?fps=0", "fps must be in 0.1..120"),
        ("test://scenes?fps=nan", "fps must be in 0.1..120"),
        ("test://scenes?size=1x1", "size must be"),
        ("test://scenes?size=99999", "size must be"),
        ("test://scenes?count=-1", "count must be >= 0"),
    ],
)
def test_wrong_options_say_what_is_right(uri: str, text: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri)
    assert caught.value.code == "E305"
    assert text in str(caught.value)
