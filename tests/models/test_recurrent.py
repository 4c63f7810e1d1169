"""Recurrent layers against PyTorch's own, with the same weights."""

import pytest
import torch
from torch import nn

from edgedl.errors import ConfigError
from edgedl.models.recurrent import Recurrent, RecurrentOptions, cell_class
from edgedl.models.summary import summarize

TORCH = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
SHAPES = [(layers, both) for layers in (1, 2, 3) for both in (False, True)]


def pair(cell, layers, both):
    torch.manual_seed(4)
    theirs = TORCH[cell](5, 7, layers, batch_first=True, bidirectional=both)
    return theirs, Recurrent.from_torch(theirs)


def as_states(state):
    """PyTorch's (L, N, H) as ours (N, L, H)."""
    return tuple(s.transpose(0, 1) for s in (state if isinstance(state, tuple) else (state,)))


def assert_same(got, want):
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize(("layers", "both"), SHAPES)
def test_equals_pytorchs(cell, layers, both):
    theirs, ours = pair(cell, layers, both)
    x, h, c = torch.randn(3, 6, 5), *torch.randn(2, layers * (1 + both), 3, 7)
    state = (h, c) if cell == "lstm" else h
    with torch.no_grad():
        for given in (None, state):
            want_y, want_state = theirs(x, given)
            got_y, got_state = ours(x, None if given is None else as_states(given))
            assert_same((got_y, *got_state), (want_y, *as_states(want_state)))


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize(("layers", "both"), SHAPES)
def test_padding_is_not_read(cell, layers, both):
    theirs, ours = pair(cell, layers, both)
    x, lengths = torch.randn(3, 6, 5), [6, 1, 4]
    mask = torch.arange(6) < torch.tensor(lengths).unsqueeze(1)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        want_y, want_state = theirs(packed)
        want_y = nn.utils.rnn.pad_packed_sequence(want_y, batch_first=True)[0]
        got_y, got_state = ours(x, None, mask)
        other_y, _ = ours(torch.where(mask.unsqueeze(2), x, 99.0), None, mask.long())
    assert_same((got_y, *got_state), (want_y, *as_states(want_state)))
    assert torch.equal(got_y, other_y)


@pytest.mark.parametrize("cell", TORCH)
@pytest.mark.parametrize("layers", [1, 3])
def test_step_by_step_is_all_at_once(cell, layers):
    _, ours = pair(cell, layers, both=False)
    x, state = torch.randn(2, 6, 5), ours.zeros(2)
    with torch.no_grad():
        want_y, want_state = ours(x)
        for t in range(6):
            y, state = ours.step(x[:, t], state)
            assert_same((y,), (want_y[:, t],))
    assert_same(state, want_state)


def test_gradients_are_pytorchs():
    theirs, ours = pair("lstm", 2, both=True)
    x = torch.randn(2, 4, 5)
    for module in (theirs, ours):
        (module(x)[0] * torch.arange(14)).sum().backward()
    torch.testing.assert_close(ours.cells[3].inputs.weight.grad, theirs.weight_ih_l1_reverse.grad)
    torch.testing.assert_close(ours.cells[0].state.weight.grad, theirs.weight_hh_l0.grad)


def test_an_lstm_begins_by_keeping():
    options = RecurrentOptions(cell="lstm", hidden=200)
    bias = Recurrent(options, 5).cells[0].inputs.bias.detach()
    assert abs(bias[200:400].mean() - 1) < 0.1
    assert abs(bias[:200].mean()) < 0.1


def test_dropout_is_between_layers_only():
    options = RecurrentOptions(hidden=6, layers=2, dropout=0.5)
    torch.manual_seed(1)
    ours, x = Recurrent(options, 5), torch.randn(2, 3, 5)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    assert torch.equal(ours(x)[1][0][:, 0], ours(x)[1][0][:, 0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"hidden": 0}, r"hidden must be in 1\.\.4096; got \(0,\)"),
        ({"layers": 4}, r"layers must be in 1\.\.3; got \(4,\)"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\); got 1\.0"),
    ],
)
def test_impossible_shapes(change, text):
    with pytest.raises(ConfigError, match=text) as err:
        RecurrentOptions(**change)
    assert err.value.code == "E205"


@pytest.mark.parametrize("kind", ["rnn", "lstm"])
def test_a_single_step_is_counted_as_its_one_product(kind):
    cell = cell_class(kind)(5, 7)
    gates = {"rnn": 1, "lstm": 4}[kind]

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell

        def forward(self, x, h):
            return self.cell.step(x, (h, h))[0]

    found = summarize(Step(), (torch.zeros(3, 5), torch.zeros(3, 7)))
    assert found.macs == (5 + 7) * gates * 7
    assert found.parameters == sum(p.numel() for p in cell.parameters())
