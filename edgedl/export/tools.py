"""The errors of ONNX and ONNX Runtime, whose exceptions share no base, as one of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edgedl.errors import BundleError, EdgedlError

_MOST = 300  # characters of somebody else's message


@contextlib.contextmanager
def failing_as(what: str) -> Iterator[None]:
    """Turn what a tool raises on a graph that it does not understand into an error of ours.

    Args:
        what: What was to be done, as a sentence begins with it.

    Raises:
        BundleError: E446.
    """
    try:
        yield
    except EdgedlError:
        raise
    except Exception as err:
        msg = f"{what} failed, {type(err).__name__}: {one_line(err)}"
        raise BundleError("E446", msg) from err


def one_line(err: Exception) -> str:
    """Return the message of an error on one line of bounded length."""
    text = " ".join(str(err).split()) or type(err).__name__
    return text if len(text) <= _MOST else text[:_MOST] + "…"
