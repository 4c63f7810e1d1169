"""Writes text, one token after another; its state is what it has read and written so far."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.errors import UsageError
from edgedl.runtime.base import Pipeline, Result
from edgedl.runtime.probability import log_softmax
from edgedl.runtime.stages import timed
from edgedl.tokenizer import Tokenizer
from edgedl.vocab import SPECIAL, Vocab

if TYPE_CHECKING:
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec

State = dict[str, "Array"]

EXPECTED_LENGTH = 16
"""Tokens of the greedy continuation that a golden sample keeps."""


class TextGenerator:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a text-generation model.
        sessions: ``step``.
    """

    compared: tuple[str, ...] = ("logits",)

    def __init__(self, spec: ModelSpec, sessions: Mapping[str, Session]) -> None:
        assert spec.text is not None
        self.spec = spec
        self.session = sessions["step"]
        self.tokenizer = Tokenizer(spec.text, Vocab(spec.tokens))
        states = [s for s in self.session.inputs if s.name != "token"]
        self._shapes = {s.name: tuple(map(int, s.shape[1:])) for s in states}

    def prepare(self, given: Given) -> Array:
        """Return the tokens of a text's beginning, (1, T) int64."""
        assert given.text is not None
        return np.array([self.tokenizer.encode(given.text)], np.int64)

    def expect(self, tensor: Array) -> Expected:
        """Return the likeliest continuation of tokens (1, T), and the logits after them."""
        state = self.start(1)
        for token in tensor.T:
            logits, state = self.step(token, state)
        after = logits[0].astype(np.float32)
        ids: list[int] = []
        for _ in range(EXPECTED_LENGTH):
            ids.append(int(logits[0, len(SPECIAL) :].argmax()) + len(SPECIAL))
            logits, state = self.step(np.array(ids[-1:], np.int64), state)
        return Expected({"text": self.tokenizer.decode(ids)}, {"logits": after})

    def start(self, rows: int) -> State:
        """Return the state before anything was read: zeros, (rows, L, H) each."""
        return {name: np.zeros((rows, *shape), np.float32) for name, shape in self._shapes.items()}

    def step(self, tokens: Array, state: State) -> tuple[Array, State]:
        """Read one token in each row (N,); return logits of the next (N, V), and the new state."""
        out = self.session.run({"token": tokens, **state})
        return out["logits"], {name: out[name.replace("_in", "_out")] for name in state}

    def log_probs(self, tokens: Array) -> Array:
        """Return the natural log of the probability of each token but the first.

        Args:
            tokens: (N, T + 1) int64; each row begins without a state.

        Returns:
            (N, T) float64.
        """
        state = self.start(len(tokens))
        rows = np.arange(len(tokens))
        found = np.empty((len(tokens), tokens.shape[1] - 1))
        for t in range(found.shape[1]):
            logits, state = self.step(tokens[:, t], state)
            found[:, t] = log_softmax(logits)[rows, tokens[:, t + 1]]
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResult(Result):
    """A text that was written.

    Its ``text`` is what was written, with its line ends.

    Attributes:
        prompt: What it goes on from.
        log_prob: Sum of the natural logs of its tokens' probabilities under the model, without
            temperature; <= 0.
        tokens: How many.
    """

    prompt: str
    log_prob: float
    tokens: int


class TextPipeline(Pipeline):
    """Writes text with one bundle. Made by ``load``; a context manager.

    It goes on from what it read and wrote before, until ``reset``.

    Attributes:
        log_prob: Of the tokens written since ``reset``.
        tokens: How many were written since ``reset``.
    """

    model: TextGenerator

    def reset(self) -> None:
        """Forget everything that was read and written."""
        self._state = self.model.start(1)
        self._logits: Array | None = None
        self.log_prob, self.tokens = 0.0, 0

    def read(self, text: str) -> None:
        """Read a text without writing."""
        for token in self.model.tokenizer.encode(text):
            self._logits, self._state = self.model.step(np.array([token], np.int64), self._state)

    def write(
        self, length: int, temperature: float = 1.0, top_k: int = 0, seed: int = 1
    ) -> Iterator[str]:
        """Write ``length`` tokens; yields them one by one.

        Args:
            length: >= 1.
            temperature: Logits are divided by it; 0 takes the likeliest token each time.
            top_k: Draw from so many of the likeliest tokens only; 0: from all.
            seed: Of the draws, >= 0.

        Raises:
            UsageError: E122 a value is out of range; said at once, before anything is read.
        """
        if length < 1 or not 0 <= temperature <= 100 or top_k < 0 or seed < 0:
            msg = (
                "[write] length must be >= 1, temperature in 0..100, top_k >= 0, seed >= 0; "
                f"got {length}, {temperature:g}, {top_k}, {seed}"
            )
            raise UsageError("E122", msg)
        return self._write(length, temperature, top_k, np.random.default_rng(seed))

    def _write(
        self, length: int, temperature: float, top_k: int, rng: np.random.Generator
    ) -> Iterator[str]:
        if self._logits is None:
            self.read("\n" if self.model.tokenizer.spec.unit == "character" else ".")
        for _ in range(length):
            assert self._logits is not None
            logs = log_softmax(self._logits[0, len(SPECIAL) :])
            index = draw(logs, temperature, top_k, rng)
            self.log_prob, self.tokens = self.log_prob + float(logs[index]), self.tokens + 1
            token = index + len(SPECIAL)
            self._logits, self._state = self.model.step(np.array([token], np.int64), self._state)
            glue = "" if self.model.tokenizer.spec.unit == "character" else " "
            yield glue + self.model.spec.tokens[token]

    def __call__(
        self,
        prompt: str,
        length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        seed: int = 1,
    ) -> TextResult:
        """Read ``prompt`` and go on writing; see ``write``."""
        pieces = self.write(length, temperature, top_k, seed)
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "read"):
            self.read(prompt)
        before, count = self.log_prob, self.tokens
        with timed(stage_ms, "write"):
            text = "".join(pieces)
        return TextResult(
            text=text,
            prompt=prompt,
            log_prob=self.log_prob - before,
            tokens=self.tokens - count,
            stage_ms=stage_ms,
            **self.ran_by,
        )

    def check_fit(self) -> None:
        """Compare the graph with the vocabulary."""
        self.check_width(self.model.session, "logits", len(self.model.spec.tokens), "tokens")
        self.reset()


def draw(logs: Array, temperature: float, top_k: int, rng: np.random.Generator) -> int:
    """Return an index drawn from log-probabilities (V,).

    Args:
        logs: Natural logs.
        temperature: Logs are divided by it; 0 takes the largest.
        top_k: Only so many of the largest take part, the first among equals; 0: all.
        rng: Source of chance.
    """
    if temperature == 0 or top_k == 1:
        return int(logs.argmax())
    scaled = logs / temperature
    if 0 < top_k < len(scaled):
        scaled[np.argsort(-scaled, kind="stable")[top_k:]] = -np.inf
    return int((scaled + rng.gumbel(size=len(scaled))).argmax())  # draws by probability
