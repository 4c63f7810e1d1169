"""Around tools for models: what they raise and print, and what of theirs is a pickle."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

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


@contextlib.contextmanager
def keeping_quiet() -> Iterator[None]:
    """Keep prints, advice and deprecation notices of PyTorch's exporter away from the user."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def one_line(err: Exception) -> str:
    """Return the message of an error on one line of bounded length."""
    text = " ".join(str(err).split()) or type(err).__name__
    return text if len(text) <= _MOST else text[:_MOST] + "…"


def pickled(path: Path, what: str) -> BundleError:
    """Return the error E450 of a file that is a pickle, or holds one, and the mend."""
    msg = (
        f"{path} {what}, and a pickle may run any code when it is opened, so it is not; where the "
        "network was made, write instead: torch.export.save(torch.export.export(network.eval(), "
        "(example,)), 'model.pt2')"
    )
    return BundleError("E450", msg)
