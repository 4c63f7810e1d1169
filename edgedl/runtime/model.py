"""What every kind of model offers, whatever runs its graphs, and the door to the kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from edgedl.frame import UPRIGHT
from edgedl.runtime.captioner import Captioner
from edgedl.runtime.classifier import Classifier
from edgedl.runtime.clip_classifier import ClipClassifier
from edgedl.runtime.lots import any_rows
from edgedl.runtime.preprocess import FramePreprocessor
from edgedl.runtime.regressor import Regressor
from edgedl.runtime.tensor_model import TensorModel
from edgedl.runtime.text_classifier import TextClassifier
from edgedl.runtime.text_generator import TextGenerator

if TYPE_CHECKING:
    from edgedl.bundle import Expected, Given
    from edgedl.bundle.manifest import DecodeOptions
    from edgedl.frame import Mounting, PixelFormat
    from edgedl.runtime.session import Session
    from edgedl.spec import ModelSpec, Task


class Model(Protocol):
    """A kind of model over its sessions: from what a user hands in to the answer.

    Attributes:
        spec: How it is fed and read.
        compared: Names of the outputs whose error is bounded when machines are compared.
    """

    spec: ModelSpec
    compared: tuple[str, ...]

    def prepare(self, given: Given) -> Any:
        """Return what the network gets for one sample: an array with batch axis 1.

        Of a tensor model it is a table of arrays, input name to array.
        """
        ...

    def expect(self, tensor: Any) -> Expected:
        """Return the answer to one prepared sample, and the arrays behind it."""
        ...


def open_model(
    spec: ModelSpec,
    sessions: Mapping[str, Session],
    decode: DecodeOptions | None = None,
    source_format: PixelFormat = "bgr8",
    mounting: Mounting = UPRIGHT,
) -> Model:
    """Put a model together.

    Args:
        spec: How it is fed and read.
        sessions: Role to session, one for each of ``spec.roles``; those that take few samples at
            once get them in turn.
        decode: How captions are searched; for captioning only.
        source_format: Pixel format of bare arrays, where pictures go in.
        mounting: How the camera hangs that the pictures come from.
    """
    preprocess = FramePreprocessor(spec.image, source_format, mounting) if spec.image else None
    if spec.task == "tensor":  # whose first axes may mean anything; it goes sample by sample
        return TensorModel(spec, sessions, preprocess)
    sessions = {role: any_rows(session) for role, session in sessions.items()}
    if preprocess is not None:
        if spec.task == "captioning":
            return Captioner(spec, sessions, preprocess, decode)
        if spec.task == "classification":
            return Classifier(spec, sessions, preprocess)
        return ClipClassifier(spec, sessions, preprocess)
    kinds: dict[Task, type[TextGenerator | TextClassifier | Regressor]] = {
        "text-generation": TextGenerator,
        "text-classification": TextClassifier,
        "regression": Regressor,
    }
    return kinds[spec.task](spec, sessions)
