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


def _pair(second: onnx.NodeProto, shapes: dict[str, list[int]], *others: onnx.NodeProto):
    """Return a convolution, a ReLU, and what reads it; with random weights of these shapes."""
    shapes = {"a.w": [4, 3, 3, 3], "a.b": [4], **shapes}
    tensors = [
        onnx.numpy_helper.from_array(RNG.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        onnx.helper.make_node("Conv", ["x", "a.w", "a.b"], ["c"]),
        onnx.helper.make_node("Relu", ["c"], ["r"]),
        *others,
        second,
    ]
    inputs = [onnx.helper.make_tensor_value_info("x", 1, [None, 3, None, None])]
    outputs = [onnx.helper.make_empty_tensor_value_info(second.output[0])]
    graph = onnx.helper.make_graph(nodes, "pair", inputs, outputs, tensors)
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )


def _gemm_behind_flatten(axis: int, bias: list[int]) -> onnx.ModelProto:
    flatten = onnx.helper.make_node("Flatten", ["r"], ["f"], axis=axis)
    gemm = onnx.helper.make_node("Gemm", ["f", "b.w", "b.b"], ["y"], transB=1)
    return _pair(gemm, {"b.w": [5, 4], "b.b": bias}, flatten)


def test_axis_1_must_stay_the_channels() -> None:
    assert len(find_pairs(_gemm_behind_flatten(1, [5]))) == 1
    assert find_pairs(_gemm_behind_flatten(2, [5])) == []  # pictures of 2 x 2: 4 columns, too


def test_what_a_gemm_adds_must_be_a_value_for_each_output() -> None:
    assert find_pairs(_gemm_behind_flatten(1, [4, 5])) == []
    assert find_pairs(_gemm_behind_flatten(1, [])) == []


@pytest.mark.parametrize("read", ["r", "b.w"])
def test_graphs_inside_nodes_read_too(read: str) -> None:
    second = onnx.helper.make_node("Conv", ["r", "b.w"], ["y"])
    assert len(find_pairs(_pair(second, {"b.w": [5, 4, 1, 1]}))) == 1
    value = onnx.helper.make_empty_tensor_value_info("v")
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("Abs", [read], ["v"])], "inner", [], [value]
    )
    choice = onnx.helper.make_node("If", ["is"], ["z"], then_branch=inner, else_branch=inner)
    assert find_pairs(_pair(second, {"b.w": [5, 4, 1, 1]}, choice)) == []
