"""Recurrent layers as Linear and chunk, equal to PyTorch's ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``.

Shapes: N sequences, T time, F inputs, L layers, H hidden; 2L and 2H where bidirectional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from edgedl.models.blocks import check_dropout, check_widths

Cell = Literal["rnn", "gru", "lstm"]
State = tuple[Tensor, ...]
"""(h,) of an rnn or gru, (h, c) of an lstm; each (N, L, H), or (N, 2L, H)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentOptions:
    """Recurrent layers.

    Attributes:
        cell: ``rnn`` (tanh), ``gru`` or ``lstm``.
        hidden: Width of the state, H.
        layers: 1..3, one on top of the other.
        bidirectional: A second set of layers reads from the end.
        dropout: Part of each layer's outputs that is dropped in training.
    """

    cell: Cell = "lstm"
    hidden: int = 128
    layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_widths("hidden", (self.hidden,))
        check_widths("layers", (self.layers,), 3)
        check_dropout(self.dropout)

    @property
    def outputs(self) -> int:
        """Width of what comes out at each step: H, or 2H."""
        return self.hidden * (2 if self.bidirectional else 1)


class Recurrent(nn.Module):
    """Layers of one cell.

    Attributes:
        options: Its shape.
        inputs: F.
    """

    def __init__(self, options: RecurrentOptions, inputs: int) -> None:
        super().__init__()
        self.options, self.inputs = options, inputs

    def forward(
        self, x: Tensor, state: State | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read sequences, the way that trains fastest.

        Args:
            x: (N, T, F).
            state: Before the first step; None: zeros.
            mask: (N, T), 1 or True for what is there, 0 for padding on the right. At padding the
                state stays and the output is 0; the backward direction starts at the last real
                step.

        Returns:
            Outputs of the last layer (N, T, H or 2H), and the state after the last step.
        """
        raise NotImplementedError

    def unrolled(
        self, x: Tensor, state: State | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Return what ``forward`` does, step by step in plain operators: what is exported."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one step (N, F) of a network that is not bidirectional.

        Returns:
            The output (N, H) and the new state.
        """
        raise NotImplementedError

    def zeros(self, n: int) -> State:
        """Return the state before the first step of ``n`` sequences."""
        raise NotImplementedError
