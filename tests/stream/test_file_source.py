import time
from fractions import Fraction
from pathlib import Path

import av
import pytest

from edgedl import open_source
from edgedl.errors import SourceError


def test_every_frame_in_order(clip: Path) -> None:
    with open_source(str(clip)) as source:
        frames = list(source)
        status = source.status()
    assert [frame.index for frame in frames] == list(range(30))
    assert [round(frame.media_time_s * 20) for frame in frames] == list(range(30))
    assert [abs(int(frame.pixels[20, 30, 1]) - 8 * frame.index) <= 3 for frame in frames] == [
        True
    ] * 30
    assert frames[0].pixels.shape == (48, 64, 3)
    assert (status.state, status.frames, status.dropped) == ("ENDED", 30, 0)
    assert not source.live


def test_realtime_paces_and_the_newest_wins(clip: Path) -> None:
    started = time.monotonic()
    indices = []
    with open_source(str(clip), realtime=True) as source:
        for frame in source:
            indices.append(frame.index)
            time.sleep(0.12)
        status = source.status()
    assert time.monotonic() - started > 1.3
    assert indices == sorted(indices)
    assert len(indices) < 25
    assert status.dropped == 30 - len(indices)
    assert source.live


def test_realtime_read_respects_its_time_limit(clip: Path) -> None:
    with open_source(str(clip), realtime=True) as source:
        assert source.read(0.5) is not None
        assert source.read(0.001) is None
        assert source.read(0.5) is not None


def test_close_ends_it(clip: Path) -> None:
    source = open_source(str(clip))
    source.close()
    source.close()
    assert source.ended
    assert source.read(0.1) is None


def test_the_real_clip_has_all_its_frames(real_clip: Path) -> None:
    with open_source(str(real_clip)) as source:
        assert sum(1 for _ in source) == 280


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_files_that_are_no_video(tmp_path: Path, clip: Path) -> None:
    whole = clip.read_bytes()
    (tmp_path / "empty").mkdir()
    cases = {
        str(tmp_path / "missing.mp4"): "E330",
        str(tmp_path / "missing.png"): "E330",
        str(tmp_path / "empty"): "E331",
        write(tmp_path / "zero.mp4", b""): "E332",
        write(tmp_path / "zero.png", b""): "E332",
        write(tmp_path / "text.mp4", b"hello\n" * 100): "E333",
        "/dev/null": "E333",
        write(tmp_path / "half.mp4", whole[: len(whole) // 2]): "E334",
    }
    for path, code in cases.items():
        with pytest.raises(SourceError) as caught, open_source(path) as source:
            list(source)
        assert (path, caught.value.code) == (path, code)
        assert path in str(caught.value)


def test_a_file_that_breaks_off_says_so_at_its_end(tmp_path: Path, clip: Path) -> None:
    """An index at the front promises more frames than the file holds."""
    front = tmp_path / "front.mp4"
    with (
        av.open(str(clip)) as old,
        av.open(str(front), "w", options={"movflags": "+faststart"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[:-1500])
    with open_source(str(cut)) as source:
        with pytest.raises(SourceError) as caught:
            list(source)
        status = source.status()
    assert caught.value.code == "E334"
    assert 0 < status.frames < 30
    assert status.state == "FAILED"


def write_avi(path: Path, times: list[int]) -> Path:
    """Write 10 frames a second; where ``times`` leaves one out, AVI repeats the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for time_ in times:
            picture = av.VideoFrame(64, 48, "yuv420p")
            picture.pts, picture.time_base = time_, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_repeated_frames_of_an_avi_are_not_missing(tmp_path: Path) -> None:
    times = [0, 2, 3, 7, 8]
    path = write_avi(tmp_path / "a.avi", times)
    with open_source(str(path)) as source:
        assert [round(frame.media_time_s * 10) for frame in source] == times


def test_half_an_avi_says_so_at_its_end(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "a.avi", list(range(0, 60, 2)))
    data = path.read_bytes()
    half = write(tmp_path / "half.avi", data[: (data.index(b"movi") + data.index(b"idx1")) // 2])
    with open_source(half) as source, pytest.raises(SourceError) as caught:
        list(source)
    assert caught.value.code == "E334"


def test_a_damaged_video_gives_its_good_frames(tmp_path: Path, clip: Path) -> None:
    data = bytearray(clip.read_bytes())
    start = data.index(b"mdat") + 200
    for at in range(start, start + 1200, 7):
        data[at] ^= 0x55
    with open_source(write(tmp_path / "noise.mp4", bytes(data))) as source:
        frames = list(source)
        status = source.status()
    assert status.corrupt > 0
    assert 0 < len(frames) <= 30


def test_a_playlist_cannot_open_the_network(tmp_path: Path) -> None:
    text = (
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(SourceError), open_source(write(tmp_path / "list.m3u8", text)) as source:
        list(source)
