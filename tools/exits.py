"""How a tool ends: with its exit code, and one line where it is given what it cannot use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from edgedl.errors import EdgedlError


def exit_code(main: Callable[[], int]) -> int:
    """Run a tool's main; say in one line what edgedl refused, and return that error's exit code."""
    try:
        return main()
    except EdgedlError as err:
        print(f"{Path(sys.argv[0]).name}: {err}", file=sys.stderr)
        return err.exit_code
