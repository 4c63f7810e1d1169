"""The real command in its own process, ended by signals in every state."""

import http.client
import re
import signal
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from servers.command import edgedl_serve
from servers.processes import black_hole, closed_port, has_rtsp_server, rtsp_camera, wait_for
from tiny_kinds import WARMTH, write_bundle

from edgedl.cli import main

SCENES = "test://scenes?fps=15&seed=3&size=64"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_clients_are_connected(tiny_bundle: Path, number: int) -> None:
    with edgedl_serve(tiny_bundle, SCENES) as daemon:
        wait_for(lambda: daemon.last_id >= 3)
        port = urlsplit(daemon.url).port
        events = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        events.request("GET", "/api/v1/events")
        answer = events.getresponse()
        assert answer.readline().startswith(b"event: status")
        stalled = socket.create_connection(("127.0.0.1", port))
        stalled.sendall(b"GET /api/v1/stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stalled.recv(100)
        code, took_s = daemon.end(number)
        answer.close()
        events.close()
        stalled.close()
    assert code == 0
    assert took_s <= 3


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_signal_ends_it_while_it_connects_to_nothing(tiny_bundle: Path, scheme: str) -> None:
    with (
        black_hole() as port,
        edgedl_serve(tiny_bundle, f"{scheme}://admin:s3cret@127.0.0.1:{port}/x") as daemon,
    ):
        assert daemon.camera["state"] == "CONNECTING"
        assert "s3cret" not in str(daemon.camera)
        code, took_s = daemon.end()
    assert code == 0
    assert took_s <= 3


def test_a_signal_ends_it_while_it_waits_to_try_again(tiny_bundle: Path) -> None:
    with edgedl_serve(tiny_bundle, f"rtsp://127.0.0.1:{closed_port()}/x") as daemon:
        wait_for(lambda: daemon.camera["state"] == "BACKOFF")
        code, took_s = daemon.end()
    assert code == 0
    assert took_s <= 3


@pytest.mark.rtsp
def test_captions_resume_by_themselves(tiny_bundle: Path) -> None:
    """The camera is not there at the start, comes, is killed, and comes again."""
    if not has_rtsp_server():
        pytest.skip("the system's Python has no GstRtspServer: see CONTRIBUTING.md")
    camera = rtsp_camera()
    camera.kill()
    with edgedl_serve(tiny_bundle, f"rtsp://127.0.0.1:{camera.port}/live") as daemon:
        wait_for(lambda: daemon.camera["state"] == "BACKOFF")
        camera.start()
        wait_for(lambda: daemon.last_id >= 3, timeout_s=40, what="the first captions")
        camera.kill()
        wait_for(lambda: daemon.camera["state"] in ("BACKOFF", "CONNECTING"))
        before = daemon.last_id
        camera.start()
        wait_for(lambda: daemon.last_id >= before + 3, timeout_s=60, what="more captions")
        camera.kill()
        code, took_s = daemon.end()
    assert code == 0
    assert took_s <= 3


def test_a_port_in_use(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        args = ["serve", str(tiny_bundle), "--source", SCENES, "--port", str(port)]
        assert main(args) == 2
    assert re.search(rf"error\[E211\] port {port} .*--port", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--source", SCENES, "--host", "0.0.0.0"], 2, "E213"),
        (["--source", SCENES, "--port", "99999"], 2, "E212"),
        (["--source", "gopher://x"], 3, "E303"),
        (["--source", "rtsp://u:p@ss@host/x"], 3, "E304"),
        (["--source", "missing.mp4"], 3, "E330"),
        ([], 2, "--source"),
    ],
)
def test_wrong_arguments(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], more: list[str], code: int, text: str
) -> None:
    assert main(["serve", str(tiny_bundle), *more]) == code
    said = capsys.readouterr().err
    assert text in said
    assert "p@ss" not in said


def test_a_mounting_reaches_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_bundle(tmp_path / "x.edge", WARMTH)
    assert main(["serve", str(path), "--source", SCENES, "--rotate", "90"]) == 2
    assert capsys.readouterr().err.startswith("error[E130] a text-classifier takes no pictures")
