"""Rates classifiers of clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgedl.bundle import Given
from edgedl.data.clips import Clips, ClipsOptions, open_clips
from edgedl.evaluate.classification import as_bgr, some
from edgedl.evaluate.labels import rate, translated
from edgedl.evaluate.prepared import Prepared
from edgedl.options import options_from

if TYPE_CHECKING:
    from edgedl.evaluate.measurement import Measurement
    from edgedl.runtime.clip_classifier import ClipClassifier
    from edgedl.runtime.model import Model
    from edgedl.spec import ModelSpec

_AT_ONCE = 64


@dataclass(frozen=True)
class ClipClassification:
    """Clips with their labels, see ``edgedl.evaluate.evaluation.Evaluation``.

    Only what the network gets is kept: the clips themselves, at camera size, are made or decoded
    again where they are shown.

    Attributes:
        clips: Of the split, None where there is no such split.
        rows: Which of them, (n,).
        tensors: (n, T, C, H, W).
    """

    split: str
    clips: Clips | None
    rows: npt.NDArray[np.int64]
    tensors: npt.NDArray[Any]
    truths: npt.NDArray[np.int64]

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> ClipClassification:
        """Read or make, and prepare, the clips of a split, ``limit`` of them."""
        assert spec.image is not None
        assert spec.clip is not None
        options = options_from(ClipsOptions, data, "[data]")
        opened = open_clips(options)
        clips, shape = opened.splits.get(split), (spec.clip.frames, *spec.image.shape[1:])
        if clips is None or not len(clips):
            none = np.zeros(0, np.int64)
            return cls(split, None, none, np.zeros((0, *shape), spec.image.dtype), none)
        rows = some(clips, len(clips) if limit is None else limit)
        tensors = np.empty((len(rows), *shape), spec.image.dtype)
        image = spec.image
        made = clips.take(rows).each(lambda clip: Prepared(image, clip)[:])
        for index, tensor in enumerate(made):
            tensors[index] = tensor
        truths = translated(clips.labels[rows], opened.labels, spec, str(options.path))
        return cls(split, clips, rows, tensors, truths)

    def __len__(self) -> int:
        return len(self.truths)

    def inputs(self, index: int) -> Given:
        """Return the frames of a clip as a camera would give them."""
        assert self.clips is not None
        clip = self.clips.clip(int(self.rows[index]))
        return Given(tuple(as_bgr(frame) for frame in clip))

    def measure(self, model: Model) -> Measurement:
        """Rate a classifier."""
        lots = range(0, len(self), _AT_ONCE)
        reader = cast("ClipClassifier", model)
        logits = [reader.clip_logits(self.tensors[i : i + _AT_ONCE]) for i in lots]
        return rate("clip-classification", self.split, np.concatenate(logits), self.truths)

    def hits(self, measurement: Measurement) -> list[bool]:
        """Return for each clip whether its label was right."""
        return [bool(x) for x in np.asarray(measurement.outputs) == self.truths]
