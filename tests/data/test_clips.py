"""Clips: videos found in folders, spread and split; generated ones; what cannot be decoded."""

import hashlib
import itertools
import logging
import math
import random
import sys
import threading
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from videos import gray, write_video

from edgedl.data import clips as clips_module
from edgedl.data import threads
from edgedl.data.clips import ClipsOptions, open_clips, read_clip, spread
from edgedl.data.moving import MOTIONS
from edgedl.errors import ConfigError, DataError

SIDE = 16


def write_levels(path, levels=(10, 60, 110, 160, 210), codec="ffv1", size_hw=(SIDE, SIDE)):
    """Write a video without loss whose frames have one brightness each."""
    pictures = gray(levels, size_hw)
    for picture in pictures:
        picture[:, : size_hw[1] // 2, 0] = 255  # blue on the left
    return write_video(path, pictures, codec)


def write_sound(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_classes(folder, counts):
    for label, count in counts.items():
        for i in range(count):
            write_levels(folder / label / f"{i:02}.mkv", levels=(10, 20))


def opened(path="", **options):
    return open_clips(ClipsOptions(path=str(path), **options))


def levels_of(clip):
    return clip[:, 0, -1, 1].tolist()


# decoding


@pytest.mark.parametrize(
    ("frames", "wanted"),
    [
        (2, [10, 210]),
        (3, [10, 110, 210]),
        (5, [10, 60, 110, 160, 210]),
        (9, [10, 10, 60, 110, 110, 110, 160, 210, 210]),
    ],
)
def test_frames_are_spread_evenly_with_both_ends(tmp_path, frames, wanted):
    clip = read_clip(write_levels(tmp_path / "a.mkv"), frames)
    assert clip.shape == (frames, SIDE, SIDE, 3)
    assert clip.dtype == np.uint8
    assert levels_of(clip) == wanted
    assert (clip[:, :, : SIDE // 2, 0] == 255).all()  # bgr8


@pytest.mark.parametrize(("count", "wanted"), [(1, 4), (5, 5), (7, 3), (100, 12), (3, 256)])
def test_spread_by_definition(count, wanted):
    found = spread(count, wanted)
    assert len(found) == wanted
    assert found[0] == 0
    assert found[-1] == count - 1
    for i, place in enumerate(found):
        assert abs(place - i * (count - 1) / (wanted - 1)) <= 0.5


def test_a_long_video_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(clips_module, "MAX_DECODED", 3)
    assert levels_of(read_clip(write_levels(tmp_path / "a.mkv"), 3)) == [10, 60, 110]


def cut(path):
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 3])
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "missing", "sound", "cut"])
def test_what_cannot_be_decoded(tmp_path, kind):
    path = tmp_path / ("a.wav" if kind == "sound" else "a.mp4")
    if kind == "sound":
        write_sound(path)
    elif kind == "cut":
        cut(write_levels(path, codec="mpeg4"))
    elif kind != "missing":
        path.write_text("this is no video" if kind == "text" else "")
    with pytest.raises(DataError) as err:
        read_clip(path, 4)
    assert err.value.code == "E356"
    assert str(err.value).startswith(f"{path} cannot be decoded: ")


@pytest.mark.parametrize(("ending", "codec"), [("mp4", "mpeg4"), ("avi", "mpeg4"), ("mkv", "ffv1")])
def test_damage_anywhere_is_a_clip_or_one_clear_error(tmp_path, ending, codec):
    path = write_levels(tmp_path / f"a.{ending}", codec=codec)
    raw, rng = path.read_bytes(), random.Random(1)
    codes = Counter()
    for i in range(40):
        damaged = bytearray(raw[: rng.randrange(1, len(raw))] if i % 2 else raw)
        for _ in range(0 if i % 2 else 12):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(bytes(damaged))
        try:
            assert read_clip(path, 3).shape[0] == 3
        except DataError as err:
            codes[err.code] += 1
    assert set(codes) == {"E356"}


class Film:
    """200 pictures, as ``av.open`` gives them; knows how many were asked for as arrays."""

    height = width = SIDE
    side_data = ()
    made = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def streams(self):
        return SimpleNamespace(video=[self])

    def decode(self, video):
        assert video == 0
        return iter([self] * 200)

    def to_ndarray(self, format):
        assert format == "bgr24"
        self.made += 1
        return np.zeros((SIDE, SIDE, 3), np.uint8)


