"""A daemon in a thread, with a pipeline that says what it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from edgedl.runtime.pipeline import CaptionResult
from edgedl.serve.daemon import Daemon, ServeOptions
from edgedl.stream.source import Source, open_source

if TYPE_CHECKING:
    from edgedl.frame import Frame


class FakePipeline:
    """Says ``caption(frame)``; counts its calls."""

    backend, precision, model_hash = "onnxruntime", "fp32", "0123456789ab"

    def __init__(self, caption: Callable[[Frame], str] = lambda f: f"frame {f.index}") -> None:
        self.caption = caption
        self.calls = 0

    def reset(self) -> None:
        """Nothing is remembered."""

    def __call__(self, frame: Frame) -> CaptionResult:
        self.calls += 1
        return CaptionResult(
            text=self.caption(frame),
            log_prob=-0.5,
            is_complete=True,
            stage_ms={"preprocess": 0.1, "encode": 1.0, "decode_text": 0.5},
            backend=self.backend,
            precision=self.precision,
            model_hash=self.model_hash,
        )


class Serving:
    """A running daemon; ``exit_code`` once it has ended."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.url = ""
        self.exit_code: int | None = None
        self.error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(20)
        if self.error is not None:
            raise self.error

    def request(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as err:
            with err:
                return err.code, dict(err.headers), err.read()

    def json(self, path: str) -> Any:
        status, _, body = self.request(path)
        assert status == 200, body
        return json.loads(body)

    def join(self, timeout_s: float = 20.0) -> None:
        self._thread.join(timeout_s)
        assert not self._thread.is_alive()

    def _on_ready(self, url: str) -> None:
        self.url = url
        self._ready.set()

    def _run(self) -> None:
        try:
            self.exit_code = asyncio.run(self.daemon.run(self._on_ready))
        except BaseException as err:  # noqa: BLE001 - handed to the test
            self.error = err
        finally:
            self._ready.set()


@contextlib.contextmanager
def serving(
    source: str | Source = "test://scenes?fps=20&size=64", pipeline: Any = None, **options: Any
) -> Iterator[Serving]:
    if isinstance(source, str):
        source = open_source(source, realtime=True, fail_fast=False)
    with source as frames:
        made = Daemon(pipeline or FakePipeline(), frames, ServeOptions(**{"port": 0, **options}))
        running = Serving(made)
        try:
            yield running
        finally:
            made.stop()
            running.join()


@pytest.fixture(name="serving")
def serving_fixture() -> Callable[..., contextlib.AbstractContextManager[Serving]]:
    return serving


@pytest.fixture
def daemon() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.fixture
def new_pipeline() -> type[FakePipeline]:
    return FakePipeline
