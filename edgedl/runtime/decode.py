"""Search for a caption, one token at a time, outside the graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edgedl import _core
from edgedl.errors import BundleError
from edgedl.runtime.packed_session import PackedSession
from edgedl.runtime.postprocess import softmax_top_k
from edgedl.vocab import BOS, EOS

if TYPE_CHECKING:
    from edgedl.bundle.manifest import DecodeOptions
    from edgedl.runtime.session import Array, Session
    from edgedl.vocab import Vocab


@dataclass(frozen=True, slots=True)
class Decoded:
    """One caption as it came out of the search.

    Attributes:
        text: Its words.
        ids: Its tokens, without ``<bos>`` and ``<eos>``.
        log_prob: Sum of the natural log-probabilities of its tokens and, if it ended, of
            ``<eos>``; <= 0. They are those of softmax in float32, within 1e-6 of the exact ones.
        is_complete: It ended by ``<eos>``, not because it was too long.
        alternatives: Other complete captions that beam search kept, best first.
    """

    text: str
    ids: tuple[int, ...]
    log_prob: float
    is_complete: bool
    alternatives: tuple[Decoded, ...] = ()


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
    if len(features) == 0:
        return []
    say = step.say if isinstance(step, PackedSession) else partial(_say, step)
    tokens, probabilities = say(features, h, c, max_tokens)
    if np.count_nonzero(tokens[-1] < 0):
        raise _not_finite()
    logs = np.log(probabilities, dtype=np.float64)
    captions = []
    for n, row in enumerate(tokens.T):
        ids = tuple(row[row != EOS].tolist())
        is_complete = bool(row[-1] == EOS)
        log_prob = float(logs[: len(ids) + is_complete, n].sum())
        captions.append(Decoded(vocab.decode(ids), ids, log_prob, is_complete))
    return captions


def _say(
    step: Session, features: Array, h: Array, c: Array, max_tokens: int
) -> tuple[Array, Array]:
    """Do what ``PackedSession.say`` does, by any session."""
    rows = len(features)
    token = np.full(rows, BOS, np.int64)
    living, count = np.ones(rows, bool), rows
    tokens: list[Array] = []
    probabilities: list[Array] = []
    while count and len(tokens) < max_tokens:
        out = step.run({"token": token, "h_in": h, "c_in": c, "features": features})
        h, c = out["h_out"], out["c_out"]
        token, probability = most_probable(out["logits"])
        if count < rows:
            token[~living] = EOS
        living = token != EOS
        count = int(np.count_nonzero(living))  # any() takes longer
        tokens.append(token)
        probabilities.append(probability)
    return np.stack(tokens), np.stack(probabilities)


def beam(
    step: Session, features: Array, h: Array, c: Array, vocab: Vocab, options: DecodeOptions
) -> list[Decoded]:
    """Search with several captions beside each other, see ``csrc/kernels/beam_step.h``.

    A complete caption stays among the best until others push it out, and wins in the end if none
    of those became better than it was. The search for a picture ends when all its captions are
    complete, or one of them is that no other can pass any more.

    Args:
        step: Session of the step graph, as for ``greedy``; its rows are the captions of all
            pictures that are not complete.
        features: What the encoder saw, (N, P, D).
        h: Initial state, (N, H).
        c: Initial cell, (N, H).
        vocab: Words of the token ids.
        options: How many captions, how they compete, and what they may not be.

    Returns:
        The best caption of each picture, with the best others that are complete.

    Raises:
        BundleError: E414 the network gives values that are not finite.
    """
    shape = len(features), options.beams
    log_prob, score = np.full(shape, -np.inf), np.full(shape, -np.inf)
    log_prob[:, 0] = 0.0
    tokens = np.zeros((*shape, 0), np.int64)
    is_written = log_prob == 0.0
    found = [_Found(options.beams) for _ in features]
    pictures, seen = np.arange(len(features)), features
    most = _length_penalty(options.max_tokens, options.length_penalty)
    for length in range(1, options.max_tokens + 1):
        if not is_written.any():
            break
        row = np.where(is_written, np.cumsum(is_written).reshape(shape) - 1, -1)
        written = tokens[is_written]
        token = written[:, -1] if length > 1 else np.full(len(written), BOS, np.int64)
        out = step.run({"token": token, "h_in": h, "c_in": c, "features": seen})
        before = tokens, log_prob, score
        parent, token, log_prob, score = _beam_step(
            out["logits"], written, row, log_prob, score, options
        )
        for n in np.nonzero(np.isneginf(log_prob[:, 0]))[0]:
            found[n].add_if_first(*(one[n, 0] for one in before))  # nothing may follow it
        row = np.take_along_axis(row, parent, axis=1)
        tokens = np.take_along_axis(tokens, parent[..., None], axis=1)
        tokens = np.concatenate([tokens, token[..., None]], axis=2)
        is_new = (row >= 0) & (log_prob > -np.inf)
        is_written = is_new & (token != EOS)
        for place in zip(*np.nonzero(is_new & ~is_written), strict=True):
            found[place[0]].add(tokens[place], log_prob[place], score[place])
        reach = np.where(is_written, log_prob, -np.inf).max(axis=1) / most
        is_written &= (np.array([one.best_score for one in found]) <= reach)[:, None]
        h, c = out["h_out"][row[is_written]], out["c_out"][row[is_written]]
        if not np.array_equal(pictures, now := np.nonzero(is_written)[0]):
            pictures, seen = now, features[now]
    for place in zip(*np.nonzero(is_written), strict=True):
        found[place[0]].add(tokens[place], log_prob[place], score[place])
    return [one.best(vocab) for one in found]


class _Found:
    """The best captions of a picture that nothing is added to any more, best first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._captions: list[tuple[float, float, Array]] = []

    @property
    def best_score(self) -> float:
        return self._captions[0][0] if self._captions else -np.inf

    def add(self, tokens: Array, log_prob: float, score: float) -> None:
        self._captions.append((float(score), float(log_prob), tokens))
        self._captions.sort(key=lambda one: -one[0])  # among equals the first one found
        del self._captions[self._most :]

    def add_if_first(self, tokens: Array, log_prob: float, score: float) -> None:
        if not self._captions:
            self.add(tokens, log_prob, score)

    def best(self, vocab: Vocab) -> Decoded:
        """Return the best, with the others that are complete."""
        captions = []
        for _, log_prob, tokens in self._captions:
            ids = tuple(int(i) for i in tokens[tokens != EOS])
            captions.append(Decoded(vocab.decode(ids), ids, log_prob, len(ids) < len(tokens)))
        first, *others = captions
        return replace(first, alternatives=tuple(one for one in others if one.is_complete))


