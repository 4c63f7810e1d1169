"""Scripts of ``tools``: run as a command, or loaded as modules, which is quicker."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def run_tool(name: str, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / name, *words]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, timeout=120
    )


@contextmanager
def as_a_script() -> Iterator[None]:
    """Find modules as a script in ``tools`` does; leave no compiled file and no module behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.syspath_prepend(str(TOOLS))
        yield
        for name, module in list(sys.modules.items()):
            if TOOLS in Path(getattr(module, "__file__", None) or "/").parents:
                del sys.modules[name]


def load_tool(name: str) -> Any:
    """Return a new module; to be called in ``as_a_script``."""
    path = next(path for path in (TOOLS / name, TOOLS / f"{name}.py") if path.is_file())
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module
