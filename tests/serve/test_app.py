import http.client
import itertools
import json
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from servers.processes import wait_for

from edgedl.frame import Mounting

ROUTES = (
    "/",
    "/app.js",
    "/style.css",
    "/healthz",
    "/readyz",
    "/api/v1/status",
    "/api/v1/captions",
    "/api/v1/snapshot.jpg",
    "/nothing",
)


def open_stream(url: str, path: str, **headers: str) -> http.client.HTTPConnection:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=20)
    connection.request("GET", path, headers=headers)
    return connection


def read_events(daemon, count: int, path: str = "/api/v1/events", **headers: str):
    """Return ``count`` events as (id, name, values)."""
    connection = open_stream(daemon.url, path, **headers)
    with connection.getresponse() as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        found = []
        fields: dict[str, str] = {}
        while len(found) < count:
            line = answer.readline().decode().rstrip("\n")
            if line:
                key, _, value = line.partition(": ")
                fields[key] = value
            elif fields:
                found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
                fields = {}
    connection.close()
    return found


def caption_ids(found) -> list[int]:
    return [int(number) for number, name, _ in found if name == "caption"]


@pytest.mark.parametrize("path", ROUTES)
def test_every_answer_carries_the_safety_headers(daemon, path: str) -> None:
    wait_for(lambda: daemon.request("/api/v1/snapshot.jpg")[0] == 200)
    wait_for(lambda: daemon.request("/readyz")[0] == 200)
    status, headers, _ = daemon.request(path)
    assert status == (404 if path == "/nothing" else 200)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize("path", [*ROUTES, "/api/v1/events", "/api/v1/stream.mjpg"])
def test_rebound_names_and_foreign_pages_are_refused(daemon, path: str) -> None:
    assert daemon.request(path, Host="evil.example")[0] == 421
    assert daemon.request(path, **{"Sec-Fetch-Site": "cross-site"})[0] == 403


def test_a_link_on_another_site_may_be_followed(daemon) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert daemon.request("/", **headers)[0] == 200


def test_the_page_holds_no_inline_code_and_no_foreign_address(daemon) -> None:
    page = daemon.request("/")[2].decode()
    assert "<script src=" in page
    assert page.count("<script") == 1
    assert " style=" not in page
    assert " onclick" not in page
    for path in ("/", "/app.js", "/style.css"):
        text = daemon.request(path)[2].decode()
        assert "http://" not in text
        assert "https://" not in text
    script = daemon.request("/app.js")[2].decode()
    for unsafe in ("innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"):
        assert unsafe not in script


def test_captions_since(daemon) -> None:
    wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] >= 5)
    all_of_them = daemon.json("/api/v1/captions?since=0")["captions"]
    assert [c["id"] for c in all_of_them] == list(range(1, len(all_of_them) + 1))
    later = daemon.json("/api/v1/captions?since=3")["captions"]
    assert later[0]["id"] == 4
    wanted = {"text", "age_s", "time", "frame", "stage_ms", "backend", "precision", "model_hash"}
    assert wanted <= set(later[0])
    assert daemon.request("/api/v1/captions?since=x")[0] == 400


def test_events_are_numbered_and_replayed(daemon) -> None:
    wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] >= 6)
    found = read_events(daemon, 12, "/api/v1/events?since=0")
    ids = caption_ids(found)
    assert ids == list(range(1, len(ids) + 1))
    again = read_events(daemon, 6, "/api/v1/events?since=0", **{"Last-Event-ID": "3"})
    assert caption_ids(again)[0] == 4
    restarted = read_events(daemon, 4, **{"Last-Event-ID": "900000"})
    assert caption_ids(restarted)[0] == 1


def test_status_is_the_heartbeat(daemon) -> None:
    name = "status"
    found = read_events(daemon, 40)
    said = [values for _, kind, values in found if kind == name]
    assert len(said) >= 2
    assert said[-1]["camera"]["state"] == "LIVE"
    assert said[-1]["camera"]["uri"] == "test://scenes?fps=20&size=64"
    assert said[-1]["model"]["precision"] == "fp32"


def test_a_caption_cannot_inject_events(serving, new_pipeline) -> None:
    evil = "a\n\nevent: status\ndata: {}\n\n</script><b>\u2028"
    with serving(pipeline=new_pipeline(lambda _frame: evil)) as daemon:
        wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] >= 1)
        found = read_events(daemon, 3)
    assert all("camera" in values for _, name, values in found if name == "status")
    assert next(v["text"] for _, name, v in found if name == "caption") == evil


