import logging
import socket
import threading
import time

import pytest
from servers.processes import closed_port, http_camera, wait_for

from edgedl.errors import ConfigError
from edgedl.stream.av_source import open_stream
from edgedl.stream.live_source import LiveOptions
from edgedl.stream.uri import parse_uri


def test_an_exception_in_the_captioner_ends_it_with_70(
    serving, new_pipeline, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(frame) -> str:
        if frame.index >= 3:
            raise ZeroDivisionError("three")
        return "fine"

    with caplog.at_level(logging.ERROR), serving(pipeline=new_pipeline(broken)) as daemon:
        daemon.join()
        assert daemon.exit_code == 70
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "captioner thread died at test_daemon.py" in lines[0]
    assert "ZeroDivisionError: three" in lines[0]


def test_an_exception_in_the_camera_ends_it_with_70(
    serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object) -> None:
        raise ValueError("rtsp://admin:s3cret@camera/x")

    monkeypatch.setattr("edgedl.stream.test_source.render", broken)
    with caplog.at_level(logging.ERROR), serving() as daemon:
        daemon.join()
        assert daemon.exit_code == 70
    assert "camera thread died" in caplog.text
    assert "s3cret" not in caplog.text


def test_ready_means_the_model_ran_whatever_the_camera_does(serving, new_pipeline) -> None:
    gate = threading.Event()

    def caption(_frame) -> str:
        gate.wait(10)
        return "x"

    source = f"http://127.0.0.1:{closed_port()}/x"
    with serving(source, new_pipeline(caption)) as daemon:
        assert daemon.request("/readyz")[0] == 503
        assert daemon.request("/healthz")[0] == 200
        gate.set()
        wait_for(lambda: daemon.request("/readyz")[0] == 200)


def test_a_camera_that_is_away_is_shown_and_comes_back(serving) -> None:
    camera = http_camera()
    camera.kill()
    quick = LiveOptions(retry_base_s=0.2, retry_cap_s=0.5)
    uri = parse_uri(f"http://admin:s3cret@127.0.0.1:{camera.port}/ok")
    with serving(open_stream(uri, quick)) as daemon:
        wait_for(lambda: daemon.json("/api/v1/status")["camera"]["state"] == "BACKOFF")
        said = daemon.json("/api/v1/status")["camera"]
        assert "E311" in said["error"]
        assert "s3cret" not in str(said)
        assert daemon.request("/")[0] == 200
        assert daemon.request("/api/v1/snapshot.jpg")[0] == 503
        camera.start()
        wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] > 3, timeout_s=40)
        camera.kill()
        wait_for(lambda: daemon.json("/api/v1/status")["camera"]["state"] == "BACKOFF")
        before = daemon.json("/api/v1/captions")["last_id"]
        camera.start()
        wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] > before + 3, timeout_s=40)
    camera.kill()


def test_an_end_is_shown_and_the_page_stays(serving) -> None:
    with serving("test://scenes?fps=40&count=10&size=64") as daemon:
        wait_for(lambda: daemon.json("/api/v1/status")["camera"]["state"] == "ENDED")
        assert daemon.json("/api/v1/captions")["last_id"] >= 1
        assert daemon.request("/api/v1/snapshot.jpg")[0] == 200


def test_a_port_in_use_names_the_option(serving) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="--port") as caught, serving(port=port):
            pass
    assert caught.value.code == "E211"


def test_stop_is_quick_while_clients_are_connected(serving) -> None:
    with serving() as daemon:
        clients = []
        for path in ("/api/v1/events", "/api/v1/stream.mjpg", "/api/v1/snapshot.jpg?after=0"):
            client = socket.create_connection(("127.0.0.1", int(daemon.url.rpartition(":")[2])))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            clients.append(client)
        time.sleep(0.5)
        started = time.monotonic()
        daemon.daemon.stop()
        daemon.join()
        assert time.monotonic() - started <= 3
        assert daemon.exit_code == 0
        for client in clients:
            client.close()
