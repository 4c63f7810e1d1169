"""The device half runs without torch and onnx; the public names exist."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgedl

WORKSTATION = ("models", "train", "export")
BLOCK = (
    "import sys\n"
    "for name in ('torch', 'torchvision', 'onnx', 'matplotlib'):\n"
    "    sys.modules[name] = None\n"  # makes `import name` raise ModuleNotFoundError
    "import {module}\n"
)


def device_modules() -> list[str]:
    names = [m.name for m in pkgutil.walk_packages(edgedl.__path__, "edgedl.")]
    return [name for name in names if name.split(".")[1] not in (*WORKSTATION, "__main__")]


def test_every_device_module_imports_without_training_frameworks() -> None:
    code = BLOCK.format(module=", ".join(device_modules()))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr


def test_importing_edgedl_imports_nothing_heavy() -> None:
    heavy = ("numpy", "cv2", "av", "torch", "onnxruntime")
    code = f"import edgedl, sys; print(*(name for name in {heavy} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("name", edgedl.__all__)
def test_public_names_exist(name: str) -> None:
    assert getattr(edgedl, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = edgedl.laod  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("command", "needs"), [(["train", "scenes-captioner", "--out", "run"], "edgedl[train]")]
)
def test_a_command_without_its_package_says_how_to_get_it(
    command: list[str], needs: str, tmp_path: Path
) -> None:
    code = BLOCK.format(module="edgedl.cli") + f"sys.exit(edgedl.cli.main({command!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=tmp_path,
    )
    assert done.returncode == 5
    assert done.stderr.startswith("error[E600] ")
    assert needs in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
