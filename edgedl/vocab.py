"""Words to ids and back; names of classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedl.errors import BundleError

PAD, BOS, EOS, UNK = 0, 1, 2, 3
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


@dataclass(frozen=True)
class Vocab:
    """A fixed list of tokens; the first four are ``<pad> <bos> <eos> <unk>``.

    Attributes:
        tokens: All tokens, their index is their id.

    Raises:
        BundleError: E416 when special tokens are missing, a token is empty, or one occurs twice.
    """

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.tokens[:4] != SPECIAL:
            msg = f"vocabulary must start with {' '.join(SPECIAL)}; got {self.tokens[:4]}"
            raise BundleError("E416", msg)
        if len(set(self.tokens)) != len(self.tokens) or not all(self.tokens):
            msg = "vocabulary must hold each token once and none empty"
            raise BundleError("E416", msg)
        object.__setattr__(self, "_ids", {token: i for i, token in enumerate(self.tokens)})

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def build(cls, words: Iterable[str]) -> Vocab:
        """Make a vocabulary of the distinct words in sorted order, after the special tokens."""
        return cls((*SPECIAL, *sorted(set(words) - set(SPECIAL))))

    def encode(self, sentence: str) -> list[int]:
        """Return the ids of a space-separated sentence, without ``<bos>`` and ``<eos>``."""
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]
        return [ids.get(word, UNK) for word in sentence.split()]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the sentence of ``ids`` up to the first ``<eos>``, special tokens left out."""
        words: list[str] = []
        for i in ids:
            if i == EOS:
                break
            if i >= len(SPECIAL) or i == UNK:
                words.append(self.tokens[i])
        return " ".join(words)

    def to_json(self) -> str:
        """Return the text of ``vocab.json``."""
        return json.dumps({"tokens": list(self.tokens)}, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def parse(cls, raw: bytes, where: str = "vocab.json") -> Vocab:
        """Read the bytes of ``vocab.json``.

        Raises:
            BundleError: E416 when they are not a vocabulary.
        """
        try:
            tokens = json.loads(raw.decode())["tokens"]
            if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens):
                raise TypeError(tokens)
            "".join(tokens).encode()  # half of a pair of UTF-16 can never be shown
        except (ValueError, KeyError, TypeError, RecursionError) as err:
            msg = f"{where} is not a vocabulary: a JSON object with a list 'tokens' is expected"
            raise BundleError("E416", msg) from err
        return cls(tuple(tokens))

    @classmethod
    def open(cls, path: Path) -> Vocab:
        """Read ``vocab.json``.

        Raises:
            BundleError: E416 when the file is not there or not a vocabulary.
        """
        try:
            return cls.parse(path.read_bytes(), str(path))
        except OSError as err:
            msg = f"{path} cannot be read: {err.strerror}"
            raise BundleError("E416", msg) from err


def labels_json(labels: Sequence[str]) -> str:
    """Return the text of ``labels.json``."""
    return json.dumps({"labels": list(labels)}, ensure_ascii=False, indent=0) + "\n"


def parse_labels(raw: bytes, where: str = "labels.json") -> tuple[str, ...]:
    """Read the bytes of ``labels.json``.

    Raises:
        BundleError: E416 they are no list of at least two different names that can be printed.
    """
    try:
        labels = json.loads(raw.decode())["labels"]
        if not isinstance(labels, list) or not all(isinstance(t, str) and t for t in labels):
            raise TypeError(labels)
        if len(labels) < 2 or len(set(labels)) != len(labels):
            raise ValueError(labels)
        if not all(label.isprintable() for label in labels):
            raise ValueError(labels)
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        msg = (
            f"{where}: a JSON object with a list 'labels' of at least two different names "
            "without control characters expected"
        )
        raise BundleError("E416", msg) from err
    return tuple(labels)
