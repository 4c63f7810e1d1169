"""BLEU, ROUGE-L and CIDEr-D of captions.

Sentences are strings of words separated by white space; nothing is lower-cased or stripped of
punctuation here. ``refs`` holds one list of references for each hypothesis.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from edgedl.errors import DataError

Ngram = tuple[str, ...]
References = Sequence[Sequence[str]]

_CIDER_N = 4
_CIDER_SIGMA = 6.0
_ROUGE_BETA = 1.2


def bleu(hyps: Sequence[str], refs: References, n: int = 4) -> tuple[float, ...]:
    """Return BLEU-1 to BLEU-n of the whole corpus (Papineni et al., 2002).

    Clipped n-gram precisions and lengths are summed over the corpus; the reference length of a
    sentence is the closest one, the shorter where two are equally close. There is no smoothing.

    Raises:
        DataError: E352 the lists are empty or of different lengths, or a sentence lacks references.
    """
    _check(hyps, refs)
    matched, made = [0] * n, [0] * n
    hyp_length = ref_length = 0
    for hyp, sentences in zip(hyps, refs, strict=True):
        words, lengths = hyp.split(), [len(sentence.split()) for sentence in sentences]
        hyp_length += len(words)
        ref_length += min(lengths, key=lambda length: (abs(length - len(words)), length))
        for k in range(1, n + 1):
            counts = _ngrams(words, k)
            most: Counter[Ngram] = Counter()
            for sentence in sentences:
                most |= _ngrams(sentence.split(), k)
            matched[k - 1] += (counts & most).total()
            made[k - 1] += counts.total()
    if hyp_length == 0:
        return (0.0,) * n
    penalty = min(1.0, math.exp(1 - ref_length / hyp_length))
    scores, log_sum = [], 0.0
    for k in range(n):
        log_sum += math.log(matched[k] / made[k]) if matched[k] else -math.inf
        scores.append(penalty * math.exp(log_sum / (k + 1)))
    return tuple(scores)


def rouge_l(hyps: Sequence[str], refs: References) -> float:
    """Return the mean ROUGE-L (Lin, 2004), beta = 1.2, as captioning computes it.

    For each sentence the best precision and the best recall over its references are combined.

    Raises:
        DataError: E352 as of ``bleu``.
    """
    _check(hyps, refs)
    total = 0.0
    for hyp, sentences in zip(hyps, refs, strict=True):
        words = hyp.split()
        precision = recall = 0.0
        for sentence in sentences:
            other = sentence.split()
            common = _longest_common(words, other)
            precision = max(precision, common / max(len(words), 1))
            recall = max(recall, common / max(len(other), 1))
        if precision and recall:
            weight = _ROUGE_BETA**2
            total += (1 + weight) * precision * recall / (recall + weight * precision)
    return total / len(hyps)


def cider_d(hyps: Sequence[str], refs: References) -> float:
    """Return the mean CIDEr-D (Vedantam et al., 2015), 0..10.

    Document frequencies come from ``refs``: the number of pictures one of whose references holds
    an n-gram. With a single picture they say nothing and the result is 0.

    Raises:
        DataError: E352 as of ``bleu``.
    """
    _check(hyps, refs)
    counted = [[_all_ngrams(sentence) for sentence in sentences] for sentences in refs]
    frequency: Counter[Ngram] = Counter()
    for sentences in counted:
        frequency.update({gram for counts in sentences for gram in counts})
    log_n = math.log(len(refs))
    total = 0.0
    for hyp, sentences in zip(hyps, counted, strict=True):
        one = _Tfidf(_all_ngrams(hyp), frequency, log_n)
        scores = [one.similarity(_Tfidf(counts, frequency, log_n)) for counts in sentences]
        total += sum(scores) / len(scores)
    return 10.0 * total / len(hyps)


class _Tfidf:
    """TF-IDF vectors of one sentence, one per n-gram length."""

    def __init__(self, counts: Counter[Ngram], frequency: Counter[Ngram], log_n: float) -> None:
        self.vectors: list[dict[Ngram, float]] = [{} for _ in range(_CIDER_N)]
        for gram, count in counts.items():
            weight = log_n - math.log(max(1, frequency[gram]))
            self.vectors[len(gram) - 1][gram] = count * weight
        self.norms = [math.sqrt(sum(w * w for w in v.values())) for v in self.vectors]
        self.length = sum(count for gram, count in counts.items() if len(gram) == 2)

    def similarity(self, ref: _Tfidf) -> float:
        """Return the mean cosine, counts clipped to the reference's, times the length factor."""
        total = 0.0
        for mine, theirs, a, b in zip(
            self.vectors, ref.vectors, self.norms, ref.norms, strict=True
        ):
            if a and b:
                dot = sum(min(w, theirs[g]) * theirs[g] for g, w in mine.items() if g in theirs)
                total += dot / (a * b)
        delta = self.length - ref.length
        return total / _CIDER_N * math.exp(-(delta**2) / (2 * _CIDER_SIGMA**2))


def _ngrams(words: Sequence[str], n: int) -> Counter[Ngram]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def _all_ngrams(sentence: str) -> Counter[Ngram]:
    words = sentence.split()
    counts: Counter[Ngram] = Counter()
    for n in range(1, _CIDER_N + 1):
        counts += _ngrams(words, n)
    return counts


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence."""
    best = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for j, candidate in enumerate(other, start=1):
            longest = diagonal + 1 if word == candidate else max(best[j], best[j - 1])
            diagonal, best[j] = best[j], longest
    return best[-1]


def _check(hyps: Sequence[str], refs: References) -> None:
    if not hyps or len(hyps) != len(refs) or not all(refs):
        msg = (
            "captions are measured against at least one reference each; "
            f"got {len(hyps)} captions, {len(refs)} lists of references"
        )
        raise DataError("E352", msg)
