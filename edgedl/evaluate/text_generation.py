"""Rates language models: how well they foresee a text that they have not read.

The text is read in ``ROWS`` rows at once, each beginning without a state; the first ``WARM_UP``
characters of a row are read, not rated, unless it is the first of the text. One row after the
other would give the same to about a thousandth of a nat, and take ``ROWS`` times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from edgedl.bundle import Given
from edgedl.data.text import TextOptions, open_text
from edgedl.evaluate.measurement import Measurement, with_interval
from edgedl.metrics.interval import block_bootstrap
from edgedl.metrics.sequence import bits, nats, perplexity
from edgedl.options import options_from
from edgedl.tokenizer import Tokenizer
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from edgedl.runtime.model import Model
    from edgedl.runtime.text_generator import TextGenerator
    from edgedl.spec import ModelSpec

ROWS = 64
WARM_UP = 100
PROMPT = 64

_BLOCK = 500  # characters that belong together when chance is estimated
_WRITTEN = 400


@dataclass(frozen=True)
class TextGeneration:
    """One text, see ``edgedl.evaluate.evaluation.Evaluation``; a sample is ``PROMPT`` characters.

    Attributes:
        text: What is foreseen.
        tensors: Its tokens in pieces, (n, PROMPT).
        truths: The token after each piece, (n,).
    """

    split: str
    text: str
    tokens: npt.NDArray[np.int64]
    tokenizer: Tokenizer

    @classmethod
    def open(
        cls, spec: ModelSpec, data: Mapping[str, Any], split: str, limit: int | None
    ) -> TextGeneration:
        """Read a split of a text, its first ``limit`` pieces of ``PROMPT`` characters."""
        assert spec.text is not None
        opened = open_text(options_from(TextOptions, data, "[data]"))
        tokenizer = Tokenizer(spec.text, Vocab(spec.tokens))
        return cls.of(opened.splits.get(split, ""), split, tokenizer, limit)

    @classmethod
    def of(
        cls, text: str, split: str, tokenizer: Tokenizer, limit: int | None = None
    ) -> TextGeneration:
        """Make one of a text."""
        if limit is not None:
            text = text[: limit * PROMPT + 1]
        return cls(split, text, np.array(tokenizer.encode(text), np.int64), tokenizer)

    @property
    def tensors(self) -> npt.NDArray[np.int64]:
        """The tokens in pieces, (n, PROMPT)."""
        return self.tokens[: len(self) * PROMPT].reshape(-1, PROMPT)

    @property
    def truths(self) -> npt.NDArray[np.int64]:
        """The token after each piece, (n,)."""
        return self.tokens[PROMPT::PROMPT][: len(self)]

    def __len__(self) -> int:
        return max(0, len(self.tokens) - 1) // PROMPT

    def inputs(self, index: int) -> Given:
        """Return a piece of the text."""
        return Given(text=self.tokenizer.decode(self.tensors[index]))

    def measure(self, model: Model) -> Measurement:
        """Rate a language model; ``outputs`` is a text that it writes."""
        generator = cast("TextGenerator", model)
        found = foreseen(generator, self.tokens)
        mean = nats(found)
        ends = block_bootstrap(-found, _BLOCK)
        metrics = with_interval("nats_per_char", mean, ends, len(found))
        metrics |= {"bits_per_char": bits(mean), "perplexity": perplexity(mean)}
        return Measurement("text-generation", self.split, len(found), metrics, [])

    def hits(self, measurement: Measurement) -> list[bool]:  # noqa: ARG002 - of the protocol
        """Return nothing: a probability is not right or wrong."""
        return []


def foreseen(
    model: TextGenerator, tokens: npt.NDArray[np.int64], rows: int = ROWS, warm_up: int = WARM_UP
) -> npt.NDArray[np.float64]:
    """Return the log-probability of each token (T,) but the first, in order, (T - 1,).

    Args:
        model: A language model.
        tokens: The text.
        rows: Parts that are read at once; fewer for a short text.
        warm_up: Tokens before its part that each row but the first reads unrated.
    """
    count = len(tokens) - 1
    rows = max(1, min(rows, count // (4 * warm_up) if warm_up else rows))
    length = max(1, -(-count // rows))
    starts = np.arange(0, max(1, count), length)  # rounded up, fewer rows may be all of it
    first = np.maximum(starts - warm_up, 0)
    wide = length + warm_up + 1
    padded = np.concatenate([tokens, np.full(wide, tokens[-1])])
    log_probs = model.log_probs(np.stack([padded[i : i + wide] for i in first]))
    parts = [
        row[start - begin : start - begin + min(length, count - start)]
        for row, start, begin in zip(log_probs, starts, first, strict=True)
    ]
    return np.concatenate(parts)
