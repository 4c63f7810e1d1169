"""Transposed convolutions rewritten as convolutions, against ONNX's reference implementation."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgedl.export.conv_transpose import rewrite_conv_transposes

RNG = np.random.default_rng(0)


def model_of(
    weight: np.ndarray,
    *,
    bias: bool = True,
    norm: bool = False,
    relu: bool = False,
    **given: object,
) -> onnx.ModelProto:
    outputs = weight.shape[1] * int(given.get("group", 1))
    tensors = {"w": weight}
    inputs, nodes = ["x", "w"], []
    if bias:
        tensors["b"] = RNG.normal(size=outputs).astype(np.float32)
        inputs.append("b")
    nodes.append(helper.make_node("ConvTranspose", inputs, ["y0"], name="up", **given))
    if norm:
        for name in ("scale", "shift", "mean", "var"):
            tensors[name] = RNG.uniform(0.5, 2, outputs).astype(np.float32)
        names = ["scale", "shift", "mean", "var"]
        nodes.append(helper.make_node("BatchNormalization", ["y0", *names], ["y1"], epsilon=1e-3))
    if relu:
        nodes.append(helper.make_node("Relu", [nodes[-1].output[0]], ["y2"]))
    nodes[-1].output[0] = "y"
    graph = helper.make_graph(
        nodes,
        "up",
        [helper.make_tensor_value_info("x", 1, ["N", weight.shape[0], None, None])],
        [helper.make_tensor_value_info("y", 1, ["N", outputs, None, None])],
        [numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


def weight(kernel: tuple[int, int]) -> np.ndarray:
    return RNG.normal(size=(3, 4, *kernel)).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "given"),
    [
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((2, 2), {"strides": [2, 2]}),
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 4), {}),
        ((6, 6), {"strides": [2, 2], "pads": [2, 2, 2, 2]}),
        ((5, 5), {"strides": [2, 2], "pads": [2, 2, 2, 2], "output_padding": [1, 1]}),
        ((5, 3), {"strides": [2, 2], "pads": [2, 1, 1, 0]}),
        ((6, 6), {"strides": [3, 3], "pads": [1, 1, 2, 2]}),
        ((8, 8), {"strides": [4, 4], "pads": [2, 2, 2, 2]}),
        ((3, 3), {"strides": [1, 1], "pads": [1, 1, 1, 1]}),
    ],
)
def test_same_answer(kernel: tuple[int, int], given: dict[str, list[int]]) -> None:
    model = model_of(weight(kernel), **given)
    x = RNG.normal(size=(2, 3, 5, 7)).astype(np.float32)
    expected = answer(model, x)
    assert rewrite_conv_transposes(model) == 1
    onnx.checker.check_model(model)
    assert "ConvTranspose" not in {node.op_type for node in model.graph.node}
    found = answer(model, x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("relu", [True, False])
def test_what_follows_goes_with_it(bias: bool, norm: bool, relu: bool) -> None:
    model = model_of(weight((4, 4)), bias=bias, norm=norm, relu=relu, strides=[2, 2], pads=[1] * 4)
    x = RNG.normal(size=(1, 3, 4, 4)).astype(np.float32)
    expected = answer(model, x)
    rewrite_conv_transposes(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds == ["Conv", *(["Relu"] if relu else []), "DepthToSpace"]
    assert len(model.graph.initializer) == 2
    np.testing.assert_allclose(answer(model, x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "given"),
    [
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),  # an odd size
        ((4, 4), {"strides": [2, 1], "pads": [1, 1, 1, 1]}),
        ((4, 4), {"strides": [2, 2], "dilations": [2, 2]}),
        ((4, 4), {"strides": [2, 2], "group": 3}),
        ((4, 4), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    ],
)
def test_what_cannot_be_rewritten_stays(kernel: tuple[int, int], given: dict[str, object]) -> None:
    model = model_of(weight(kernel), **given)
    before = model.SerializeToString()
    assert rewrite_conv_transposes(model) == 0
    assert model.SerializeToString() == before


def test_what_graphs_inside_nodes_read_is_left_for_them() -> None:
    """A branch reads a weight, and what is between the convolution and its ReLU."""
    model = model_of(weight((2, 2)), relu=True, strides=[2, 2])
    gain = numpy_helper.from_array(np.full((1,), 3, np.float32), "gain")
    model.graph.initializer.extend([gain, numpy_helper.from_array(np.array(True), "always")])
    value = helper.make_tensor_value_info("v", 1, None)
    inner = helper.make_graph([helper.make_node("Mul", ["y0", "gain"], ["v"])], "in", [], [value])
    model.graph.node.append(
        helper.make_node("If", ["always"], ["z"], then_branch=inner, else_branch=inner)
    )
    model.graph.output.append(helper.make_tensor_value_info("z", 1, [None] * 4))
    x = RNG.normal(size=(2, 3, 5, 5)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    assert rewrite_conv_transposes(model) == 1
    onnx.checker.check_model(model)
    for found, wanted in zip(ReferenceEvaluator(model).run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_names_that_are_there_already_stay() -> None:
    model = model_of(weight((2, 2)), relu=True, strides=[2, 2])
    model.graph.initializer.append(numpy_helper.from_array(np.ones(4, np.float32), "up_bias"))
    model.graph.node.append(helper.make_node("Abs", ["x"], ["up_phases"]))
    model.graph.node.append(helper.make_node("Add", ["up_bias", "up_bias"], ["z"]))
    model.graph.output.extend(
        helper.make_tensor_value_info(name, 1, None) for name in ("up_phases", "z")
    )
    x = RNG.normal(size=(2, 3, 5, 5)).astype(np.float32)
    expected = ReferenceEvaluator(model).run(None, {"x": x})
    assert rewrite_conv_transposes(model) == 1
    for found, wanted in zip(ReferenceEvaluator(model).run(None, {"x": x}), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
