import socket
import subprocess
import sys
import traceback

import pytest
from servers.processes import CameraProcess, black_hole, closed_port, wait_for

from edgedl import open_source
from edgedl.errors import SourceError
from edgedl.stream.av_source import open_stream
from edgedl.stream.live_source import LiveOptions, LiveSource
from edgedl.stream.uri import parse_uri

QUICK = LiveOptions(open_timeout_s=1.5, read_timeout_s=1.5, stale_after_s=0.5, retry_base_s=0.1)
SECRET = "s3cr%3Aet"


def watch(camera: CameraProcess, path: str, options: LiveOptions = QUICK) -> LiveSource:
    return open_stream(parse_uri(f"http://127.0.0.1:{camera.port}/{path}"), options)


def failure(uri: str, options: LiveOptions = QUICK) -> SourceError:
    """Open a camera that cannot be; nothing of the error may hold the password."""
    source = open_stream(parse_uri(uri), options)
    with pytest.raises(SourceError) as caught:
        source.wait_until_tried()
    said = "".join(traceback.format_exception(caught.value)) + str(source.status())
    assert "s3cr" not in said
    return caught.value


@pytest.mark.parametrize("path", ["ok", "nolength"])
def test_it_gives_frames(http: CameraProcess, path: str) -> None:
    with open_source(f"http://127.0.0.1:{http.port}/{path}") as source:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    assert all(frame.pixels.shape == (120, 160, 3) for frame in frames)
    assert source.status().corrupt == 0


@pytest.mark.parametrize("path", ["truncated", "garbage"])
def test_damaged_pictures_are_dropped_and_counted(http: CameraProcess, path: str) -> None:
    with watch(http, path) as source:
        wait_for(lambda: source.status().corrupt >= 3 and source.status().frames >= 5)
        assert source.status().state == "LIVE"
        assert source.status().reconnects == 0


def test_another_size_is_just_another_frame(http: CameraProcess) -> None:
    with watch(http, "resize") as source:
        wait_for(lambda: source.status().size_hw == (60, 80))
        frame = source.read(2)
        assert frame is not None
        assert frame.pixels.shape == (60, 80, 3)
        assert source.status().reconnects == 0


def test_silence_becomes_stale_then_a_new_connection(http: CameraProcess) -> None:
    with watch(http, "stall") as source:
        wait_for(lambda: source.status().state == "STALE")
        wait_for(lambda: source.status().reconnects > 0)
        assert "E312" in str(source.status().error)
        wait_for(lambda: source.status().frames > 10, what="the new connection")


def test_a_camera_that_hangs_up_is_called_again(http: CameraProcess) -> None:
    with watch(http, "close") as source:
        wait_for(lambda: source.status().frames > 15)
        assert source.status().reconnects > 0


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("html", "E315"),
        ("redirect", "E336"),
        ("401", "E313"),
        ("403", "E313"),
        ("404", "E314"),
        ("500", "E318"),
        ("slow", "E312"),
    ],
)
def test_other_answers_have_their_own_codes(http: CameraProcess, path: str, code: str) -> None:
    assert failure(f"http://admin:{SECRET}@127.0.0.1:{http.port}/{path}").code == code


def test_a_password_of_nasty_characters_works(http: CameraProcess) -> None:
    uri = f"http://admin:p%40ss%3Aw%2Frd%23%3F%25@127.0.0.1:{http.port}/login"
    with open_source(uri) as source:
        assert source.read(3) is not None
        assert "p%40" not in f"{source.uri} {source.status()}"


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_places_where_no_camera_is(scheme: str) -> None:
    refused = failure(f"{scheme}://admin:{SECRET}@127.0.0.1:{closed_port()}/x")
    assert refused.code == "E311"
    unknown = failure(f"{scheme}://admin:{SECRET}@camera.invalid/x")
    assert unknown.code == "E310"
    with black_hole() as port:
        assert failure(f"{scheme}://admin:{SECRET}@127.0.0.1:{port}/x").code == "E312"


def test_fail_fast_off_keeps_trying() -> None:
    with open_source(f"http://127.0.0.1:{closed_port()}/x", fail_fast=False) as source:
        wait_for(lambda: source.status().reconnects >= 2)
        assert not source.ended
        assert "E311" in str(source.status().error)


def test_python_exits_well_while_a_camera_is_being_opened() -> None:
    """FFmpeg crashes when the process is taken apart around it; three in ten times, before."""
    script = (
        "import sys; from edgedl.stream.av_source import LiveOptions, open_stream; "
        "from edgedl.stream.uri import parse_uri; "
        "s = open_stream(parse_uri(sys.argv[1]), LiveOptions(open_timeout_s=1.0))"
    )
    with black_hole() as port:
        uri = f"rtsp://127.0.0.1:{port}/x"
        command = [sys.executable, "-c", script, uri]
        running = [subprocess.Popen(command) for _ in range(4)]
        assert [process.wait(60) for process in running] == [0] * 4


def test_a_server_that_speaks_no_http(http: CameraProcess) -> None:
    del http
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        server.settimeout(10)
        port = server.getsockname()[1]
        source = open_stream(parse_uri(f"http://127.0.0.1:{port}/x"), QUICK)
        connection, _ = server.accept()
        connection.sendall(b"\x00\x01\x02 nonsense\r\n\r\n" * 50)
        connection.close()
    with pytest.raises(SourceError):
        source.wait_until_tried()
