"""Search for a caption, one token at a time, outside the graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedl.errors import BundleError
from edgedl.vocab import BOS, EOS

if TYPE_CHECKING:
    from edgedl.runtime.session import Array, Session
    from edgedl.vocab import Vocab


@dataclass(frozen=True, slots=True)
class Decoded:
    """One caption as it came out of the search.

    Attributes:
        text: Its words.
        ids: Its tokens, without ``<bos>`` and ``<eos>``.
        log_prob: Sum of the natural log-probabilities of its tokens and, if it ended, of
            ``<eos>``; <= 0.
        is_complete: It ended by ``<eos>``, not because it was too long.
    """

    text: str
    ids: tuple[int, ...]
    log_prob: float
    is_complete: bool


def greedy(
    step: Session, features: Array, h: Array, c: Array, vocab: Vocab, max_tokens: int
) -> list[Decoded]:
    """Take the most probable token each time, the lowest id among equals.

    Args:
        step: Session of the step graph: ``token`` (N,), ``h_in``, ``c_in`` (N, H), ``features``
            (N, P, D) in; ``logits`` (N, V), ``h_out``, ``c_out`` out.
        features: What the encoder saw, (N, P, D).
        h: Initial state, (N, H).
        c: Initial cell, (N, H).
        vocab: Words of the token ids.
        max_tokens: Tokens of a caption at most, ``<eos>`` included.

    Returns:
        One caption per row. Rows that have ended wait for the others.

    Raises:
        BundleError: E414 the network gives values that are not finite.
    """
    rows = len(features)
    token = np.full(rows, BOS, np.int64)
    log_prob = np.zeros(rows)
    living = np.ones(rows, bool)
    tokens: list[Array] = []
    for _ in range(max_tokens):
        if not living.any():
            break
        out = step.run({"token": token, "h_in": h, "c_in": c, "features": features})
        h, c = out["h_out"], out["c_out"]
        token, token_log_prob = most_probable(out["logits"])
        token = np.where(living, token, EOS)
        log_prob += np.where(living, token_log_prob, 0.0)
        living &= token != EOS
        tokens.append(token)
    columns = np.stack(tokens, axis=1) if tokens else np.zeros((rows, 0), np.int64)
    captions = [tuple(int(i) for i in row[row != EOS]) for row in columns]
    return [
        Decoded(vocab.decode(ids), ids, float(log_prob[n]), not living[n])
        for n, ids in enumerate(captions)
    ]


def most_probable(logits: Array) -> tuple[Array, Array]:
    """Return the first largest entry of each row (N, V), and the log of its probability.

    The log-probability is ``-log Σ exp(logits - max)`` in float64, which no logit can overflow.

    Raises:
        BundleError: E414 the largest logit of a row is not finite, or one is NaN.
    """
    token = logits.argmax(axis=1)
    largest = np.take_along_axis(logits, token[:, None], axis=1).astype(np.float64)
    if not np.isfinite(largest).all():  # argmax finds a NaN before any number
        msg = "self-test failed: expected finite logits, got NaN or infinity; export again"
        raise BundleError("E414", msg)
    return token, -np.log(np.exp(logits - largest).sum(axis=1))
