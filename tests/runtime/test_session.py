"""The door to the runtimes: what it refuses, in which words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgedl.errors import BundleError, EdgedlError, MissingDependencyError, UsageError
from edgedl.runtime.session import open_session, relative_error


def test_runs_a_file_and_its_bytes_alike(tiny_bundle: Path) -> None:
    path = tiny_bundle / "graphs" / "encoder.fp32.onnx"
    image = np.random.default_rng(0).normal(size=(2, 3, 8, 8)).astype(np.float32)
    outs = [open_session(model).run({"image": image}) for model in (path, path.read_bytes())]
    assert outs[0]["features"].shape == (2, 4, 3)
    np.testing.assert_array_equal(outs[0]["features"], outs[1]["features"])


def test_unknown_backend() -> None:
    with pytest.raises(UsageError, match=r"unknown backend 'onnxruntim'.*did you mean") as caught:
        open_session(b"", backend="onnxruntim")
    assert caught.value.code == "E120"


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_threads(threads: int) -> None:
    with pytest.raises(UsageError, match=f"got {threads}") as caught:
        open_session(b"", threads=threads)
    assert caught.value.code == "E122"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No such file") as caught:
        open_session(tmp_path / "x.onnx")
    assert caught.value.code == "E403"


def test_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "edgedl.runtime.ort_session", raising=False)
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime") as caught:
        open_session(b"", name="x.onnx")
    assert caught.value.exit_code == 5


def test_runs_where_torch_and_onnx_are_missing(tiny_bundle: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "import edgedl, numpy\n"
        "from edgedl.runtime.verify import verify\n"
        f"with edgedl.load({str(tiny_bundle)!r}) as pipeline:\n"
        "    pipeline(numpy.zeros((9, 9, 3), numpy.uint8))\n"
        f"verify({str(tiny_bundle)!r}).check()\n"
        "assert edgedl.Bundle and edgedl.Pipeline\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_relative_error() -> None:
    expected = np.float32([1, -4, 2])
    assert relative_error(expected, expected) == 0
    assert relative_error(np.float32([1, -4, 3]), expected) == 0.25
    assert relative_error(np.float32([1, np.nan, 2]), expected) == np.inf
    assert relative_error(np.float32([1, -4]), expected) == np.inf
    for wrong in (np.nan, np.inf):
        assert relative_error(expected, np.float32([1, wrong, 2])) == np.inf
    assert relative_error(np.float32([0.5]), np.float32([0])) == 0.5
    assert relative_error(np.float32([]), np.float32([])) == 0


def test_errors_are_ours() -> None:
    with pytest.raises(EdgedlError, match="the model is not an ONNX model"):
        open_session(b"hello")
