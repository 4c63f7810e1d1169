"""What a network costs, counted by hand."""

import torch
from torch import nn

from edgedl.models.summary import kept_bytes, summarize


def network():
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4 * 4, 5, bias=False),
    )


def test_counts():
    module = network().train()
    summary = summarize(module, (torch.zeros(2, 4, 8, 8),))
    conv, relu, flatten, linear = summary.layers
    assert (conv.name, conv.kind, conv.shape) == ("0", "Conv2d", (6, 4, 4))
    assert conv.macs == 6 * 4 * 4 * (4 // 2 * 9)
    assert conv.parameters == 6 * 2 * 9 + 6
    assert (relu.macs, relu.parameters) == (0, 0)
    assert flatten.shape == (96,)
    assert linear.macs == linear.parameters == 480
    assert summary.macs == conv.macs + 480
    assert summary.parameters == conv.parameters + 480
    assert module.training


def test_a_layer_that_runs_again_counts_again():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(self.layer(x))

    summary = summarize(Twice(), (torch.zeros(2, 5, 3),))
    assert len(summary.layers) == 1
    assert summary.macs == 2 * 5 * 9
    assert summary.parameters == 12


def test_what_is_kept_for_the_way_back():
    module, x = nn.Sequential(nn.Linear(3, 5), nn.Tanh()), torch.ones(4, 3)
    kept = kept_bytes(module, lambda: module(x).square().mean())
    assert sorted(kept) == [4 * 4 * 3, 4 * 4 * 5]  # x; tanh's result, for itself and the square
    module.requires_grad_(False)
    assert kept_bytes(module, lambda: module(x).square().mean()) == []


def test_every_step_of_a_loop_is_kept():
    layer = nn.Linear(3, 3)

    def steps(count):
        def forward():
            x = torch.ones(4, 3)
            for _ in range(count):
                x = torch.tanh(layer(x))
            return x.sum()

        return forward

    assert [len(kept_bytes(layer, steps(count))) for count in (1, 7)] == [2, 8]


def test_lines_are_a_table():
    lines = summarize(network(), (torch.zeros(1, 4, 8, 8),)).lines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "MMAC"]
    assert lines[1].split() == ["0", "Conv2d", "6", "x", "4", "x", "4", "114", "0.002"]
    assert lines[-1].split() == ["sum", "594", "0.002"]
    assert len({len(line) for line in lines}) == 1
