"""Rates captioners on rendered scenes, of which all right captions are known."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from edgedl.bundle import Given
from edgedl.data.scenes import Scene, Scenes, is_exact, references
from edgedl.errors import DataError, UsageError
from edgedl.evaluate.measurement import Measurement, with_interval
from edgedl.evaluate.prepared import Prepared
from edgedl.metrics.caption import bleu, cider_d
from edgedl.metrics.interval import wilson

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.runtime.captioner import Captioner
    from edgedl.runtime.lots import Rows
    from edgedl.runtime.model import Model
    from edgedl.spec import ImageSpec, ModelSpec


@dataclass(frozen=True)
class Captioning:
    """Pictures of scenes, see ``edgedl.evaluate.evaluation.Evaluation``.

    Attributes:
        frames: bgr8 at camera size.
        references: Five right captions of each.
        lot: Pictures per call of the network; 1 where it quantises activations as they come.
    """

    split: str
    frames: Sequence[U8Image]
    tensors: Rows
    truths: Sequence[Scene]
    references: Sequence[Sequence[str]]
    lot: int = 64

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> Captioning:
        """Render and prepare the scenes of a split, the first ``limit`` of them.

        Raises:
            DataError: E356 other data than scenes, of which not all right captions are known.
            UsageError: E132 no limit for a split that has no end.
        """
        assert spec.image is not None
        if data.get("path"):
            msg = f"{data['path']}: captioners are rated on rendered scenes; leave out --data"
            raise DataError("E356", msg)
        known = data.get(split, limit)
        if known is None:
            msg = f"there is no end of scenes in {split}; say how many: --limit N"
            raise UsageError("E132", msg)
        side = int(data.get("camera_px", 256))
        scenes = Scenes(int(data.get("seed", 1)), cast("Any", split), (side, side))
        count = int(known) if limit is None else min(limit, int(known))
        return cls.of(
            spec.image, split, [(scenes.picture(i), scenes.scene(i)) for i in range(count)]
        )

    @classmethod
    def of(
        cls, spec: ImageSpec, split: str, pictures: Sequence[tuple[U8Image, Scene]]
    ) -> Captioning:
        """Prepare pictures and choose the references of each by its place."""
        frames, scenes = [f for f, _ in pictures], [s for _, s in pictures]
        told = [list(references(scene, random.Random(i))) for i, scene in enumerate(scenes)]
        return cls(split, frames, Prepared(spec, frames), scenes, told)

    def __len__(self) -> int:
        return len(self.truths)

    def inputs(self, index: int) -> Given:
        """Return a picture as a camera would give it."""
        return Given((self.frames[index],))

    def measure(self, model: Model) -> Measurement:
        """Caption all pictures and rate the captions."""
        captioner = cast("Captioner", model)
        texts = [decoded.text for decoded in captioner.captions(self.tensors, self.lot)]
        right = self._right(texts)
        ends = wilson(sum(right), len(right))
        metrics = with_interval("exact", sum(right) / len(right), ends, len(right))
        told = [list(one) for one in self.references]
        metrics |= {"bleu4": bleu(texts, told)[-1], "cider_d": cider_d(texts, told)}
        return Measurement("captioning", self.split, len(texts), metrics, texts)

    def hits(self, measurement: Measurement) -> list[bool]:
        """Return for each caption whether the grammar licenses it for its picture."""
        return self._right(measurement.outputs)

    def _right(self, texts: Sequence[str]) -> list[bool]:
        return [is_exact(text, scene) for text, scene in zip(texts, self.truths, strict=True)]
