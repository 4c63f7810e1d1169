"""What a network costs: shapes, parameters, products, memory; for a training that is not begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Its path in the network.
        kind: Its class.
        shape: Of its output for one sample, batch axis left out.
        parameters: Of this layer alone.
        macs: Multiply-accumulates for one sample.
        activation_bytes: Of its output for one sample, in float32.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A network's layers and their sums.

    Attributes:
        layers: In the order they ran.
        parameters: Of the whole network.
        trained: Of these, how many are trained.
        macs: For one sample.
        activation_bytes: For one sample.
    """

    layers: tuple[Layer, ...]
    parameters: int
    trained: int
    macs: int
    activation_bytes: int

    def training_bytes(self, batch: int, moments: int = 2) -> int:
        """Estimate the memory of training: weights, gradients, moments, kept activations."""
        return 4 * (self.parameters + (1 + moments) * self.trained) + self.activation_bytes * batch

    def lines(self) -> list[str]:
        """Return the table to print, a line each."""
        raise NotImplementedError


def summarize(network: nn.Module, inputs: Sequence[Tensor]) -> Summary:
    """Run ``network`` once on ``inputs`` (a batch of two or more) and say what each layer costs."""
    raise NotImplementedError
