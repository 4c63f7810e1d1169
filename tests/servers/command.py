"""Runs the real ``edgedl`` command in a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servers.processes import read_line

COMMAND = [sys.executable, "-m", "edgedl"]


def edgedl(*args: object, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


class Daemon:
    """A running ``edgedl serve``."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return json.load(answer)

    @property
    def camera(self) -> dict[str, Any]:
        return self.json("/api/v1/status")["camera"]

    @property
    def last_id(self) -> int:
        return self.json("/api/v1/captions")["last_id"]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, float]:
        """Send a signal; return exit code and seconds until the end."""
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(30)
        return code, time.monotonic() - started


@contextlib.contextmanager
def edgedl_serve(bundle: Path, source: str, *args: str) -> Iterator[Daemon]:
    command = [*COMMAND, "serve", str(bundle), "--source", source, "--port", "0", *args]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = read_line(process, timeout_s=60)
        assert line.startswith("serving http://"), (line, process.poll())
        yield Daemon(process, line.split()[1])
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
