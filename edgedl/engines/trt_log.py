"""The one logger that TensorRT has in a process, and who listens to it at the moment.

TensorRT keeps the first logger it is given and ignores all later ones, so there is one for each
flavour; whoever wants to know what is said meanwhile listens with ``captured``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger(__name__)

MAX_LINES = 1000
"""So many are kept of one build; a network can warn about each of its layers."""

_ERRORS = ("ERROR", "INTERNAL_ERROR")
_DRIVERLESS_NOISE = "catchCudaError"  # two such lines follow every error where no driver is


@dataclass
class Captured:
    """What TensorRT said.

    Attributes:
        logger: The logger to give to TensorRT.
        lines: Severity and text of warnings and errors.
    """

    logger: Any
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """Return the errors, each once, in order."""
        return list(dict.fromkeys(text for severity, text in self.lines if severity in _ERRORS))

    @property
    def warnings(self) -> list[str]:
        """Return the warnings, each once, in order."""
        return list(dict.fromkeys(text for severity, text in self.lines if severity == "WARNING"))

    def __str__(self) -> str:
        return "\n".join(f"{severity} {text}" for severity, text in self.lines)


_loggers: dict[str, Any] = {}
_listening: list[Captured] = []
_lock = threading.Lock()


@contextmanager
def captured(module: Any) -> Iterator[Captured]:
    """Collect what the TensorRT ``module`` says inside the block.

    Blocks in several threads hear each other's lines: TensorRT does not say to whom it speaks.
    """
    with _lock:
        if module.__name__ not in _loggers:
            _loggers[module.__name__] = _make_logger(module)
        heard = Captured(_loggers[module.__name__])
        _listening.append(heard)
    try:
        yield heard
    finally:
        with _lock:
            _listening[:] = [one for one in _listening if one is not heard]


def _make_logger(module: Any) -> Any:
    class Logger(module.ILogger):  # type: ignore[misc]
        """Tells what it hears to all who listen."""

        def __init__(self) -> None:
            module.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            """Pass one line on; TensorRT calls this, also from threads of its own."""
            if _DRIVERLESS_NOISE in text:
                return
            text = text.strip()
            log.debug("%s %s", severity.name, text)
            if severity.name in (*_ERRORS, "WARNING"):
                for heard in tuple(_listening):
                    if len(heard.lines) < MAX_LINES:
                        heard.lines.append((severity.name, text))

    return Logger()
