"""From a trained vision model to a live camera on the device, proved at each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgedl.version import VERSION

__version__ = VERSION
__all__ = ["Bundle", "ImageSpec", "Mounting", "Pipeline", "Preprocessor", "load", "open_source"]

if TYPE_CHECKING:
    from edgedl.bundle import Bundle
    from edgedl.frame import Mounting
    from edgedl.runtime.pipeline import Pipeline, load
    from edgedl.runtime.preprocess import Preprocessor
    from edgedl.spec import ImageSpec
    from edgedl.stream.source import open_source


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that ``import edgedl`` stays light."""
    if name == "Bundle":
        from edgedl.bundle import Bundle

        return Bundle
    if name == "ImageSpec":
        from edgedl.spec import ImageSpec

        return ImageSpec
    if name == "Mounting":
        from edgedl.frame import Mounting

        return Mounting
    if name in ("Pipeline", "load"):
        from edgedl.runtime import pipeline

        return getattr(pipeline, name)
    if name == "Preprocessor":
        from edgedl.runtime.preprocess import Preprocessor

        return Preprocessor
    if name == "open_source":
        from edgedl.stream.source import open_source

        return open_source
    msg = f"module 'edgedl' has no attribute {name!r}"
    raise AttributeError(msg)
