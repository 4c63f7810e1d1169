"""Beam search against a search in plain Python, and against all captions there are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from edgedl.bundle.manifest import DecodeOptions
from edgedl.errors import BundleError, ConfigError, UsageError
from edgedl.runtime.captioner import change_search
from edgedl.runtime.decode import beam, greedy
from edgedl.runtime.pipeline import load
from edgedl.vocab import BOS, EOS, Vocab

H = 5
Caption = tuple[int, ...]  # with <eos>, if it is complete


class Step:
    """A step in NumPy whose rows do not influence each other."""

    backend = "numpy"
    inputs = outputs = ()

    def __init__(self, seed: int, words: int = 9, eos_bias: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.vocab = Vocab.build([f"w{i}" for i in range(words)])
        count = len(self.vocab)
        self.words, self.cell = rng.normal(size=(count, H)), rng.normal(size=(H, H))
        self.out, self.bias = rng.normal(size=(H, count)) * 2, np.zeros(count)
        self.bias[EOS] = eos_bias
        self.rows: list[int] = []

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        assert len({len(array) for array in feeds.values()}) == 1
        self.rows.append(len(feeds["token"]))
        c = feeds["c_in"] + self.words[feeds["token"]] + feeds["features"].mean(axis=1)
        h = np.tanh(np.einsum("nh,hk->nk", feeds["h_in"], self.cell) + c)
        logits = np.einsum("nh,hv->nv", h, self.out) + self.bias
        return {"logits": logits.astype(np.float32), "h_out": h, "c_out": c}

    def close(self) -> None:
        pass

    def next_log_probs(self, features: Any, h: Any, c: Any) -> Callable[[Caption], Any]:
        """Return a function from the tokens so far to log-probabilities of the next."""

        def call(tokens: Caption) -> Any:
            state = {"h_in": h[None], "c_in": c[None], "features": features[None]}
            for token in (BOS, *tokens):
                out = self.run({"token": np.array([token]), **state})
                state |= {"h_in": out["h_out"], "c_in": out["c_out"]}
            logits = out["logits"][0].astype(np.float64)
            return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())

        return call


def state(rows: int, seed: int = 0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, 4, H)), rng.normal(size=(rows, H)), rng.normal(size=(rows, H))


def has_repeat(tokens: Caption, n: int) -> bool:
    grams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)]
    return n > 0 and len(set(grams)) < len(grams)


def score(log_prob: float, tokens: Caption, alpha: float) -> float:
    return log_prob / ((5 + len(tokens)) / 6) ** alpha


def plain(
    next_log_probs: Callable[[Caption], Any], options: DecodeOptions
) -> list[tuple[Caption, float]]:
    """Search one caption by the definition, until nothing can change; return all, best first."""

    def best_first(captions: list[tuple[Caption, float]]) -> list[tuple[Caption, float]]:
        return sorted(captions, key=lambda c: -score(c[1], c[0], options.length_penalty))

    found: list[tuple[Caption, float]] = [((), 0.0)]
    ended: dict[Caption, float] = {}
    for _ in range(options.max_tokens):
        more = []
        for tokens, log_prob in found:
            if tokens[-1:] == (EOS,):
                more.append((tokens, log_prob))
                continue
            for token, log in enumerate(next_log_probs(tokens)):
                longer = (*tokens, token)
                is_early = token == EOS and len(tokens) < options.min_tokens
                if not is_early and not has_repeat(longer, options.no_repeat_ngram):
                    more.append((longer, log_prob + log))
        found = best_first(more)[: options.beams]
        ended |= {tokens: log_prob for tokens, log_prob in found if tokens[-1] == EOS}
    return best_first(list((ended | dict(found)).items()))


def told(tokens: Caption) -> tuple[Caption, bool]:
    is_complete = tokens[-1:] == (EOS,)
    return tokens[: len(tokens) - is_complete], is_complete


OPTIONS = [
    {"beams": 1},
    {"beams": 3},
    {"beams": 5, "length_penalty": 0.7},
    {"beams": 4, "no_repeat_ngram": 1},
    {"beams": 4, "no_repeat_ngram": 2, "length_penalty": 1.5},
    {"beams": 3, "min_tokens": 4},
]


@pytest.mark.parametrize("table", OPTIONS, ids=str)
@pytest.mark.parametrize("eos_bias", [-50.0, 0.0, 3.0])
def test_equals_the_definition(table: dict[str, Any], eos_bias: float) -> None:
    options = DecodeOptions(method="beam", max_tokens=6, **table)
    for seed in range(3):
        step = Step(seed, eos_bias=eos_bias)
        features, h, c = state(3, seed)
        for n, decoded in enumerate(beam(step, features, h, c, step.vocab, options)):
            best, *_ = plain(step.next_log_probs(features[n], h[n], c[n]), options)
            assert (decoded.ids, decoded.is_complete) == told(best[0])
            assert decoded.log_prob == pytest.approx(best[1], abs=1e-5)
            assert decoded.text == step.vocab.decode(decoded.ids)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_many_beams_find_the_best_of_all_captions(alpha: float) -> None:
    options = DecodeOptions(method="beam", max_tokens=3, beams=64, length_penalty=alpha)
    for seed in range(4):
        step = Step(seed, words=0)  # 4 tokens: at most 3 + 3 * 3 captions and 3^3 that are cut
        features, h, c = state(1, seed)
        logs = step.next_log_probs(features[0], h[0], c[0])
        everything = []
        for length in range(1, 4):
            for tokens in itertools.product(range(len(step.vocab)), repeat=length):
                if EOS in tokens[:-1] or (length < 3 and tokens[-1] != EOS):
                    continue
                log_prob = sum(logs(tokens[:i])[token] for i, token in enumerate(tokens))
                everything.append((score(log_prob, tokens, alpha), tokens, log_prob))
        best = max(everything)
        (decoded,) = beam(step, features, h, c, step.vocab, options)
        assert (decoded.ids, decoded.is_complete) == told(best[1])
        assert decoded.log_prob == pytest.approx(best[2], abs=1e-5)


@pytest.mark.parametrize("eos_bias", [-50.0, 0.0, 3.0])
def test_one_beam_is_greedy_search(eos_bias: float) -> None:
    for seed in range(6):
        step = Step(seed, eos_bias=eos_bias)
        one = beam(step, *state(5, seed), step.vocab, DecodeOptions(method="beam", max_tokens=7))
        for found, wanted in zip(one, greedy(step, *state(5, seed), step.vocab, 7), strict=True):
            assert (found.text, found.ids) == (wanted.text, wanted.ids)
            assert found.is_complete == wanted.is_complete
            assert found.log_prob == pytest.approx(wanted.log_prob, abs=1e-5)
            assert found.alternatives == ()


def test_pictures_do_not_influence_each_other() -> None:
    step, options = Step(2), DecodeOptions(method="beam", beams=4, max_tokens=9)
    features, h, c = state(6)
    together = beam(step, features, h, c, step.vocab, options)
    for n, decoded in enumerate(together):
        alone = beam(step, *(a[n : n + 1] for a in (features, h, c)), step.vocab, options)
        assert alone[0].ids == decoded.ids
        assert [a.ids for a in alone[0].alternatives] == [a.ids for a in decoded.alternatives]


def test_alternatives_are_other_complete_captions_best_first() -> None:
    step = Step(1, eos_bias=2.0)
    options = DecodeOptions(method="beam", beams=6, max_tokens=12, length_penalty=0.5)
    seen = 0
    for decoded in beam(step, *state(8), step.vocab, options):
        ranked = [
            score(one.log_prob, (*one.ids, EOS), 0.5) for one in (decoded, *decoded.alternatives)
        ]
        assert ranked == sorted(ranked, reverse=True)
        assert all(one.is_complete for one in decoded.alternatives)
        assert len({one.ids for one in (decoded, *decoded.alternatives)}) == len(ranked)
        seen += len(ranked) - 1
    assert seen > 4


class Chain(Step):
    """A step that gives each token the probabilities of what follows it, others share the rest."""

    def __init__(self, follows: dict[str, dict[str, float]], words: int) -> None:
        super().__init__(0, words)
        names = self.vocab.tokens
        self.table = np.empty((len(names), len(names)))
        for token, name in enumerate(names):
            told = follows.get(name, {})
            self.table[token] = (1 - sum(told.values())) / (len(names) - len(told))
            self.table[token, [names.index(n) for n in told]] = list(told.values())

    def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        with np.errstate(divide="ignore"):
            logits = np.log(self.table[feeds["token"]])
        return {**super().run(feeds), "logits": logits.astype(np.float32)}


def test_a_complete_caption_wins_though_others_pushed_it_out() -> None:
    follows = {"<bos>": {"w0": 0.74, "<eos>": 0.25}, "w0": {"w1": 0.49, "w2": 0.49}}
    step = Chain(follows, words=60)
    options = DecodeOptions(method="beam", beams=2, max_tokens=9)
    (found,) = beam(step, *state(1), step.vocab, options)
    assert (found.ids, found.is_complete) == ((), True)
    assert found.log_prob == pytest.approx(math.log(0.25), abs=1e-6)


def test_no_more_captions_are_told_than_there_are_beams() -> None:
    follows = {
        "<bos>": {"w0": 0.7, "<eos>": 0.29}, "w0": {"w1": 0.5, "w2": 0.49},
        "w1": {"<eos>": 0.9}, "w2": {"<eos>": 0.9},
    }  # fmt: skip
    step = Chain(follows, words=60)
    (found,) = beam(step, *state(1), step.vocab, DecodeOptions(method="beam", beams=2))
    assert (found.text, [one.text for one in found.alternatives]) == ("w0 w1", ["w0 w2"])


def test_a_caption_that_nothing_may_follow_is_cut() -> None:
    step = Chain({}, words=0)  # 4 tokens, of which <eos> may not come
    options = DecodeOptions(method="beam", max_tokens=9, no_repeat_ngram=1, min_tokens=9)
    for found in beam(step, *state(2), step.vocab, options):
        assert (sorted(found.ids), found.is_complete) == (sorted({0, 1, 2, 3} - {EOS}), False)
        assert found.log_prob == pytest.approx(3 * math.log(1 / 4), abs=1e-5)
    step.table[BOS] = 0.0
    step.table[BOS, EOS] = 1.0
    (found,) = beam(step, *state(1), step.vocab, options)
    assert (found.ids, found.is_complete, found.log_prob) == ((), False, 0.0)


def test_only_captions_that_go_on_are_run() -> None:
    step = Step(0, eos_bias=100.0)
    found = beam(step, *state(3), step.vocab, DecodeOptions(method="beam", beams=5))
    assert step.rows == [3]  # each begins with one row; <eos> is certain
    assert all(one.is_complete and one.text == "" for one in found)
    assert beam(step, *state(0), step.vocab, DecodeOptions(method="beam", beams=5)) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_an_error(bad: float) -> None:
    step = Step(0)
    step.bias[5] = bad
    with pytest.raises(BundleError, match="finite logits") as caught:
        beam(step, *state(2), step.vocab, DecodeOptions(method="beam", beams=3))
    assert caught.value.code == "E414"


def test_options_become_beam_search_where_they_need_it() -> None:
    plain_options = DecodeOptions(max_tokens=6)
    assert plain_options.changed({"beams": 1}) == plain_options
    wide = plain_options.changed({"beams": 3})
    assert wide == DecodeOptions(method="beam", beams=3, max_tokens=6)
    assert wide.changed({"beams": 1}) == plain_options
    assert plain_options.changed({"no_repeat_ngram": 2}).method == "beam"
    for wrong in ({"beams": 0}, {"beams": 65}, {"length_penalty": math.nan}, {"min_tokens": -1}):
        with pytest.raises(ConfigError, match=rf"decode\.{next(iter(wrong))} must be in"):
            plain_options.changed(wrong)
    with pytest.raises(ConfigError, match=r"decode\.method must be 'beam'"):
        DecodeOptions(beams=3)


def test_a_pipeline_searches_as_it_is_told(tiny_bundle: Any) -> None:
    with load(tiny_bundle, precision="fp32") as pipeline:
        picture = np.zeros((40, 40, 3), np.uint8)
        first = pipeline(picture)
        change_search(pipeline.model, {"beams": 1})
        assert pipeline(picture).text == first.text
        change_search(pipeline.model, {"beams": 5})
        found = pipeline(picture)
        assert found.log_prob >= first.log_prob - 1e-6 or not found.is_complete
        table = found.to_json()
        assert [tuple(one) for one in table["alternatives"]] == list(found.alternatives)
        with pytest.raises(ConfigError, match="beams"):
            change_search(pipeline.model, {"beams": 1000})


def test_other_models_have_nothing_to_search() -> None:
    class Other:
        class spec:  # noqa: N801
            task = "classification"

    change_search(Other(), {})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"--beams changes nothing for a model for classification"):
        change_search(Other(), {"beams": 5})  # type: ignore[arg-type]


@pytest.mark.parametrize(("second", "text"), [(-1.18, ""), (-1.15, "w0")])
def test_the_length_penalty_is_that_of_the_paper(second: float, text: str) -> None:
    """Two tokens win against one of -1 where they have more than -7 / 6."""

    class Fixed(Step):
        def run(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
            out = super().run(feeds)
            count = len(self.vocab)
            rest = (1 - math.exp(-1) - math.exp(second)) / (count - 2)
            first = np.full(count, math.log(rest), np.float32)
            first[EOS], first[self.vocab.tokens.index("w0")] = -1, second
            ends = np.full(count, -50, np.float32)
            ends[EOS] = 0
            out["logits"] = np.stack([first if t == BOS else ends for t in feeds["token"]])
            return out

    step = Fixed(0, words=60)
    options = DecodeOptions(method="beam", beams=3, length_penalty=1)
    assert beam(step, *state(1), step.vocab, options)[0].text == text
