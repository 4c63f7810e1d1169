"""Recurrent layers as Linear and split, equal to PyTorch's ``nn.RNN``, ``nn.GRU``, ``nn.LSTM``.

One path trains and is exported: with bfloat16 it takes as long as PyTorch's own kernels, since all
time goes into the products. What does not depend on the state is one product for all steps.

Shapes: N sequences, T time, F inputs, L layers, H hidden; 2L and 2H where bidirectional.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.models.blocks import check_dropout, check_widths

CellKind = Literal["rnn", "gru", "lstm"]
Masks = tuple[Tensor, ...]
_TORCH = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
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
        dropout: Part of the values between layers, and before what follows, that is dropped in
            training.
    """

    cell: CellKind = "lstm"
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


class Cell(nn.Module):
    """One step of a layer.

    Attributes:
        hidden: H.
        inputs: What comes from below, for all gates; its product needs no state.
        state: What comes from the state.
    """

    gates = 1

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.inputs = nn.Linear(inputs, self.gates * hidden)
        self.state = nn.Linear(hidden, self.gates * hidden, bias=False)

    def forward(self, given: Tensor, state: State) -> State:
        """Return the next state from ``given = inputs(x)`` (N, gates · H) and the one before."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> State:
        """Return the next state from x (N, F) and the one before; for single steps."""
        after: State = self(self.inputs(x), state)
        return after


class Joined(nn.Module):
    """Two products as one: of x and h with the weights of two layers beside each other.

    Attributes:
        in_features: Width of x and h together.
    """

    def __init__(self, of_x: nn.Linear, of_h: nn.Linear) -> None:
        super().__init__()
        self._layers = (of_x, of_h)  # in a tuple: their parameters are not this module's
        self.in_features = of_x.in_features + of_h.in_features

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return of_x(x) + of_h(h)."""
        of_x, of_h = self._layers
        weight = torch.cat((of_x.weight, of_h.weight), dim=1)
        return functional.linear(torch.cat((x, h), dim=1), weight, of_x.bias)


class SummingCell(Cell):
    """A cell that sees only the sum of the two products, so that a single step is one product."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.joined = Joined(self.inputs, self.state)

    def forward(self, given: Tensor, state: State) -> State:
        """Return the next state from ``given = inputs(x)`` (N, gates · H) and the one before."""
        total: Tensor = given + self.state(state[0])
        return self.next(total, state)

    def step(self, x: Tensor, state: State) -> State:
        """Return the next state from x (N, F) and the one before; for single steps."""
        return self.next(self.joined(x, state[0]), state)

    def next(self, total: Tensor, state: State) -> State:
        """Return the next state from the sum of the products (N, gates · H) and the one before."""
        raise NotImplementedError


class RnnCell(SummingCell):
    """h' = tanh(W x + U h + b)."""

    def next(self, total: Tensor, _state: State) -> State:
        """Return the next (h,)."""
        return (torch.tanh(total),)


class GruCell(Cell):
    """Reset r, update z, new n, in PyTorch's order; r weighs what n sees of the state."""

    gates = 3

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        self.state = nn.Linear(hidden, 3 * hidden)  # r also weighs the bias

    def forward(self, given: Tensor, state: State) -> State:
        """Return the next (h,)."""
        (h,) = state
        of_r, of_z, of_n = torch.split(given, self.hidden, dim=1)
        from_r, from_z, from_n = torch.split(self.state(h), self.hidden, dim=1)
        r, z = torch.sigmoid(of_r + from_r), torch.sigmoid(of_z + from_z)
        n = torch.tanh(of_n + r * from_n)
        return (n + z * (h - n),)


