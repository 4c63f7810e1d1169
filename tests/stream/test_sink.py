import io
import json
import resource
from pathlib import Path

import av
import numpy as np
import pytest

from edgedl.errors import UsageError
from edgedl.frame import Frame, Mounting
from edgedl.stream.overlay import strip_height_px, with_caption, wrap
from edgedl.stream.sink import LineSink, caption_event, open_sink

GREY = np.full((48, 64, 3), 128, np.uint8)


def frame(index: int, pixels: np.ndarray = GREY) -> Frame:
    return Frame(pixels, index=index, media_time_s=index / 10)


def test_text_lines_hold_time_and_caption(said) -> None:
    out = io.StringIO()
    with LineSink(out, as_json=False) as sink:
        said.text = "two\nlines \x1b[2J"
        sink.write(frame(15), said)
    assert out.getvalue() == "    1.500 s  two lines \\x1b[2J\n"


def test_a_camera_counts_from_its_first_frame(said) -> None:
    out = io.StringIO()
    with LineSink(out, as_json=False) as sink:
        for ns in (5_000_000_000, 7_250_000_000):
            sink.write(Frame(GREY, captured_ns=ns), said)
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["0.000", "2.250"]


def test_json_lines(said, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with open_sink(str(path)) as sink:
        for i in range(3):
            sink.write(frame(i), said)
            assert len(path.read_text().splitlines()) == i + 1  # at once, not at the end
    first = json.loads(path.read_text().splitlines()[0])
    assert first.pop("age_ms") >= 0
    assert first == {"frame": 0, "media_time_s": 0.0, **said.to_json()}


def test_pictures_of_a_folder_are_told_by_name(said) -> None:
    photo = Frame(GREY, index=3, info={"file": "a\x1b[2J b.jpg"})
    out = io.StringIO()
    with LineSink(out, as_json=False) as sink:
        sink.write(photo, said)
    assert out.getvalue() == "a small red ring  a\\x1b[2J b.jpg\n"
    assert caption_event(photo, said)["file"] == "a\x1b[2J b.jpg"
    assert "file" not in caption_event(frame(0), said)


def test_video_is_turned_as_the_camera_hangs(said, tmp_path: Path) -> None:
    pixels = np.full((48, 64, 3), 30, np.uint8)
    pixels[:, :32] = 220
    path = tmp_path / "out.mp4"
    with open_sink(str(path), mounting=Mounting(rotate=90)) as sink:
        sink.write(frame(0, pixels), said)
    with av.open(str(path)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="bgr24")
    assert picture.shape == (64 + strip_height_px(48), 48, 3)
    assert picture[:28].mean() > 200
    assert picture[36:60].mean() < 50


def test_video_has_every_frame_at_its_time_and_a_caption(said, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with open_sink(str(path)) as sink:
        for i in range(12):
            sink.write(frame(i), said)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [round(f.time * 10) for f in frames] == list(range(12))
    picture = frames[5].to_ndarray(format="bgr24")
    assert picture.shape == (48 + strip_height_px(64), 64, 3)
    assert abs(int(picture[:40].mean()) - 128) < 5
    assert picture[48:].max() > 150
    assert picture[48:].mean() < 100


def test_nothing_half_written_is_left_behind(said, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")

    def write_and_fail() -> None:
        with open_sink(str(path)) as sink:
            sink.write(frame(0), said)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert path.read_bytes() == b"the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_sink_without_frames_leaves_nothing(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "out.mp4")):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_size_and_repeated_times_are_fitted(said, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with open_sink(str(path)) as sink:
        sink.write(frame(0), said)
        sink.write(frame(0, np.zeros((99, 31, 3), np.uint8)), said)
        sink.write(frame(1), said)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 3


@pytest.mark.parametrize(
    ("name", "code"),
    [("out.png", "E130"), ("out", "E130"), ("no/out.mp4", "E131"), ("no/out.txt", "E131")],
)
def test_sinks_that_cannot_be(tmp_path: Path, name: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_sink(str(tmp_path / name))
    assert caught.value.code == code


@pytest.mark.parametrize("size_hw", [(1, 1), (33, 47), (480, 640), (1080, 1920)])
def test_captions_fit_below_any_picture(size_hw: tuple[int, int]) -> None:
    picture = np.full((*size_hw, 3), 77, np.uint8)
    drawn = with_caption(picture, "a very long caption that does not fit " * 5)
    height, width = size_hw
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0
    assert (drawn[:height, :width] == 77).all()


def test_long_captions_end_with_dots_and_words_stay_whole() -> None:
    rows = wrap("alpha beta gamma delta epsilon zeta eta theta iota", 0.5, 120)
    assert len(rows) == 2
    assert rows[0].split()[0] == "alpha"
    assert rows[1].endswith("...")
    assert wrap("", 0.5, 100) == []
    assert wrap("naïve", 0.5, 100) == ["na?ve"]


def test_lines_that_find_no_room_are_told_of(said, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.symlink_to("/dev/full")
    with (
        pytest.raises(UsageError, match=r"out\.jsonl: No space left on device; make room") as told,
        open_sink(str(path)) as sink,
    ):
        sink.write(frame(0), said)
    assert told.value.code == "E131"


def write_frames(path: str, pixels: np.ndarray, said) -> None:
    with open_sink(path) as sink:
        for i in range(200):
            sink.write(frame(i, pixels), said)


def test_a_video_that_finds_no_room_leaves_nothing(said, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(UsageError, match=r"out\.mp4: File too large; make room") as told:
            write_frames(str(tmp_path / "out.mp4"), noise, said)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert told.value.code == "E131"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").mkdir()
    with pytest.raises(UsageError, match=r"out\.mp4: it is a folder; choose another place"):
        open_sink(str(tmp_path / "out.mp4"))
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
