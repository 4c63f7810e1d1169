"""kornia_rs, the one other package that fuses what comes before a network; where it is there."""

from __future__ import annotations

import importlib.metadata
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgedl.bench.kernels.case import Call
    from edgedl.spec import ImageSpec


def kornia_version() -> str | None:
    """Return the version that is installed, or None."""
    try:
        return importlib.metadata.version("kornia_rs")
    except importlib.metadata.PackageNotFoundError:
        return None


def kornia_call(spec: ImageSpec) -> Call | None:
    """Return its pre-processing of one bgr8 picture, or None where it cannot do that.

    Its values are not compared: it takes means and deviations for those of the other channels.
    """
    if kornia_version() is None or spec.resize != "bilinear" or spec.fit == "crop":
        return None
    os.environ.setdefault("RAYON_NUM_THREADS", "1")  # read when its threads start
    from kornia_rs import Preprocessor

    made = Preprocessor(
        mode=spec.fit, format="bgr", mean=spec.mean, std=spec.std, pad_value=spec.fill
    )
    height, width = spec.size_hw

    def call(frame: Any) -> Any:
        return made.run(frame.reshape(-1), frame.shape[1], frame.shape[0], height, width)

    return call