def test_snapshot_is_the_newest_picture(daemon) -> None:
    wait_for(lambda: daemon.request("/api/v1/snapshot.jpg")[0] == 200)
    _, headers, body = daemon.request("/api/v1/snapshot.jpg")
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (64, 64, 3)
    assert 0 <= int(headers["X-Age-Ms"]) < 5000
    status, later, _ = daemon.request(f"/api/v1/snapshot.jpg?after={headers['X-Frame']}")
    assert status == 200
    assert int(later["X-Frame"]) > int(headers["X-Frame"])


def test_the_page_turns_pictures_as_the_camera_hangs(serving, tmp_path: Path) -> None:
    pixels = np.full((40, 64, 3), 30, np.uint8)
    pixels[:, :32] = 220
    cv2.imwrite(str(tmp_path / "x.png"), pixels)
    with serving(str(tmp_path / "x.png"), mounting=Mounting(rotate=90, flip="vertical")) as daemon:
        wait_for(lambda: daemon.request("/api/v1/snapshot.jpg")[0] == 200)
        body = daemon.request("/api/v1/snapshot.jpg")[2]
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (64, 40, 3)
    assert picture[:24].mean() < 50
    assert picture[40:].mean() > 200


def test_mjpeg_is_a_stream_of_pictures(daemon) -> None:
    connection = open_stream(daemon.url, "/api/v1/stream.mjpg")
    seen = set()
    with connection.getresponse() as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        while len(seen) < 4:
            assert answer.readline().strip() == b"--frame"
            length = 0
            while line := answer.readline().strip():
                if line.lower().startswith(b"content-length"):
                    length = int(line.split(b":")[1])
            seen.add(answer.read(length))
            assert answer.readline().strip() == b""
    connection.close()
    assert all(data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9") for data in seen)


def test_a_client_that_does_not_read_hurts_nobody(serving) -> None:
    with serving("test://scenes?fps=20&size=1280x720") as daemon:
        place = urlsplit(daemon.url)
        stalled = []
        for _ in range(5):
            client = socket.create_connection((place.hostname, place.port), timeout=20)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"GET /api/v1/stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            stalled.append(client)
        first = daemon.json("/api/v1/captions")["last_id"]
        wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] > first + 20)
        wait_for(lambda: all(map(is_cut, stalled)), what="the end of stalled connections")
        for client in stalled:
            client.close()


def is_cut(client: socket.socket) -> bool:
    """Say whether the other side has ended the connection, without reading much."""
    client.setblocking(False)
    try:
        client.send(b"\r\n")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_other_methods_and_big_requests_are_refused(daemon) -> None:
    connection = open_stream(daemon.url, "/healthz")
    connection.getresponse().read()
    connection.request("POST", "/api/v1/captions", body=b"{}")
    answer = connection.getresponse()
    assert answer.status == 405
    assert json.loads(answer.read())["status"] == 405
    connection.request("GET", "/healthz?" + "x" * 20000)
    answer = connection.getresponse()
    assert answer.status in (400, 414)
    connection.close()
    assert daemon.json("/healthz") == {"alive": True}


def test_too_many_clients_are_told_so(daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedl.serve.clients.MAX_CLIENTS", 1)
    connection = open_stream(daemon.url, "/api/v1/events")
    with connection.getresponse():
        assert daemon.request("/api/v1/stream.mjpg")[0] == 503
        assert daemon.request("/healthz")[0] == 200
    connection.close()
    wait_for(lambda: can_join(daemon))


def can_join(daemon) -> bool:
    return daemon.request("/api/v1/snapshot.jpg?after=-1")[0] == 200


def test_a_slow_model_gets_the_newest_frame(serving, new_pipeline) -> None:
    def slow(frame) -> str:
        time.sleep(0.3)
        return f"frame {frame.index}"

    with serving("test://scenes?fps=30&size=64", new_pipeline(slow)) as daemon:
        wait_for(lambda: daemon.json("/api/v1/captions")["last_id"] >= 5)
        captions = daemon.json("/api/v1/captions")["captions"]
        camera = daemon.json("/api/v1/status")["camera"]
    frames = [caption["frame"] for caption in captions[1:]]
    assert all(b - a > 3 for a, b in itertools.pairwise(frames))
    assert camera["not_captioned"] > 5