def test_only_the_chosen_pictures_take_memory(tmp_path, monkeypatch):
    """All of a minute at camera size are gigabytes."""
    film, path = Film(), tmp_path / "a.mkv"
    path.touch()
    monkeypatch.setattr(clips_module.av, "open", lambda _: film)
    assert len(read_clip(path, 3)) == 3
    assert film.made == 3


def test_decoding_ends_when_nobody_waits_for_it(tmp_path, monkeypatch):
    """Ctrl-C while a video of hours is looked at."""
    monkeypatch.setattr(threads, "allowed_cores", lambda: 2)
    short, path = write_levels(tmp_path / "a.mkv"), tmp_path / "film.mkv"
    path.touch()
    is_running, opens = threading.Event(), av.open

    class Endless(Film):
        def decode(self, video):
            assert video == 0
            is_running.set()
            return itertools.repeat(self)

    monkeypatch.setattr(clips_module, "MAX_DECODED", sys.maxsize)
    monkeypatch.setattr(clips_module.av, "open", lambda p: Endless() if "film" in p else opens(p))

    def look(file):
        assert file == path or is_running.wait(30)
        return read_clip(file, 2)

    clips = threads.in_threads(look, [short, path])
    assert len(next(clips)) == 2
    clips.close()


def test_each_clip_is_worked_on_in_order(tmp_path):
    write_classes(tmp_path, {"wave": 5, "nod": 5})
    train = opened(tmp_path, val_part=0, test_part=0, frames=2).splits["train"]
    found = train.take(np.array([3, 0, 9])).each(lambda clip: clip.tobytes())
    assert list(found) == [train.clip(row).tobytes() for row in (3, 0, 9)]


def test_a_video_that_has_become_shorter(tmp_path):
    path = write_levels(tmp_path / "a.mkv")
    with pytest.raises(DataError, match="cannot be decoded: it holds fewer pictures") as err:
        read_clip(path, 3, 9)
    assert err.value.code == "E356"


def write_size_change(path):
    """Pictures behind each other are Motion JPEG."""
    pictures = [np.full((size, 16, 3), 100, np.uint8) for size in (16, 16, 32)]
    path.write_bytes(b"".join(cv2.imencode(".jpg", p)[1].tobytes() for p in pictures))
    return path


def test_a_video_whose_size_changes(tmp_path):
    path = write_size_change(tmp_path / "a.mjpeg")
    with pytest.raises(DataError, match="the size of its pictures changes") as err:
        read_clip(path, 4)
    assert err.value.code == "E356"
    assert str(path) in str(err.value)


# folders


def test_a_class_is_a_folder(tmp_path):
    write_classes(tmp_path, {"wave": 10, "nod": 20})
    (tmp_path / "nod" / "notes.txt").write_text("x")
    write_levels(tmp_path / ".old" / "1.mkv")
    data = opened(tmp_path, val_part=0.1, test_part=0.2, frames=2)
    assert data.labels == ("nod", "wave")
    assert data.facts["classes"] == {
        "train": {"nod": 14, "wave": 7},
        "val": {"nod": 2, "wave": 1},
        "test": {"nod": 4, "wave": 2},
    }
    names = [name for part in data.splits.values() for name in part.names]
    assert sorted(names) == sorted(map(str, tmp_path.glob("[!.]*/*.mkv")))
    for part in data.splits.values():
        for number, name in zip(part.labels, part.names, strict=True):
            assert f"/{data.labels[number]}/" in name
    lines = [
        f"{name.removeprefix(f'{tmp_path}/')} {Path(name).stat().st_size}"
        for name in data.splits["val"].names
    ]
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert data.facts["splits"]["val"] == {"clips": 3, "sha256": digest}
    assert data.facts["warnings"] == []


def test_clips_are_those_of_their_names(tmp_path):
    for label, level in (("wave", 50), ("nod", 150)):
        for i in range(3):
            write_levels(tmp_path / label / f"{i}.mkv", (level + i, level + 10 * i))
    train = opened(tmp_path, val_part=0, test_part=0, frames=2).splits["train"]
    for i, name in enumerate(train.names):
        assert levels_of(train.clip(i)) == levels_of(read_clip(name, 2))
    assert len({tuple(levels_of(train.clip(i))) for i in range(6)}) == 6


def test_the_seed_decides(tmp_path):
    write_classes(tmp_path, {"wave": 12, "nod": 12})
    one, same, other = (opened(tmp_path, seed=seed).splits["test"].names for seed in (1, 1, 2))
    assert one == same
    assert set(one) != set(other)


