"""Cameras, clips and pictures for the tests of sources."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from servers.processes import CameraProcess, has_rtsp_server, http_camera, rtsp_camera
from videos import gray, write_video


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 frames at 20 per second; frame n is grey of value 8 n."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    return write_video(path, gray(range(0, 240, 8), (48, 64)), rate=20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, told apart by their height, and a file that is none."""
    for name, height in (("b.png", 20), ("a.jpg", 10), ("c.JPG", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((height, 16, 3), 99, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


@pytest.fixture
def real_clip() -> Path:
    root = os.environ.get("EDGEDL_DATA")
    if not root:
        pytest.skip("EDGEDL_DATA names no folder of real data")
    path = Path(root) / "mmaction_video" / "demo" / "demo.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


@pytest.fixture
def rtsp() -> Iterator[CameraProcess]:
    if not has_rtsp_server():
        pytest.skip("the system's Python has no GstRtspServer: see CONTRIBUTING.md")
    camera = rtsp_camera()
    yield camera
    camera.kill()


@pytest.fixture(scope="session")
def http() -> Iterator[CameraProcess]:
    camera = http_camera()
    yield camera
    camera.kill()


class Said(SimpleNamespace):
    """A caption as a pipeline returns it."""

    def to_json(self) -> dict[str, object]:
        return json.loads(json.dumps(vars(self)))


@pytest.fixture
def said() -> Said:
    return Said(
        text="a small red ring",
        log_prob=-0.25,
        stage_ms={"preprocess": 0.1, "encode": 2.0, "decode_text": 1.0},
        backend="onnxruntime",
        precision="fp32",
        model_hash="0123456789ab",
    )
