"""Says which of its classes a text belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgedl.bundle import Expected, Given
from edgedl.errors import BundleError
from edgedl.runtime.base import Pipeline
from edgedl.runtime.classifier import LabelResult, label_expected, label_result
from edgedl.runtime.lots import in_lots
from edgedl.runtime.stages import timed
from edgedl.tokenizer import Tokenizer
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec


class TextClassifier:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a text-classification model.
        sessions: ``model``.
    """

    compared: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, sessions: Mapping[str, Session]) -> None:
        assert spec.text is not None
        self.spec = spec
        self.session = sessions["model"]
        self.tokenizer = Tokenizer(spec.text, Vocab(spec.tokens))

    def prepare(self, given: Given) -> Array:
        """Return the tokens of a text, (1, T) int64."""
        assert given.text is not None
        return self.tokenizer.padded([given.text])

    def expect(self, tensor: Array) -> Expected:
        """Return label, probability and logits of one text (1, T)."""
        return label_expected(self.logits(tensor), self.spec.labels)

    def logits(self, tokens: Array) -> Array:
        """Return (n, K) for any number of texts (n, T)."""
        return in_lots(lambda lot: self.session.run({"tokens": lot})["logits"], tokens)


class TextClassifierPipeline(Pipeline):
    """Classifies texts with one bundle. Made by ``load``; a context manager.

    Attributes:
        top: How many classes a result lists.
    """

    model: TextClassifier
    top = 5

    def __call__(self, text: str) -> LabelResult:
        """Classify one text; what is longer than the model reads is cut."""
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "tokenize"):
            tokens = self.model.prepare(Given(text=text))
        with timed(stage_ms, "infer"):
            logits = self.model.logits(tokens)
        return label_result(logits, self.model.spec.labels, self.top, stage_ms, self.ran_by)

    def check_fit(self) -> None:
        """Compare the graph with the text spec and the labels."""
        self.check_width(self.model.session, "logits", len(self.model.spec.labels), "labels")
        tokens, length = self.model.session.inputs[0], self.model.tokenizer.spec.length
        if tokens.shape[1] != length:
            msg = f"{self.bundle.path}: expected {length} tokens; got {tokens.shape}"
            raise BundleError("E413", msg)