@pytest.mark.parametrize(
    ("lengths", "frames", "wanted"),
    [((1, 2), 3, 1), ((9, 9, 90), 3, 4), ((31, 31), 4, 10), ((8, 8), 4, 2)],
)
def test_frames_of_a_camera_lie_as_far_apart_as_those_of_the_videos(
    tmp_path, lengths, frames, wanted
):
    for label in ("wave", "nod"):
        for i, count in enumerate(lengths):
            write_levels(tmp_path / label / f"{i}.mkv", range(count))
    given = {"val_part": 0, "test_part": 0, "frames": frames}
    assert opened(tmp_path, **given).every == wanted
    assert opened(tmp_path, **given, every=5).every == 5


def test_splits_of_folders_stay(tmp_path):
    write_classes(tmp_path / "train", {"wave": 2, "nod": 3})
    write_classes(tmp_path / "test", {"wave": 1})
    data = opened(tmp_path)
    assert {name: len(part) for name, part in data.splits.items()} == {"train": 5, "test": 1}
    assert data.facts["warnings"] == ["test has no clip of nod"]


def test_videos_as_people_have_them(tmp_path):
    """In folders by date, names of macOS beside them, splits as others call them."""
    for split, label in (("Training", "wave"), ("Training", "nod"), ("valid", "nod")):
        for name in ("2024/a b.MOV", "2025/ü.mkv", "clip.m4v", "_best.3gp"):
            place = tmp_path / split / label / name
            write_levels(place.with_suffix(".mkv"), (10, 20)).rename(place)
        (tmp_path / split / label / "._clip.m4v").write_bytes(b"\0" * 100)
        write_levels(tmp_path / split / label / ".trash" / "old.mkv")
    data = opened(tmp_path, frames=2, test_part=0)
    assert data.facts["classes"] == {"train": {"nod": 4, "wave": 4}, "val": {"nod": 4}}
    found = {
        Path(name).relative_to(tmp_path / "valid" / "nod") for name in data.splits["val"].names
    }
    assert found == set(map(Path, ("2024/a b.MOV", "2025/ü.mkv", "clip.m4v", "_best.3gp")))


def test_what_folders_do_not_split_is_held_back_from_train(tmp_path):
    write_classes(tmp_path / "train", {"wave": 10, "nod": 20})
    write_classes(tmp_path / "test", {"wave": 3, "nod": 1})
    data = opened(tmp_path, val_part=0.2, test_part=0.5)
    assert data.facts["classes"] == {
        "train": {"nod": 16, "wave": 8},
        "val": {"nod": 4, "wave": 2},
        "test": {"nod": 1, "wave": 3},
    }
    assert not set(data.splits["train"].names) & set(data.splits["val"].names)
    (tmp_path / "test").rename(tmp_path / "val")
    data = opened(tmp_path, val_part=0.5, test_part=0.1)
    assert {name: len(part) for name, part in data.splits.items()} == {
        "train": 27,
        "val": 4,
        "test": 3,
    }


def test_the_digest_tells_other_videos_of_the_same_names(tmp_path):
    write_classes(tmp_path / "a", {"wave": 2, "nod": 2})
    (tmp_path / "a").rename(tmp_path / "b")
    write_classes(tmp_path / "a", {"wave": 2, "nod": 2})

    def digest(folder):
        parts = opened(folder, val_part=0, test_part=0).facts["splits"]
        return parts["train"]["sha256"]

    before = digest(tmp_path / "a")
    assert digest(tmp_path / "b") == before  # wherever the folder lies
    write_levels(tmp_path / "a" / "nod" / "00.mkv", levels=(10, 20, 30))
    assert digest(tmp_path / "a") != before


@pytest.mark.parametrize("change", [{"frames": 6}, {"size_px": 26}, {"seed": 2}])
def test_the_digest_tells_how_clips_are_generated(change):
    made = {"generated": "digits", "frames": 5, "size_px": 24, "train": 6, "val": 0, "test": 6}
    one, same, other = (opened(**given).facts["splits"] for given in (made, made, made | change))
    assert one == same
    assert one["train"]["sha256"] != other["train"]["sha256"]
    assert one["train"]["sha256"] != one["test"]["sha256"]


