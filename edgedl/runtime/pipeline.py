"""Opens a bundle as the pipeline of its kind."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.bundle import Bundle
from edgedl.errors import UsageError
from edgedl.frame import UPRIGHT
from edgedl.runtime.base import Pipeline, Result
from edgedl.runtime.captioner import CaptionPipeline, CaptionResult
from edgedl.runtime.choose import choose
from edgedl.runtime.classifier import ClassifierPipeline, LabelResult
from edgedl.runtime.clip_classifier import ClipPipeline
from edgedl.runtime.model import open_model
from edgedl.runtime.regressor import RegressionResult, RegressorPipeline
from edgedl.runtime.tensor_model import TensorPipeline, TensorResult
from edgedl.runtime.text_classifier import TextClassifierPipeline
from edgedl.runtime.text_generator import TextPipeline, TextResult

if TYPE_CHECKING:
    from edgedl.frame import Mounting, PixelFormat
    from edgedl.spec import Task

__all__ = [
    "CaptionPipeline",
    "CaptionResult",
    "ClassifierPipeline",
    "ClipPipeline",
    "LabelResult",
    "Pipeline",
    "RegressionResult",
    "RegressorPipeline",
    "Result",
    "TensorPipeline",
    "TensorResult",
    "TextClassifierPipeline",
    "TextPipeline",
    "TextResult",
    "load",
]


def load(  # noqa: PLR0913 - the one door: all that can be said of a pipeline is said here
    path: Path | str | Bundle,
    backend: str = "auto",
    precision: str = "auto",
    source_format: PixelFormat = "bgr8",
    threads: int = 1,
    allow_prebuilt_engine: bool = False,
    mounting: Mounting = UPRIGHT,
) -> Any:
    """Open a bundle to work with.

    Args:
        path: The bundle's folder, or an opened bundle.
        backend: ``"auto"``, which is ``"onnxruntime"``, or ``"tensorrt"`` or ``"tensorrt_rtx"``,
            whose engines ``edgedl build`` makes.
        precision: ``auto fp32 fp16 bf16 int8``; auto takes the fastest that kept its quality.
        source_format: Pixel format of bare arrays; a ``Frame`` says its own.
        threads: CPU threads of one inference, >= 1.
        allow_prebuilt_engine: Where none was built here, load the engine that came inside the
            bundle. It is code: only from somebody you trust.
        mounting: How the camera hangs: pictures are rotated, then flipped, before all else.

    Returns:
        The pipeline of the bundle's kind: ``CaptionPipeline``, ``ClassifierPipeline``,
        ``ClipPipeline``, ``TextPipeline``, ``TextClassifierPipeline``, ``RegressorPipeline`` or
        ``TensorPipeline``.

    Raises:
        UsageError: E130 a mounting, for a model that takes no pictures.
        EdgedlError: The bundle, a graph of it, or an argument is wrong; see ``Bundle.open``,
            ``choose`` and ``open_session``.
    """
    bundle = path if isinstance(path, Bundle) else Bundle.open(path)
    if mounting != UPRIGHT and bundle.model_spec.image is None:
        msg = (
            f"a {bundle.manifest.kind} takes no pictures that could be rotated or flipped; "
            "leave the mounting (--rotate, --flip) out"
        )
        raise UsageError("E130", msg)
    choice = choose(bundle.manifest, backend, precision)
    pipelines: dict[Task, type[Pipeline]] = {
        "captioning": CaptionPipeline,
        "classification": ClassifierPipeline,
        "clip-classification": ClipPipeline,
        "text-generation": TextPipeline,
        "text-classification": TextClassifierPipeline,
        "regression": RegressorPipeline,
        "tensor": TensorPipeline,
    }
    spec = bundle.model_spec
    pipeline = pipelines[spec.task](bundle, choice, threads, allow_prebuilt_engine)
    decode = bundle.manifest.decode
    with ExitStack() as opened:
        opened.enter_context(pipeline)
        pipeline.model = open_model(spec, pipeline.sessions, decode, source_format, mounting)
        pipeline.check_fit()
        opened.pop_all()
    return pipeline