class LstmCell(SummingCell):
    """Gates i, f, g, o in PyTorch's order; f begins by keeping what there is."""

    gates = 4

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__(inputs, hidden)
        with torch.no_grad():
            self.inputs.bias[hidden : 2 * hidden] += 1

    def next(self, total: Tensor, state: State) -> State:
        """Return the next (h, c)."""
        i, f, g, o = torch.split(total, self.hidden, dim=1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def cell_class(kind: CellKind) -> type[Cell]:
    """Return the class of a cell by its name."""
    return {"rnn": RnnCell, "gru": GruCell, "lstm": LstmCell}[kind]


class Recurrent(nn.Module):
    """Layers of one cell.

    Attributes:
        options: Its shape.
        cells: From below; where bidirectional, the layer that reads forward before its twin.
    """

    def __init__(self, options: RecurrentOptions, inputs: int) -> None:
        super().__init__()
        self.options = options
        make, twins = cell_class(options.cell), 1 + options.bidirectional
        widths = [inputs, *[options.outputs] * (options.layers - 1)]
        self.cells = nn.ModuleList(
            make(width, options.hidden) for width in widths for _ in range(twins)
        )
        self.dropout = nn.Dropout(options.dropout)

    @classmethod
    def from_torch(cls, module: nn.RNNBase) -> Recurrent:
        """Return the same layers as an ``nn.RNN`` (tanh), ``nn.GRU`` or ``nn.LSTM``."""
        kinds: dict[str, CellKind] = {"RNN_TANH": "rnn", "GRU": "gru", "LSTM": "lstm"}
        options = RecurrentOptions(
            cell=kinds[module.mode],
            hidden=module.hidden_size,
            layers=module.num_layers,
            bidirectional=module.bidirectional,
            dropout=module.dropout,
        )
        made = cls(options, module.input_size)
        suffixes = ("", "_reverse")[: 1 + module.bidirectional]
        names = [f"l{layer}{suffix}" for layer in range(module.num_layers) for suffix in suffixes]
        for cell, name in zip(made.cells, names, strict=True):
            _copy(cell, {key: getattr(module, f"{key}_{name}") for key in _TORCH})
        return made

    def forward(
        self, x: Tensor, state: State | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read sequences.

        Args:
            x: (N, T, F).
            state: Before the first step; None: zeros.
            mask: (N, T), 1 or True for what is there, 0 for padding on the right. At padding the
                state stays and the output is 0; the backward direction starts at the last real
                step.

        Returns:
            Outputs of the last layer (N, T, H or 2H), and the state after the last step.
        """
        x = x.transpose(0, 1)
        masks = None if mask is None else mask.bool().transpose(0, 1).unsqueeze(2).unbind(0)
        twins, ends = 1 + self.options.bidirectional, []
        for first in range(0, len(self.cells), twins):
            if first:
                x = self.dropout(x)
            sides = []
            for index in range(first, first + twins):
                began = None if state is None else tuple(s[:, index] for s in state)
                outputs, end = _read(self._cell(index), x, began, masks, backward=index > first)
                sides.append(outputs)
                ends.append(end)
            x = torch.cat(sides, dim=2) if twins == 2 else sides[0]
        return x.transpose(0, 1), _stacked(ends)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one step (N, F) of layers that are not bidirectional.

        Returns:
            The output (N, H) and the new state.
        """
        ends = []
        for index in range(len(self.cells)):
            x = self.dropout(x) if index else x
            ends.append(self._cell(index).step(x, tuple(s[:, index] for s in state)))
            x = ends[-1][0]
        return x, _stacked(ends)

    def zeros(self, n: int) -> State:
        """Return the state before the first step of ``n`` sequences."""
        one = torch.zeros(n, len(self.cells), self.options.hidden)
        return (one, one.clone()) if self.options.cell == "lstm" else (one,)

    def _cell(self, index: int) -> Cell:
        return cast("Cell", self.cells[index])


def _read(
    cell: Cell, x: Tensor, state: State | None, masks: Masks | None, *, backward: bool
) -> tuple[Tensor, State]:
    """Run one direction of one layer over x (T, N, F); return (T, N, H) and the last state."""
    given = cell.inputs(x).unbind(0)
    if state is None:
        h = torch.zeros_like(given[0][:, : cell.hidden], dtype=torch.float32)
        state = (h, h) if isinstance(cell, LstmCell) else (h,)
    outputs = list(given)
    for t in reversed(range(len(given))) if backward else range(len(given)):
        new = cell(given[t], state)
        if masks is not None:
            new = tuple(torch.where(masks[t], n, s) for n, s in zip(new, state, strict=True))
        state = new
        outputs[t] = state[0] if masks is None else state[0] * masks[t]
    return torch.stack(outputs), state


def _stacked(states: list[State]) -> State:
    return tuple(torch.stack(one, dim=1) for one in zip(*states, strict=True))


@torch.no_grad()
def _copy(cell: nn.Module, weights: dict[str, Tensor]) -> None:
    """Set a cell's weights; PyTorch's two biases are one where nothing stands between them."""
    own = {
        "inputs.weight": weights["weight_ih"],
        "state.weight": weights["weight_hh"],
        "inputs.bias": weights["bias_ih"],
    }
    if isinstance(cell, GruCell):
        own["state.bias"] = weights["bias_hh"]
    else:
        own["inputs.bias"] = weights["bias_ih"] + weights["bias_hh"]
    cell.load_state_dict(own)
