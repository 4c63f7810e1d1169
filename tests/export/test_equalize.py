"""Channels made alike: the same answers, other ranges."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgedl.export.equalize import equalize, find_pairs
from edgedl.export.observe import observe
from edgedl.runtime.session import open_session

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 3, 8, 8)).astype(np.float32)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)
        with torch.no_grad():
            self.a.weight[2] *= 300
            self.a.bias[4] -= 100  # never anything but 0
            self.b.weight[:, 2] /= 300

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.a(x)), 2)
        x = torch.relu(self.b(x)).mean((2, 3), keepdim=True)
        return self.fc(torch.flatten(x, 1))


def exported(net: nn.Module, tmp_path) -> onnx.ModelProto:
    path = tmp_path / "net.onnx"
    torch.manual_seed(0)
    axes = {"x": {0: "N"}, "y": {0: "N"}}
    torch.onnx.export(
        net.eval(),
        (torch.from_numpy(X),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes=axes,
    )
    return onnx.load(path)


def answer(model: onnx.ModelProto) -> np.ndarray:
    return open_session(model.SerializeToString()).run({"x": X})["y"]


@pytest.mark.filterwarnings("ignore")
def test_same_answers_and_channels_alike(tmp_path) -> None:
    torch.manual_seed(1)
    model = exported(Net(), tmp_path)
    before = answer(model)
    between = [pair.between for pair in find_pairs(model)]
    assert len(between) == 1  # a ReduceMean lies between the second and the product
    ratio = []
    for _ in range(2):
        held = open_session(_with_output(model, between[0]).SerializeToString()).run({"x": X})
        largest = held[between[0]].max(axis=(0, 2, 3))
        ratio.append(largest.max() / largest[largest > 0].min())
        assert equalize(model, [{"x": X[:8]}, {"x": X[8:]}]) == 1
    assert ratio[0] > 100
    assert ratio[1] < 20
    np.testing.assert_allclose(answer(model), before, rtol=1e-4, atol=1e-5)
    assert observe(model, between, [{"x": X}])[between[0]].high < 1e3


def _with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    return made


class Branch(Net):
    """What lies between is read twice."""

    def forward(self, x):
        x = torch.relu(self.a(x))
        return self.b(x).mean((2, 3)).sum(1, keepdim=True) + x.mean((1, 2, 3)).unsqueeze(1)


class Bent(Net):
    """A sigmoid is not homogeneous."""

    def forward(self, x):
        return self.b(torch.sigmoid(self.a(x))).mean((2, 3))


class Grouped(nn.Module):
    """A depthwise convolution reads one channel only for each of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, groups=6)

    def forward(self, x):
        return self.b(torch.relu(self.a(x)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [Branch, Bent, Grouped])
def test_left_alone(kind, tmp_path) -> None:
    model = exported(kind(), tmp_path)
    before = model.SerializeToString()
    assert find_pairs(model) == []
    assert equalize(model, [{"x": X}]) == 0
    assert model.SerializeToString() == before


@pytest.mark.filterwarnings("ignore")
def test_weights_that_are_shared_are_left_alone(tmp_path) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.a(torch.relu(self.a(x)))

    assert find_pairs(exported(Shared(), tmp_path)) == []
