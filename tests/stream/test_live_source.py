"""The state machine of a camera, driven by scripted connections instead of a network."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from servers.processes import wait_for

from edgedl.errors import SourceError
from edgedl.stream.live_source import Decoded, LiveOptions, LiveSource

QUICK = LiveOptions(
    open_timeout_s=1,
    read_timeout_s=0.5,
    stale_after_s=0.2,
    retry_base_s=0.05,
    retry_cap_s=0.1,
    refused_login_s=60,
)


def picture(value: int = 0, size_hw: tuple[int, int] = (4, 6)) -> Decoded:
    return Decoded(size_hw, lambda: np.full((*size_hw, 3), value, np.uint8))


class Script:
    """Connections played one after the other; the last one is repeated."""

    def __init__(self, *connections: Callable[[], Iterator[Decoded | None]]) -> None:
        self.connections = connections
        self.opened = 0

    def __call__(self, _options: LiveOptions) -> Iterator[Decoded | None]:
        self.opened += 1
        yield from self.connections[min(self.opened, len(self.connections)) - 1]()


def lost(code: str = "E311") -> Callable[[], Iterator[None]]:
    def connection() -> Iterator[None]:
        raise SourceError(code, "rtsp://camera: is away")
        yield

    return connection


def steady() -> Iterator[Decoded]:
    for value in range(10**6):
        yield picture(value % 256)
        time.sleep(0.01)


def test_it_comes_back_by_itself() -> None:
    script = Script(lost(), lost(), lambda: iter([picture(1)]), steady)
    with LiveSource("rtsp://camera", script, QUICK) as source:
        wait_for(lambda: script.opened >= 4 and source.status().state == "LIVE")
        wait_for(lambda: source.status().frames >= 2)
        status = source.status()
    assert status.reconnects == 3
    assert status.error is None
    assert status.frames >= 2


def test_a_frame_says_through_which_connection_it_came() -> None:
    script = Script(lambda: iter([picture(1)]), lost(), steady)
    with LiveSource("rtsp://camera", script, QUICK) as source:
        first, second = next(iter(source)), next(iter(source))
    assert (first.connection, second.connection) == (0, 2)


def test_the_error_is_visible_while_it_is_away() -> None:
    with LiveSource("rtsp://camera", Script(lost("E313")), QUICK) as source:
        wait_for(lambda: source.status().state == "BACKOFF")
        assert source.status().error == "E313: rtsp://camera: is away"
        assert not source.ended


def test_the_log_tells_each_reason_once_and_the_return(caplog: pytest.LogCaptureFixture) -> None:
    def one_picture() -> Iterator[Decoded]:
        yield picture(1)

    script = Script(one_picture, lost(), one_picture, lost("E312"), lost(), lost(), steady)
    options = replace(QUICK, healthy_s=0.2)
    with LiveSource("rtsp://camera", script, options) as source:
        wait_for(lambda: any("again, after" in text for text in caplog.messages))
        assert source.status().reconnects == 6
    away = [text.partition(";")[0] for text in caplog.messages[:-1]]
    assert away == [
        "E319: rtsp://camera: the stream ended",
        "E311: rtsp://camera: is away",
        "E312: rtsp://camera: is away",
    ]


def test_a_failure_that_is_raised_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    source = LiveSource("rtsp://camera", Script(lost()), replace(QUICK, retry_base_s=1))
    with pytest.raises(SourceError):
        source.wait_until_tried()
    source._thread.join(5)
    assert caplog.messages == []


def test_a_refused_login_is_not_tried_again_soon() -> None:
    script = Script(lost("E313"))
    with LiveSource("rtsp://camera", script, QUICK) as source:
        wait_for(lambda: source.status().state == "BACKOFF")
        time.sleep(0.5)
        assert script.opened == 1


def test_the_first_failure_is_raised_when_asked_for() -> None:
    source = LiveSource("rtsp://camera", Script(lost("E314")), QUICK)
    with pytest.raises(SourceError) as caught:
        source.wait_until_tried()
    assert caught.value.code == "E314"
    assert source.status().state == "FAILED"
    assert source.ended


def test_a_first_picture_is_enough() -> None:
    with LiveSource("rtsp://camera", Script(steady), QUICK) as source:
        source.wait_until_tried()
        assert source.status().state == "LIVE"


def test_a_slow_reader_gets_the_newest_frame() -> None:
    burst = threading.Event()

    def connection() -> Iterator[Decoded]:
        for value in range(50):
            yield picture(value)
        burst.set()
        time.sleep(5)

    with LiveSource("rtsp://camera", Script(connection), QUICK) as source:
        assert burst.wait(10)
        frame = source.read(1)
        assert frame is not None
        assert (frame.index, frame.pixels[0, 0, 0]) == (49, 49)
        assert source.read(0.05) is None
        status = source.status()
        assert (status.frames, status.dropped) == (50, 49)


def test_silence_is_stale_and_ages_grow() -> None:
    def connection() -> Iterator[Decoded]:
        yield picture()
        time.sleep(1.5)

    with LiveSource("rtsp://camera", Script(connection), QUICK) as source:
        wait_for(lambda: source.status().state == "STALE")
        status = source.status()
        assert status.age_s is not None
        assert status.age_s > 0.2


def test_damaged_pictures_are_counted_and_not_given() -> None:
    connection = [picture(1), None, None, picture(2)]
    with LiveSource("rtsp://camera", Script(lambda: iter(connection), steady), QUICK) as source:
        wait_for(lambda: source.status().frames >= 2)
        assert source.status().corrupt == 2


def test_the_size_may_change() -> None:
    def connection() -> Iterator[Decoded]:
        yield picture(size_hw=(4, 6))
        yield picture(size_hw=(8, 2))
        time.sleep(5)

    with LiveSource("rtsp://camera", Script(connection), QUICK) as source:
        wait_for(lambda: source.status().frames == 2)
        frame = source.read(1)
        assert frame is not None
        assert frame.pixels.shape == (8, 2, 3)
        assert source.status().size_hw == (8, 2)


def test_close_does_not_wait_for_a_native_call() -> None:
    def connection() -> Iterator[Decoded]:
        time.sleep(4)
        yield picture()

    source = LiveSource("rtsp://camera", Script(connection), QUICK)
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 3
    assert source.ended


def test_a_bug_in_the_reader_reaches_who_reads() -> None:
    def connection() -> Iterator[Decoded]:
        yield picture()
        raise ZeroDivisionError

    def read_on(source: LiveSource) -> None:
        for _ in range(200):
            source.read(0.05)

    with LiveSource("rtsp://camera", Script(connection), QUICK) as source:  # noqa: SIM117
        with pytest.raises(ZeroDivisionError):
            read_on(source)


def hang() -> Iterator[Decoded]:
    threading.Event().wait(8)  # a native call that knows no timeout
    yield picture(7)


HASTY = LiveOptions(open_timeout_s=0.1, read_timeout_s=0.1, wedged_s=0.2, retry_base_s=0.05)


def read_until(source: LiveSource, found: Callable[[], object]) -> None:
    def read_and_look() -> object:
        source.read(0.05)
        return found()

    wait_for(read_and_look)


def test_a_reader_that_hangs_is_replaced() -> None:
    with LiveSource("rtsp://camera", Script(hang, steady), HASTY) as source:
        read_until(source, lambda: source.status().state == "LIVE")
        assert source.status().reconnects == 1
        assert source.read(1) is not None


def test_too_many_hanging_readers_end_it() -> None:
    with LiveSource("rtsp://camera", Script(hang), HASTY) as source:  # noqa: SIM117
        with pytest.raises(RuntimeError, match="hang in native calls"):
            read_until(source, lambda: False)
