"""How far a build is, and how it ends early."""

import signal
import threading
import types

import pytest

from edgedl.engines.progress import Fraction, make_monitor, stoppable

MODULE = types.SimpleNamespace(IProgressMonitor=type("IProgressMonitor", (), {}))


def test_phases_inside_count_as_part_of_a_step() -> None:
    fraction = Fraction()
    fraction.start("build", None, 4)
    assert fraction.step("build", 0) == 1 / 4
    fraction.start("layers", "build", 2)
    assert fraction.step("layers", 0) == 1 / 4 + 1 / 8
    fraction.start("tactics", "layers", 10)
    assert fraction.step("tactics", 4) == pytest.approx(1 / 4 + (1 + 5 / 10) / 8)
    fraction.finish("tactics")
    fraction.finish("layers")
    assert fraction.step("build", 1) == 1 / 2
    assert fraction.finish("build") == 1


def test_it_never_falls_and_never_passes_one() -> None:
    fraction, seen = Fraction(), []
    fraction.start("build", None, 2)
    for name in ("one", "other"):  # both within the first step
        fraction.start(name, "build", 3)
        seen += [fraction.step(name, step) for step in range(5)]
        seen.append(fraction.finish(name))
    seen += [fraction.step("build", 0), fraction.step("build", 9), fraction.finish("build")]
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_unknown_phases_are_no_error() -> None:
    fraction = Fraction()
    assert fraction.step("never begun", 1) == fraction.finish("never begun") == 0


def test_an_exception_is_kept_and_stops_the_build() -> None:
    def stop(_done: float) -> None:
        raise RuntimeError("enough")

    monitor = make_monitor(MODULE, stop)
    monitor.phase_start("build", None, 2)
    assert monitor.step_complete("build", 0) is False
    assert str(monitor.stopped_by) == "enough"


def test_without_a_listener_it_goes_on() -> None:
    monitor = make_monitor(MODULE, None)
    monitor.phase_start("build", None, 2)
    assert monitor.step_complete("build", 0) is True


def test_ctrl_c_stops_at_the_next_step_and_is_nobodys_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    went_on = []

    def build() -> None:
        monitor = make_monitor(MODULE, None)
        with stoppable(monitor):
            signal.raise_signal(signal.SIGINT)  # to this thread, unlike os.kill
            went_on.append(monitor.step_complete("build", 0))

    with pytest.raises(KeyboardInterrupt):
        build()
    assert went_on == [False]
    assert signal.getsignal(signal.SIGINT) is before


def test_what_stopped_a_build_goes_before_what_came_of_it() -> None:
    def build() -> None:
        monitor = make_monitor(MODULE, None)
        with stoppable(monitor):
            monitor.stopped_by = RuntimeError("enough")
            raise ValueError("no engine was built")

    with pytest.raises(RuntimeError, match="enough"):
        build()


def test_another_handler_stays() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable(make_monitor(MODULE, None)):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_build_too() -> None:
    seen = []

    def build() -> None:
        with stoppable(make_monitor(MODULE, None)):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=build)
    thread.start()
    thread.join(timeout=10)
    assert seen == [signal.getsignal(signal.SIGINT)]
