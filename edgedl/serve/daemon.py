"""Camera thread, inference thread and web server, wired; how they start and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from edgedl.errors import ConfigError
from edgedl.frame import UPRIGHT, Mounting
from edgedl.runtime.base import Pipeline, check_takes_pictures
from edgedl.runtime.captioner import change_search
from edgedl.runtime.pipeline import load
from edgedl.serve.app import Routes, make_app
from edgedl.serve.camera import Camera
from edgedl.serve.captioner import Captioner
from edgedl.serve.clients import Clients
from edgedl.serve.events import EventRing
from edgedl.serve.guard import is_loopback
from edgedl.stream.motion import MotionGate, motion_gate
from edgedl.stream.source import Source, open_source

BUG = 70
log = logging.getLogger(__name__)

TASKS = ("captioning", "classification", "clip-classification")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """Where to listen and what to run.

    Attributes:
        host: Address to listen on; by default only this machine can connect.
        port: 0 takes a free one.
        insecure_no_auth: Allow an address others can reach, although there is no login.
        backend: As for ``edgedl.load``.
        precision: As for ``edgedl.load``.
        threads: As for ``edgedl.load``.
        allow_prebuilt_engine: As for ``edgedl.load``.
        search: As for ``edgedl.runtime.captioner.change_search``.
        motion: Caption a frame only if more than this share of it changed since the last one that
            was captioned, in [0, 1); None captions every frame.
        mounting: As for ``edgedl.load``; the page shows pictures turned so, too.

    Raises:
        ConfigError: E212 for a port that is none, E213 for an open address without consent.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    insecure_no_auth: bool = False
    backend: str = "auto"
    precision: str = "auto"
    threads: int = 1
    allow_prebuilt_engine: bool = False
    search: Mapping[str, float] = field(default_factory=dict)
    motion: float | None = None
    mounting: Mounting = UPRIGHT

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            msg = f"--port must be in 0..65535; got {self.port}"
            raise ConfigError("E212", msg)
        if not is_loopback(self.host) and not self.insecure_no_auth:
            msg = (
                f"--host {self.host} lets others connect, and this version has no login: anybody "
                "who reaches it sees the camera. Keep 127.0.0.1 and use an SSH tunnel, or accept "
                "that with --insecure-no-auth"
            )
            raise ConfigError("E213", msg)


def serve(
    bundle: Path,
    source: str,
    options: ServeOptions | None = None,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> int:
    """Caption ``source`` with ``bundle`` and serve the page until SIGTERM or SIGINT.

    A camera that is away does not matter: the page says so, and captions come when it does.

    Args:
        bundle: A folder ``NAME.edge``.
        source: As for ``edgedl.open_source``; files are played at their own speed.
        options: Where to listen and what to run.
        on_ready: Called with the page's address once it can be opened.

    Returns:
        0 after a signal, 70 when a thread died.

    Raises:
        ConfigError: E211 when the port is in use.
        UsageError: E102 the bundle takes no pictures.
        SourceError: ``source`` is wrong in itself, or a file that cannot be read.
    """
    options = options or ServeOptions()
    pipeline = load(
        bundle,
        options.backend,
        options.precision,
        threads=options.threads,
        allow_prebuilt_engine=options.allow_prebuilt_engine,
        mounting=options.mounting,
    )
    check_takes_pictures(pipeline.bundle, "edgedl serve", TASKS)
    change_search(pipeline.model, options.search)
    gate = motion_gate(options.motion, pipeline.bundle.model_spec)
    with pipeline, open_source(source, realtime=True, fail_fast=False) as frames:
        return asyncio.run(Daemon(pipeline, frames, options, gate).run(on_ready))


class Daemon:
    """One run of the daemon."""

    def __init__(
        self,
        pipeline: Pipeline,
        source: Source,
        options: ServeOptions,
        gate: MotionGate | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._source = source
        self._options = options
        self._gate = gate
        self._exit_code = 0
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, on_ready: Callable[[str], None]) -> int:
        """Serve until ``stop``; return the exit code."""
        self._loop = asyncio.get_running_loop()
        clients = Clients()
        events = EventRing()
        camera = Camera(self._source, clients.wake, self._on_death, self._options.mounting)
        captioner = Captioner(
            self._pipeline, camera, events, clients.wake, self._on_death, self._gate
        )
        app = make_app(Routes(camera, captioner, events, clients))
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, keepalive_timeout=15.0)
        await runner.setup()
        try:
            url = await self._listen(runner)
            self._end_on_signals()
            camera.start()
            captioner.start()
            on_ready(url)
            await self._ended.wait()
        finally:
            await clients.close()
            self._source.close()
            await asyncio.to_thread(camera.close)
            await asyncio.to_thread(captioner.close)
            await runner.cleanup()
        return self._exit_code

    def stop(self) -> None:
        """End ``run`` soon; may be called from any thread."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._ended.set)

    async def _listen(self, runner: web.AppRunner) -> str:
        """Open the port; return the address of the page."""
        host, port = self._options.host, self._options.port
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as err:
            if err.errno == errno.EADDRINUSE:
                msg = f"port {port} on {host} is in use; choose another with --port, 0 for any"
                raise ConfigError("E211", msg) from err
            msg = f"cannot listen on {host}:{port}: {err.strerror}; choose another --host or --port"
            raise ConfigError("E217", msg) from err
        port = runner.addresses[0][1]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _end_on_signals(self) -> None:
        """Make the first SIGTERM or SIGINT end the daemon, and the second at once."""
        if self._loop is None or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        if self._ended.is_set():
            os._exit(130)
        self._ended.set()

    def _on_death(self, name: str, error: BaseException) -> None:
        """End the process because one of its threads did; its page must not look alive."""
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        # The text of an error in the camera thread may hold an address with a password.
        text = f": {error}" if name == "captioner" else ""
        log.error("the %s thread died at %s: %s%s", name, where, type(error).__name__, text)
        self._exit_code = BUG
        self.stop()
