"""Every exception edgedl raises on purpose.

EdgedlError                 a code such as ``E402``, an exit code, one sentence and the next step
├── UsageError        (2)   a command line, option or argument is wrong
├── ConfigError       (2)   a recipe or a value in it is wrong
├── DataError         (3)   training or calibration data cannot be used
├── SourceError       (3)   a camera, stream, file or folder of frames cannot be read
├── BundleError       (4)   a run, bundle or model file is wrong
├── MachineError      (5)   something this machine lacks
│   └── MissingDependencyError    an optional package is not installed
└── IntegrityError    (6)   a file is not what its manifest says, or is not safe to open

The number in brackets is the exit code of the command line; 70 means a bug in edgedl.
Code ranges: E1xx usage, E2xx configuration, E3xx sources and data, E4xx runs, bundles and models,
E6xx environment.
"""

from __future__ import annotations

from edgedl.printable import escaped


class EdgedlError(Exception):
    """Base of all intended errors.

    Attributes:
        code: Stable identifier, e.g. ``"E402"``.
        exit_code: What the command line exits with.
    """

    exit_code = 70

    def __init__(self, code: str, message: str) -> None:
        super().__init__(escaped(message, keep="\n"))
        self.code = code


class UsageError(EdgedlError, ValueError):
    """A command line, option or argument is wrong."""

    exit_code = 2


class ConfigError(EdgedlError, ValueError):
    """A recipe, or a value in it, is wrong."""

    exit_code = 2


class DataError(EdgedlError, ValueError):
    """Training or calibration data cannot be used."""

    exit_code = 3


class SourceError(EdgedlError, OSError):
    """A camera, stream, file or folder of frames cannot be read."""

    exit_code = 3

    def __str__(self) -> str:
        return str(self.args[0])


class BundleError(EdgedlError, ValueError):
    """A run, bundle or model file is wrong."""

    exit_code = 4


class MachineError(EdgedlError, RuntimeError):
    """Something this machine lacks."""

    exit_code = 5


class MissingDependencyError(MachineError, ImportError):
    """An optional package is not installed."""


class IntegrityError(EdgedlError, ValueError):
    """A file is not what its manifest says, or is not safe to open."""

    exit_code = 6
