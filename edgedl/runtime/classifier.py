"""Says which of its classes a picture shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.runtime.base import Pipeline, RanBy, Result
from edgedl.runtime.lots import Rows, in_lots
from edgedl.runtime.probability import softmax, top
from edgedl.runtime.stages import timed

if TYPE_CHECKING:
    from edgedl.frame import Frame
    from edgedl.runtime.preprocess import FramePreprocessor
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec


class Classifier:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a classification model.
        sessions: ``model``.
        preprocess: Makes a picture the network's input.
    """

    compared: tuple[str, ...] = ("logits",)

    def __init__(
        self,
        spec: ModelSpec,
        sessions: Mapping[str, Session],
        preprocess: FramePreprocessor,
    ) -> None:
        self.spec = spec
        self.session = sessions["model"]
        self.preprocess = preprocess

    def prepare(self, given: Given) -> Array:
        """Return the picture's tensor, (1, C, H, W)."""
        return self.preprocess(given.pictures[0])

    def expect(self, tensor: Array) -> Expected:
        """Return label, probability and logits of one tensor."""
        return label_expected(self.logits(tensor), self.spec.labels)

    def logits(self, tensors: Rows) -> Array:
        """Return (n, K) for any number of pictures (n, C, H, W)."""
        return in_lots(lambda lot: self.session.run({"image": lot})["logits"], tensors)


def label_expected(logits: Array, labels: tuple[str, ...]) -> Expected:
    """Return the answer of any classifier for its logits (1, K)."""
    label, probability = top(softmax(logits[0]), labels, 1)[0]
    return Expected(
        {"label": label, "probability": probability}, {"logits": logits[0].astype(np.float32)}
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelResult(Result):
    """What one picture, clip or text is taken for.

    Attributes:
        label: The likeliest class.
        probability: 0..1.
        top: The likeliest classes with their probabilities, best first.
    """

    label: str
    probability: float
    top: tuple[tuple[str, float], ...]


def label_result(
    logits: Array,
    labels: tuple[str, ...],
    count: int,
    stage_ms: Mapping[str, float],
    ran_by: RanBy,
) -> LabelResult:
    """Return the result of any classifier for its logits (1, K), the ``count`` best classes."""
    best = top(softmax(logits[0]), labels, count)
    label, probability = best[0]
    return LabelResult(
        text=f"{label} {probability:.1%}",
        label=label,
        probability=probability,
        top=best,
        stage_ms=stage_ms,
        **ran_by,
    )


class ClassifierPipeline(Pipeline):
    """Classifies frames with one bundle. Made by ``load``; a context manager.

    Attributes:
        top: How many classes a result lists.
    """

    model: Classifier
    top = 5

    def __call__(self, picture: Frame | Any) -> LabelResult:
        """Classify one picture.

        Args:
            picture: A ``Frame``, or pixels in the ``source_format`` of ``load``.

        Raises:
            UsageError: The pixels do not have the shape or type of their format.
        """
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "preprocess"):
            tensor = self.model.preprocess(picture)
        with timed(stage_ms, "infer"):
            logits = self.model.logits(tensor)
        return label_result(logits, self.model.spec.labels, self.top, stage_ms, self.ran_by)

    def check_fit(self) -> None:
        """Compare the graph with the image spec and the labels."""
        self.check_image(self.model.session)
        self.check_width(self.model.session, "logits", len(self.model.spec.labels), "labels")
