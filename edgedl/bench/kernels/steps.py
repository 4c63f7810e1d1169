"""A captioner's step with int8 weights; ``tools/packed_step`` compares it with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from edgedl import _core
from edgedl.bench.kernels.case import Array, Case, Contender, Trial, enough, within

NUMPY = "NumPy"
_SCALE = np.float32(1e-3)  # of a weight's integers
_Step = tuple[Array, Array, Array, Array]
"""What a step takes: token (1,), h (1, H), c (1, H), features (1, P, S + A)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sizes:
    tokens: int
    embedding: int
    hidden: int
    attention: int
    seen: int
    positions: int


_SMALL = _Sizes(tokens=37, embedding=64, hidden=128, attention=64, seen=96, positions=64)
_LARGE = _Sizes(tokens=10_000, embedding=512, hidden=512, attention=512, seen=512, positions=49)


def step_cases() -> list[Case]:
    """Return the cases of ``lstm_step``."""
    return [_case("small", _SMALL), _case("large", _LARGE)]


def _case(name: str, sizes: _Sizes) -> Case:
    depth = sizes.seen + sizes.attention
    return Case(
        name=f"lstm-step/{name}",
        what=f"{sizes.hidden} wide, {sizes.tokens} words, {sizes.positions}×{depth} features, int8",
        checked_against="NumPy, int8 weights and activations: logits within 0.01",
        make=partial(_lstm_step, sizes),
    )


def _lstm_step(sizes: _Sizes, set_mib: int) -> Trial:
    rng = np.random.default_rng(12)
    net = _Net(sizes, rng)
    step = net.step()
    outs = [np.empty((1, width), np.float32) for width in (sizes.tokens, *[sizes.hidden] * 2)]

    def ours(given: _Step) -> Array:
        step.run(*given, *outs)
        return outs[0]

    def inputs(_index: int) -> _Step:
        token = rng.integers(0, sizes.tokens, 1)
        h, c = (rng.uniform(-1, 1, (1, sizes.hidden)).astype(np.float32) for _ in range(2))
        depth = sizes.seen + sizes.attention
        return token, h, c, rng.normal(0, 0.5, (1, sizes.positions, depth)).astype(np.float32)

    given = inputs(0)
    return Trial(
        inputs=enough(given[-1], inputs, set_mib),
        ours=Contender(ours, within(net.logits, 0.01)),
        others={NUMPY: Contender(net.logits)},
        bytes=sum(weight.nbytes for weight in net.weights.values()) + given[-1].nbytes,
    )


class _Net:
    """A step's weights, at random."""

    def __init__(self, sizes: _Sizes, rng: np.random.Generator) -> None:
        word, seen, hidden = sizes.embedding, sizes.seen, sizes.hidden
        shapes = {
            "query": (word + hidden, sizes.attention),
            "gates": (word + seen + hidden, 4 * hidden),
            "logits": (hidden, sizes.tokens),
        }
        self.sizes = sizes
        self.words = rng.normal(0, 0.5, (sizes.tokens, word)).astype(np.float32)
        self.score = rng.normal(0, 0.1, sizes.attention).astype(np.float32)
        self.weights: Mapping[str, Array] = {
            name: rng.integers(-127, 128, shape, np.int8) for name, shape in shapes.items()
        }
        self.wide = {name: weight.astype(np.int32) for name, weight in self.weights.items()}
        self.biases = {
            name: rng.normal(0, 0.1, shape[1]).astype(np.float32) for name, shape in shapes.items()
        }

    def step(self) -> _core.LstmStep:
        """Return the kernel's step."""
        products = {
            name: (_packed(weight), self.biases[name], float(_SCALE))
            for name, weight in self.weights.items()
        }
        return _core.LstmStep(
            positions=self.sizes.positions,
            seen=self.sizes.seen,
            words=self.words,
            score=self.score,
            **products,
        )

    def logits(self, given: _Step) -> Array:
        """Return the logits as NumPy computes them; see ``csrc/kernels/lstm_step.h``."""
        token, (h,), (c,), (features,) = given
        word = self.words[token[0]]
        seen, keys = np.split(features, [self.sizes.seen], axis=1)
        query = self._product("query", np.concatenate([word, h]))
        energy = np.tanh(keys + query) @ self.score
        fit = np.exp(energy - energy.max())
        context = (fit / fit.sum()) @ seen
        gates = self._product("gates", np.concatenate([word, context, h]))
        i, f, g, o = gates.reshape(4, -1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        return self._product("logits", _sigmoid(o) * np.tanh(c))[np.newaxis]

    def _product(self, name: str, x: Array) -> Array:
        """Multiply as ONNX's DynamicQuantizeLinear and MatMulInteger do."""
        low, high = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
        step = (high - low) / np.float32(255)
        zero = int(np.rint(-low / step))
        whole = (np.rint(x / step).astype(np.int32) + zero).clip(0, 255) - zero
        sums = (whole @ self.wide[name]).astype(np.float32)
        product: Array = sums * (step * _SCALE) + self.biases[name]
        return product


def _packed(weight: Array) -> Array:
    """Return int8 weights (inputs, outputs) in blocks of 16 outputs and groups of 4 inputs."""
    inputs, outputs = weight.shape
    full = np.pad(weight, ((0, -inputs % 4), (0, -outputs % 16)))
    blocks = full.reshape(-1, 4, full.shape[1] // 16, 16).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(blocks)


def _sigmoid(x: Array) -> Array:
    return np.float32(1) / (np.float32(1) + np.exp(-x))
