"""Starts, stalls and ends the cameras of the tests."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

HERE = Path(__file__).parent
SYSTEM_PYTHON = "/usr/bin/python3"
CHECK = "import gi; gi.require_version('GstRtspServer', '1.0')"


class CameraProcess:
    """A camera in a process of its own, so that it can be killed and stopped like a real one."""

    def __init__(self, command: Sequence[str], port: int = 0) -> None:
        self._command = list(command)
        self.port = port
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start; on the port it had before, if it ran already."""
        command = [part.format(port=self.port) for part in self._command]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._process = process
        line = read_line(process, timeout_s=30)
        assert line.startswith("READY"), line
        self.port = int(line.split()[1])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


def has_rtsp_server() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    done = subprocess.run([SYSTEM_PYTHON, "-c", CHECK], capture_output=True, check=False)
    return done.returncode == 0


def rtsp_camera(*login: str, pictures: str | None = None) -> CameraProcess:
    script = str(HERE / "rtsp_server.py")
    more = ["--login", *login] if login else []
    more += ["--pictures", pictures] if pictures else []
    return CameraProcess([SYSTEM_PYTHON, script, "--port", "{port}", *more])


def http_camera() -> CameraProcess:
    return CameraProcess([sys.executable, str(HERE / "http_camera.py"), "{port}"])


def read_line(process: subprocess.Popen[str], timeout_s: float) -> str:
    """Read one line of a process's output; fail instead of waiting for ever."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], timeout_s)
    assert ready, f"{process.args} printed nothing within {timeout_s} s"
    return process.stdout.readline()


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def wait_for(found: Callable[[], object], timeout_s: float = 20.0, what: str = "it") -> None:
    """Wait until ``found()`` is true; fail when it takes longer than ``timeout_s``."""
    end = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < end, f"{what} did not happen within {timeout_s} s"
        time.sleep(0.02)
