"""Work in threads: all of it, in order, and not far ahead of who takes it."""

import threading

import pytest

from edgedl.data import threads
from edgedl.data.threads import end_if_unwanted, in_threads


def test_results_come_in_the_order_of_the_items(monkeypatch):
    monkeypatch.setattr(threads, "allowed_cores", lambda: 2)
    second_ended = threading.Event()

    def work(item):
        if item == 0:
            assert second_ended.wait(30)
        elif item == 1:
            second_ended.set()
        return item * item

    assert list(in_threads(work, range(20))) == [i * i for i in range(20)]


def test_nothing_to_do():
    assert list(in_threads(str, [])) == []


@pytest.mark.parametrize(("cores", "most"), [(3, 7), (64, 17)])
def test_only_a_few_results_wait(monkeypatch, cores, most):
    monkeypatch.setattr(threads, "allowed_cores", lambda: cores)
    begun = []
    results = in_threads(lambda item: begun.append(item) or item, range(1000))
    assert next(results) == 0
    assert len(begun) <= most
    results.close()
    assert len(begun) <= most


def test_an_error_reaches_who_asks_and_ends_the_work(monkeypatch):
    monkeypatch.setattr(threads, "allowed_cores", lambda: 2)
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            msg = "the fourth"
            raise ValueError(msg)
        return item

    results = in_threads(work, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)
    assert len(begun) <= 8
    assert not list(results)


def test_small_files_are_read_without_threads():
    names = in_threads(lambda _: threading.current_thread().name, range(3), 1000)
    assert set(names) == {threading.current_thread().name}
    assert threading.current_thread().name not in set(
        in_threads(lambda _: threading.current_thread().name, range(3), 100_000)
    )


@pytest.mark.parametrize("how", ["left", "interrupted"])
def test_work_that_asks_ends_when_nobody_waits_for_it(monkeypatch, how):
    """Without asking, the test would not end: threads are waited for."""
    monkeypatch.setattr(threads, "allowed_cores", lambda: 2)
    is_running, ended = threading.Event(), threading.Event()

    def work(item):
        if item == 1:
            is_running.set()
            try:
                while True:
                    end_if_unwanted()
            finally:
                ended.set()
        assert is_running.wait(30)
        if item == 0 and how == "interrupted":
            raise KeyboardInterrupt
        return item

    results = in_threads(work, range(9))
    if how == "left":
        assert next(results) == 0
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            next(results)
    assert ended.is_set()


def test_work_outside_of_threads_is_wanted():
    end_if_unwanted()
