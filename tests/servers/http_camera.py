"""An HTTP camera on loopback with faults, one per path. Prints ``READY PORT``.

/ok /truncated /garbage /nolength /resize /stall /close  MJPEG, damaged as they say
/html /slow /redirect /401 /403 /404 /500  not MJPEG at all; /login wants admin and p@ss:w/rd#?%
"""

from __future__ import annotations

import base64
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

FPS = 20
LOGIN = "Basic " + base64.b64encode(b"admin:p@ss:w/rd#?%").decode()


def jpeg(index: int, width: int = 160, height: int = 120) -> bytes:
    picture = np.full((height, width, 3), 40, np.uint8)
    left = (index * 4) % (width - 20)
    picture[40:80, left : left + 20] = (60, 200, 240)
    return cv2.imencode(".jpg", picture)[1].tobytes()


class Camera(BaseHTTPRequestHandler):
    def log_message(self, *_args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.split("?")[0].lstrip("/")
        if path == "slow":
            time.sleep(30)
        elif path == "html":
            self.answer(200, b"<html>please log in</html>", "text/html")
        elif path == "redirect":
            self.answer(302, b"", "text/plain", Location="/ok")
        elif path.isdigit():
            self.answer(int(path), b"", "text/plain")
        elif path == "login" and self.headers.get("Authorization") != LOGIN:
            self.answer(401, b"", "text/plain", **{"WWW-Authenticate": 'Basic realm="camera"'})
        else:
            self.stream(path)

    def answer(self, status: int, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self, path: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for index in range(10**9):
                if path in ("stall", "close") and index == 10:
                    time.sleep(60 if path == "stall" else 0)
                    return
                self.part(path, index)
                time.sleep(1 / FPS)
        except OSError:
            pass

    def part(self, path: str, index: int) -> None:
        data = jpeg(index, 80, 60) if path == "resize" and index > 20 else jpeg(index)
        if index % 3 == 2 and path == "truncated":
            data = data[: len(data) // 2]
        if index % 3 == 2 and path == "garbage":
            data = np.random.default_rng(index).bytes(len(data))
        length = b"" if path == "nolength" else b"Content-Length: %d\r\n" % len(data)
        self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n" + length + b"\r\n" + data)
        self.wfile.write(b"\r\n")


if __name__ == "__main__":
    server = ThreadingHTTPServer(
        ("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0), Camera
    )
    server.daemon_threads = True
    print(f"READY {server.server_address[1]}", flush=True)  # noqa: T201
    server.serve_forever()
