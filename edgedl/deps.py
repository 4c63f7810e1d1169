"""Turns a missing optional package into one sentence that says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edgedl.errors import MissingDependencyError

HOW_TO_GET = {
    "torch": "pip install 'edgedl[train]'",
    "matplotlib": "pip install 'edgedl[train]'",
    "onnx": "pip install 'edgedl[export]'",
    "onnxscript": "pip install 'edgedl[export]'",
    "onnxruntime": "pip install onnxruntime",
    "openvino": "pip install 'edgedl[openvino]'",
    "tensorrt_rtx": "pip install 'edgedl[rtx]'",
    "tensorrt": "pip install 'edgedl[tensorrt]' (on a Jetson it comes with JetPack)",
    "cuda": "pip install 'edgedl[cuda]'",
    "pycuda": "pip install 'edgedl[pycuda]'",
    "aiohttp": "pip install 'edgedl[serve]'",
    "av": "pip install av",
    "cv2": "pip install opencv-python-headless",
}


@contextmanager
def explain_missing(doing: str) -> Iterator[None]:
    """Translate a missing optional package inside the block.

    Args:
        doing: What was attempted, as the start of a sentence: ``"serving"``.

    Raises:
        MissingDependencyError: A package named in ``HOW_TO_GET`` is not installed. Any other
            missing module is a bug or a broken install and keeps its traceback.
    """
    try:
        yield
    except ModuleNotFoundError as err:
        package = (err.name or "").partition(".")[0]
        if package not in HOW_TO_GET:
            raise
        msg = f"{doing} needs {package}, which is not installed: {HOW_TO_GET[package]}"
        raise MissingDependencyError("E600", msg) from err
