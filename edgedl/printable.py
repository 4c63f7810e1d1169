"""Text of files and models, made fit for a terminal."""

from __future__ import annotations

import re

# Control characters, line ends of Unicode, and halves of a pair, which no encoding can write.
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def counted(number: int, thing: str) -> str:
    """Return ``1 frame``, ``2 frames``: of words whose plural ends with an s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def escaped(text: str, keep: str = "") -> str:
    r"""Return text with what a terminal would obey written as in Python: ``\n``, ``\x1b``.

    Args:
        text: Anything.
        keep: Characters that stay; without any, the text is on one line.
    """
    return _OBEYED.sub(
        lambda found: found[0] if found[0] in keep else found[0].encode("unicode_escape").decode(),
        text,
    )
