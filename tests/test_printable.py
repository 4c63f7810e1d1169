"""What a terminal would obey is shown instead."""

from __future__ import annotations

import pytest

from edgedl.errors import SourceError
from edgedl.printable import counted, escaped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a red ring, größer 犬", "a red ring, größer 犬"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x1b[2J\x07\x9b1m\x7f", "\\x1b[2J\\x07\\x9b1m\\x7f"),
        ("a\u2028b\ud800", "a\\u2028b\\ud800"),
    ],
)
def test_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_one_thing_and_many() -> None:
    assert [counted(n, "frame") for n in range(3)] == ["0 frames", "1 frame", "2 frames"]


def test_some_may_stay() -> None:
    assert escaped("a\nb\tc\r\x1b", keep="\n\t") == "a\nb\tc\\r\\x1b"


def test_no_error_moves_a_terminals_cursor() -> None:
    error = SourceError("E311", "rtsp://camera: \x1b[31mgone\n  twice")
    assert str(error) == "rtsp://camera: \\x1b[31mgone\n  twice"
