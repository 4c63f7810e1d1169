"""A real RTSP server, killed, stopped and asked for what it has not."""

import pytest
from servers.processes import CameraProcess, has_rtsp_server, rtsp_camera, wait_for

from edgedl import open_source
from edgedl.errors import SourceError
from edgedl.stream.av_source import open_stream
from edgedl.stream.live_source import LiveOptions
from edgedl.stream.uri import parse_uri

pytestmark = pytest.mark.rtsp
QUICK = LiveOptions(
    open_timeout_s=3, read_timeout_s=1.5, stale_after_s=0.7, retry_base_s=0.2, retry_cap_s=1
)


def uri_of(camera: CameraProcess, path: str = "live", login: str = "") -> str:
    return f"rtsp://{login}127.0.0.1:{camera.port}/{path}"


def test_it_gives_new_frames(rtsp: CameraProcess) -> None:
    with open_source(uri_of(rtsp)) as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert all(frame.pixels.shape == (240, 320, 3) for frame in frames)
    assert all(frame.media_time_s is None for frame in frames)
    assert any((frame.pixels != frames[0].pixels).any() for frame in frames[1:])


def test_it_comes_back_after_the_server_was_killed(rtsp: CameraProcess) -> None:
    with open_stream(parse_uri(uri_of(rtsp)), QUICK) as source:
        wait_for(lambda: source.status().frames > 5)
        rtsp.kill()
        wait_for(lambda: source.status().state == "BACKOFF")
        before = source.status().frames
        rtsp.start()
        wait_for(lambda: source.status().frames > before + 5, what="new frames")
        assert source.status().state == "LIVE"


def test_a_stalled_server_is_stale_then_left(rtsp: CameraProcess) -> None:
    with open_stream(parse_uri(uri_of(rtsp)), QUICK) as source:
        wait_for(lambda: source.status().frames > 5)
        with rtsp.stalled():
            wait_for(lambda: source.status().state == "STALE")
            wait_for(lambda: source.status().state == "BACKOFF")
            assert "E312" in str(source.status().error)
            source.read(0)
            before = source.status().frames
        wait_for(lambda: source.status().frames > before, what="new frames")


def test_another_size_is_just_another_frame(rtsp: CameraProcess) -> None:
    with open_stream(parse_uri(uri_of(rtsp, "resize"))) as source:
        wait_for(lambda: source.status().size_hw == (240, 320))
        wait_for(lambda: source.status().size_hw == (120, 160))
        frame = source.read(2)
        assert frame is not None
        assert frame.pixels.shape == (120, 160, 3)
        assert source.status().reconnects == 0


def test_no_such_stream(rtsp: CameraProcess) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(uri_of(rtsp, "nothing"))
    assert caught.value.code == "E314"


def test_logins() -> None:
    if not has_rtsp_server():
        pytest.skip("the system's Python has no GstRtspServer: see CONTRIBUTING.md")
    camera = rtsp_camera("admin", "p@ss:w/rd#?%")
    try:
        with open_source(uri_of(camera, login="admin:p%40ss%3Aw%2Frd%23%3F%25@")) as source:
            assert source.read(3) is not None
        for login in ("admin:wr0ng@", ""):
            with pytest.raises(SourceError) as caught:
                open_source(uri_of(camera, login=login))
            assert caught.value.code == "E313"
            assert "wr0ng" not in str(caught.value)
    finally:
        camera.kill()
