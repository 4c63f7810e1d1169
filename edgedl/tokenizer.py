"""Texts to token ids and back, as a ``TextSpec`` says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from edgedl.vocab import PAD, SPECIAL, UNK, Vocab

if TYPE_CHECKING:
    from edgedl.spec import TextSpec

_WORD = re.compile(r"\w+|[^\w\s]")


class Tokenizer:
    """Splits texts and looks the pieces up.

    Args:
        spec: How to split.
        vocab: Known pieces; all others become ``<unk>``.
    """

    def __init__(self, spec: TextSpec, vocab: Vocab) -> None:
        self.spec = spec
        self.vocab = vocab
        self._ids = {token: i for i, token in enumerate(vocab.tokens)}

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, neither cut nor padded."""
        return [self._ids.get(piece, UNK) for piece in split(text, self.spec)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids; words are joined by spaces, padding is left out."""
        glue = "" if self.spec.unit == "character" else " "
        return glue.join(self.vocab.tokens[i] for i in ids if i != PAD)

    def padded(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return ids (N, T) of texts, cut or padded on the right to ``spec.length``."""
        out = np.full((len(texts), self.spec.length), PAD, np.int64)
        for row, text in zip(out, texts, strict=True):
            ids = self.encode(text)[: self.spec.length]
            row[: len(ids)] = ids
        return out


def split(text: str, spec: TextSpec) -> list[str]:
    """Return the pieces of a text: its characters, or its words and punctuation marks."""
    text = text.lower() if spec.lower else text
    return list(text) if spec.unit == "character" else _WORD.findall(text)


def build_vocab(
    texts: Iterable[str], spec: TextSpec, min_count: int = 1, max_size: int | None = None
) -> Vocab:
    """Return the pieces of ``texts``, the special tokens first, then in sorted order.

    Args:
        texts: What to learn the pieces from.
        spec: How to split.
        min_count: Rarer pieces are left out.
        max_size: Keep so many of the most frequent pieces; None keeps all.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split(text, spec))
    known = [(-n, piece) for piece, n in counts.items() if n >= min_count and piece not in SPECIAL]
    return Vocab.build(piece for _, piece in sorted(known)[:max_size])
