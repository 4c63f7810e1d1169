"""What export asks of a captioner's run: pictures as its camera sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedl.data.scenes import Scene, Scenes, Split
from edgedl.train.captioning import MAX_TOKENS

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.train.run_folder import Run

__all__ = ["MAX_TOKENS", "calibration_frames", "held_out"]


def calibration_frames(run: Run, n: int) -> list[U8Image]:
    """Return ``n`` pictures of the split ``train`` as the camera sees them, bgr8 (H, W, 3)."""
    scenes = _scenes(run, "train")
    return [scenes.picture(i) for i in range(n)]


def held_out(run: Run, n: int) -> list[tuple[U8Image, Scene]]:
    """Return ``n`` pictures of the split ``test`` as the camera sees them, with their scenes."""
    scenes = _scenes(run, "test")
    return [(scenes.picture(i), scenes.scene(i)) for i in range(n)]


def _scenes(run: Run, split: Split) -> Scenes:
    data = run.recipe["data"]
    return Scenes(data["seed"], split, (data["camera_px"], data["camera_px"]))
