"""Runs the int8 step of a captioner by one kernel of ours instead of a graph.

The file holds what ``step.int8-cpu.onnx`` does, its weights in the order in which the kernel reads
them. The integers are the same, for activations are quantised by the same rule; but each row finds
its own range, so answers do not depend on what else is in a call. What is computed in float32
differs by rounding, which now and then moves an activation to the neighbouring integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgedl import _core
from edgedl.errors import BundleError, UsageError
from edgedl.runtime.stored_tensors import stored_tensors
from edgedl.spec import TensorSpec
from edgedl.vocab import BOS, EOS

if TYPE_CHECKING:
    from edgedl.runtime.session import Array

PRODUCTS = ("query", "gates", "logits")
_ORDER = ("token", "h_in", "c_in", "features")


class PackedSession:
    """The step of a captioner; ``run`` may be called from any thread."""

    backend = "onnxruntime"
    """The runtime of the encoder beside it, by which a bundle's precisions are chosen."""

    def __init__(self, raw: bytes | memoryview, name: str) -> None:
        """Open a step from its bytes, which it uses where they lie.

        Args:
            raw: Of ``step.int8-packed.safetensors``: ``sizes`` (P, values), ``words`` (V, E),
                ``score`` (A,), and of each of ``PRODUCTS`` ``.weight``, ``.bias`` and, where the
                weight is int8, ``.scale``; see ``csrc/kernels/lstm_step.h``.
            name: Of the file, for errors.

        Raises:
            BundleError: E410 it is no such file, E412 its tensors do not fit each other.
        """
        self._name = name
        try:
            tensors = stored_tensors(raw)
            positions, values = _sizes(tensors["sizes"])
            words, score = tensors["words"], tensors["score"]
            products = {product: _product(tensors, product) for product in PRODUCTS}
            bias = products["gates"][1]
        except (KeyError, IndexError, ValueError, TypeError) as err:
            msg = f"{name} is not a packed step: {err}; copy the bundle again"
            raise BundleError("E410", msg) from err
        try:
            self._step: _core.LstmStep | None = _core.LstmStep(
                positions=positions, seen=values, words=words, score=score, **products
            )
        except UsageError as err:
            msg = f"{name} cannot run: {err}; export again"
            raise BundleError("E412", msg) from err
        hidden, depth = len(bias) // 4, values + len(score)
        state = ("N", hidden)
        self.inputs: tuple[TensorSpec, ...] = (
            TensorSpec(name="token", dtype="int64", shape=("N",)),
            TensorSpec(name="h_in", dtype="float32", shape=state),
            TensorSpec(name="c_in", dtype="float32", shape=state),
            TensorSpec(name="features", dtype="float32", shape=("N", positions, depth)),
        )
        self.outputs: tuple[TensorSpec, ...] = (
            TensorSpec(name="logits", dtype="float32", shape=("N", len(words))),
            TensorSpec(name="h_out", dtype="float32", shape=state),
            TensorSpec(name="c_out", dtype="float32", shape=state),
        )
        self._widths = (len(words), hidden, hidden)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name.

        Raises:
            BundleError: E413 inputs do not fit.
        """
        step = self._opened()
        if feeds.keys() != set(_ORDER):
            msg = (
                f"{self._name} failed to run: expected {', '.join(_ORDER)}; got {', '.join(feeds)}"
            )
            raise BundleError("E413", msg)
        given = [np.ascontiguousarray(feeds[name]) for name in _ORDER]
        outs = [np.empty((len(given[0]), width), np.float32) for width in self._widths]
        try:
            step.run(*given, *outs)
        except UsageError as err:
            msg = f"{self._name} failed to run: {err}"
            raise BundleError("E413", msg) from err
        return dict(zip(("logits", "h_out", "c_out"), outs, strict=True))

    def say(self, features: Array, h: Array, c: Array, max_tokens: int) -> tuple[Array, Array]:
        """Say the most probable words one after another: what a loop around ``run`` would.

        Args:
            features: As for ``run``, (N, P, D).
            h: Initial state, (N, H).
            c: Initial cell, (N, H).
            max_tokens: Words at most, >= 1.

        Returns:
            Tokens and their probabilities in float32, (T, N), T being what the longest row took.
            After ``<eos>`` a row has only that. Where logits are not finite, T ends with -1.

        Raises:
            BundleError: E413 inputs do not fit.
        """
        step = self._opened()
        h, c, features = map(np.ascontiguousarray, (h, c, features))
        shape = max_tokens, len(features)
        tokens, probabilities = np.empty(shape, np.int64), np.empty(shape, np.float32)
        try:
            taken = step.greedy(h, c, features, tokens, probabilities, BOS, EOS)
        except UsageError as err:
            msg = f"{self._name} failed to run: {err}"
            raise BundleError("E413", msg) from err
        return tokens[:taken], probabilities[:taken]

    def close(self) -> None:
        """Give back memory; calling it twice is fine."""
        self._step = None

    def _opened(self) -> _core.LstmStep:
        if self._step is None:
            msg = f"{self._name} was closed"
            raise RuntimeError(msg)
        return self._step


def _sizes(stored: Array) -> tuple[int, int]:
    if stored.shape != (2,) or stored.dtype != np.int32:
        msg = f"sizes must be two int32 numbers; got {stored.shape} {stored.dtype}"
        raise ValueError(msg)
    return int(stored[0]), int(stored[1])


def _product(tensors: Mapping[str, Array], name: str) -> tuple[Array, Array, float | None]:
    """Return weight, bias and, of an int8 weight, scale."""
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    scale = float(tensors[f"{name}.scale"][0]) if weight.dtype == np.int8 else None
    return weight, bias, scale