def _length_penalty(tokens: int, alpha: float) -> float:
    """Return lp of Wu et al. 2016, arXiv:1609.08144, equation 14."""
    return float(((5 + tokens) / 6) ** alpha)


def _beam_step(
    logits: Array,
    written: Array,
    row: Array,
    log_prob: Array,
    score: Array,
    options: DecodeOptions,
) -> tuple[Array, Array, Array, Array]:
    """Return parent, token, log-probability and score (N, B) after one more token."""
    length = written.shape[1] + 1
    parent, token = np.empty_like(row), np.empty_like(row)
    grown, new_score = np.empty_like(log_prob), np.empty_like(score)
    _core.beam_step(
        np.ascontiguousarray(logits, np.float32),
        written,
        row,
        log_prob,
        score,
        parent,
        token,
        grown,
        new_score,
        end=EOS,
        no_repeat=options.no_repeat_ngram,
        may_end=length > options.min_tokens,
        penalty=_length_penalty(length, options.length_penalty),
    )
    if (parent < 0).any():
        raise _not_finite()
    return parent, token, grown, new_score


def most_probable(logits: Array) -> tuple[Array, Array]:
    """Return the first largest entry of each row (N, V), and its probability in float32.

    Raises:
        BundleError: E414 the largest logit of a row is not finite, or one is NaN.
    """
    probability, token = softmax_top_k(np.ascontiguousarray(logits, np.float32), 1)
    if np.count_nonzero(token < 0):
        raise _not_finite()
    return token[:, 0], probability[:, 0]


def _not_finite() -> BundleError:
    msg = "self-test failed: expected finite logits, got NaN or infinity; export again"
    return BundleError("E414", msg)