@pytest.fixture
def damaged(tmp_path):
    write_classes(tmp_path, {"wave": 3, "nod": 3})
    (tmp_path / "nod" / "empty.mp4").write_bytes(b"")
    (tmp_path / "nod" / "text.mp4").write_text("no video")
    write_size_change(tmp_path / "nod" / "grows.mjpeg").rename(tmp_path / "nod" / "grows.mpg")
    write_sound(tmp_path / "wave" / "sound.wav").rename(tmp_path / "wave" / "sound.avi")
    (tmp_path / "jump").mkdir()
    return tmp_path


def test_bad_videos_are_told_all_together(damaged):
    with pytest.raises(DataError) as err:
        opened(damaged)
    assert err.value.code == "E355"
    text = str(err.value)
    assert text.startswith("5 bad samples (3 × unreadable video, ")
    for place, why in {
        "nod/empty.mp4": "the file is empty",
        "nod/text.mp4": "unreadable video: Invalid data found when processing input",
        "nod/grows.mpg": "unreadable video: the size of its pictures changes",
        "wave/sound.avi": "unreadable video: it holds no picture",
        "jump": "the class has no video",
    }.items():
        assert f"  {damaged / place}: {why}" in text
    assert text.endswith("--on-bad-sample skip")


def test_skip_uses_the_rest_and_logs(damaged, caplog):
    with caplog.at_level(logging.WARNING):
        data = opened(damaged, on_bad_sample="skip", val_part=0, test_part=0)
    assert data.labels == ("nod", "wave")
    assert len(data.splits["train"]) == 6
    assert "left out: 5 bad samples" in caplog.text
    assert str(damaged / "nod" / "empty.mp4") in caplog.text


def test_one_class_is_not_enough(tmp_path):
    write_classes(tmp_path, {"wave": 2})
    with pytest.raises(DataError, match=r"two classes are needed, .* got \['wave'\]") as err:
        opened(tmp_path)
    assert err.value.code == "E352"


def test_a_file_is_no_folder(tmp_path):
    path = write_levels(tmp_path / "a.mkv")
    with pytest.raises(DataError, match=r"is a file; clips are read from a folder") as err:
        opened(path)
    assert err.value.code == "E356"


def test_a_missing_folder(tmp_path):
    with pytest.raises(DataError, match="no data at") as err:
        opened(tmp_path / "none")
    assert err.value.code == "E356"


# generated


@pytest.mark.parametrize(("kind", "shape"), [("digits", (5, 24, 24)), ("scenes", (5, 24, 24, 3))])
def test_generated_clips(kind, shape):
    sizes = {"train": 60, "val": 12, "test": 18}
    data = opened(generated=kind, frames=5, size_px=24, **sizes)
    assert data.labels == MOTIONS
    assert {name: len(part) for name, part in data.splits.items()} == sizes
    for name, part in data.splits.items():
        assert part.clip(3).shape == shape
        assert part.clip(3).dtype == np.uint8
        assert set(Counter(part.labels.tolist()).values()) == {sizes[name] // 6}
    first = {name: part.clip(0).tobytes() for name, part in data.splits.items()}
    assert len(set(first.values())) == 3
    other = opened(generated=kind, frames=5, size_px=24, **sizes, seed=2)
    again = opened(generated=kind, frames=5, size_px=24, **sizes)
    assert again.splits["val"].clip(0).tobytes() == first["val"]
    assert {part.clip(0).tobytes() for part in other.splits.values()}.isdisjoint(first.values())


def test_generated_without_val():
    assert list(opened(generated="digits", train=6, val=0, test=6).splits) == ["train", "test"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "either data.path or data.generated must be set"),
        ({"path": "x", "generated": "digits"}, "either data.path or data.generated must be set"),
        ({"path": "x", "frames": 1}, "data.frames must be in 2..256; got 1"),
        ({"path": "x", "every": -1}, "data.every must be in 0..1000; got -1"),
        ({"path": "x", "size_px": 23}, "data.size_px must be in 24..256; got 23"),
        ({"generated": "digits", "train": 0}, "data.train must be in 1..1000000; got 0"),
        ({"path": "x", "val_part": 0.6}, "data.val_part must be in 0..0.5; got 0.6"),
        ({"path": "x", "test_part": math.nan}, "data.test_part must be in 0..0.5; got nan"),
    ],
)
def test_options_out_of_range(options, text):
    with pytest.raises(ConfigError, match=text) as err:
        ClipsOptions(**options)
    assert err.value.code == "E205"
