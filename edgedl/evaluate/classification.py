"""Rates classifiers of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.bundle import Given
from edgedl.data.pictures import Pictures, PicturesOptions, open_pictures
from edgedl.evaluate.labels import rate, translated
from edgedl.evaluate.prepared import Prepared
from edgedl.options import options_from

if TYPE_CHECKING:
    from edgedl.evaluate.measurement import Measurement
    from edgedl.runtime.classifier import Classifier
    from edgedl.runtime.lots import Rows
    from edgedl.runtime.model import Model
    from edgedl.spec import ModelSpec


@dataclass(frozen=True)
class Classification:
    """Pictures with their labels, see ``edgedl.evaluate.evaluation.Evaluation``.

    Attributes:
        sha256: Digest of the whole split, as ``data.json`` of a run has it.
    """

    split: str
    pictures: Pictures
    tensors: Rows
    truths: npt.NDArray[np.int64]
    sha256: str = ""

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> Classification:
        """Read and prepare the pictures of a split, the first ``limit`` of them."""
        assert spec.image is not None
        options = options_from(PicturesOptions, data, "[data]")
        opened = open_pictures(options)
        pictures = opened.splits.get(split)
        if pictures is None or not len(pictures):
            nothing = Pictures(np.zeros((0, 1, 1), np.uint8), np.zeros(0, np.int64), [])
            return cls(split, nothing, np.zeros((0, *spec.image.shape[1:])), nothing.labels)
        if limit is not None:
            pictures = pictures.take(some(pictures.labels, limit))
        truths = translated(pictures.labels, opened.labels, spec, str(options.path))
        tensors = Prepared(spec.image, pictures.pictures)
        return cls(split, pictures, tensors, truths, opened.facts["splits"][split]["sha256"])

    def __len__(self) -> int:
        return len(self.truths)

    @property
    def names(self) -> Sequence[str]:
        """Where each picture comes from."""
        return self.pictures.names

    def inputs(self, index: int) -> Given:
        """Return a picture as a camera would give it."""
        return Given((as_bgr(self.pictures.pictures[index]),))

    def measure(self, model: Model) -> Measurement:
        """Rate a classifier."""
        logits = cast("Classifier", model).logits(self.tensors)
        return rate("classification", self.split, logits, self.truths)

    def hits(self, measurement: Measurement) -> list[bool]:
        """Return for each picture whether its label was right."""
        return [bool(x) for x in np.asarray(measurement.outputs) == self.truths]


def some(samples: Sized, limit: int) -> npt.NDArray[np.int64]:
    """Return the rows of at most ``limit`` samples, spread evenly: files are sorted by class."""
    count = min(limit, len(samples))
    return np.asarray(np.arange(count) * len(samples) // count, np.int64)


def as_bgr(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a picture (H, W), (H, W, 1) or (H, W, 3) as bgr8 (H, W, 3)."""
    if picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), np.uint8)
