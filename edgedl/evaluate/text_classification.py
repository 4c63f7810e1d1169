"""Rates classifiers of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgedl.bundle import Given
from edgedl.data.labelled_text import LabelledTextOptions, open_labelled_text
from edgedl.evaluate.classification import some
from edgedl.evaluate.labels import rate, translated
from edgedl.options import options_from
from edgedl.tokenizer import Tokenizer
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from edgedl.evaluate.measurement import Measurement
    from edgedl.runtime.model import Model
    from edgedl.runtime.text_classifier import TextClassifier
    from edgedl.spec import ModelSpec


@dataclass(frozen=True)
class TextClassification:
    """Texts with their labels, see ``edgedl.evaluate.evaluation.Evaluation``."""

    split: str
    texts: tuple[str, ...]
    tensors: npt.NDArray[Any]
    truths: npt.NDArray[np.int64]

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> TextClassification:
        """Read and tokenise the texts of a split, ``limit`` of them."""
        assert spec.text is not None
        options = options_from(LabelledTextOptions, data, "[data]")
        opened = open_labelled_text(options)
        texts = opened.splits.get(split)
        if texts is None or not len(texts):
            return cls(split, (), np.zeros((0, spec.text.length), np.int64), np.zeros(0, np.int64))
        if limit is not None:
            texts = texts.take(some(texts.labels, limit))
        truths = translated(texts.labels, opened.labels, spec, str(options.path))
        tokenizer = Tokenizer(spec.text, Vocab(spec.tokens))
        return cls(split, tuple(texts.texts), tokenizer.padded(texts.texts), truths)

    def __len__(self) -> int:
        return len(self.truths)

    def inputs(self, index: int) -> Given:
        """Return a text."""
        return Given(text=self.texts[index])

    def measure(self, model: Model) -> Measurement:
        """Rate a classifier."""
        logits = cast("TextClassifier", model).logits(self.tensors)
        return rate("text-classification", self.split, logits, self.truths)

    def hits(self, measurement: Measurement) -> list[bool]:
        """Return for each text whether its label was right."""
        return [bool(x) for x in np.asarray(measurement.outputs) == self.truths]
