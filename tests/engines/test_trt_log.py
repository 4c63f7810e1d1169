"""One logger, heard by those who listen."""

import types

from edgedl.engines import trt_log
from edgedl.engines.trt_log import captured


def severity(name: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(name=name)


def module(name: str) -> types.SimpleNamespace:
    return types.SimpleNamespace(__name__=name, ILogger=type("ILogger", (), {}))


def test_lines_go_to_those_who_listen_at_the_time() -> None:
    trt = module("of_listeners")
    with captured(trt) as outer:
        outer.logger.log(severity("ERROR"), " one \n")
        with captured(trt) as inner:
            assert inner.logger is outer.logger
            inner.logger.log(severity("WARNING"), "two")
            inner.logger.log(severity("WARNING"), "two")
    outer.logger.log(severity("ERROR"), "nobody listens")
    assert (outer.errors, outer.warnings) == (["one"], ["two"])
    assert (inner.errors, inner.warnings) == ([], ["two"])
    assert str(outer) == "ERROR one\nWARNING two\nWARNING two"


def test_noise_and_chatter_are_not_kept() -> None:
    with captured(module("of_noise")) as heard:
        heard.logger.log(severity("ERROR"), "In catchCudaError at x.cpp (cudaError 35)")
        heard.logger.log(severity("INFO"), "hello")
        heard.logger.log(severity("VERBOSE"), "hello")
    assert heard.lines == []


def test_memory_is_bounded() -> None:
    with captured(module("of_many")) as heard:
        for index in range(2 * trt_log.MAX_LINES):
            heard.logger.log(severity("WARNING"), str(index))
    assert len(heard.lines) == trt_log.MAX_LINES
