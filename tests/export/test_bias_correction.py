"""Biases that make up for rounded weights: means of outputs as in float."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgedl.export.bias_correction import corrected_biases, rounding, set_biases
from edgedl.export.quantize import Recipe, prepare, write_int8
from edgedl.runtime.session import open_session

RNG = np.random.default_rng(7)
X = (5 + RNG.normal(size=(32, 8, 4, 4))).astype(np.float32)  # far from 0, as behind a ReLU
SHAPES = {"conv": (6, 4, 1, 1), "fc": (5, 6 * 16)}


def network(*, kernel: int = 1, shared: bool = False, trans_b: int = 1) -> onnx.ModelProto:
    """Return a convolution of two groups and a Gemm behind it."""
    weights: dict[str, Any] = {
        "conv.w": RNG.normal(0, 0.1, (6, 4, kernel, kernel)),
        "conv.b": RNG.normal(size=6),
        "fc.w": RNG.normal(0, 0.1, (5, 96) if trans_b else (96, 5)),
        "fc.b": RNG.normal(size=5),
    }
    tensors = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()]
    pads = [kernel // 2] * 4
    nodes = [
        helper.make_node("Conv", ["x", "conv.w", "conv.b"], ["c"], "conv", group=2, pads=pads),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Flatten", ["r"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "fc.w", "fc.b"], ["y"], "fc", transB=trans_b),
    ]
    if shared:
        nodes.append(helper.make_node("Mul", ["fc.b", "conv.b"][:1] * 2, ["square"], "square"))
    outputs = [helper.make_tensor_value_info("y", 1, ["N", 5])]
    outputs += [helper.make_tensor_value_info("square", 1, [5])] * shared
    inputs = [helper.make_tensor_value_info("x", 1, ["N", 8, 4, 4])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, tensors)
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, ir_version=9, opset_imports=opset)


def tensors_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def convolved(model: onnx.ModelProto, weight: np.ndarray) -> np.ndarray:
    """Return the convolution's output (1 x 1, two groups) with other weights, in NumPy."""
    w, b = weight.reshape(2, 3, 4).astype(float), tensors_of(model)["conv.b"].astype(float)
    return np.einsum("goi,ngihw->ngohw", w, X.reshape(32, 2, 4, 4, 4)).reshape(32, 6, 4, 4) + (
        b.reshape(6, 1, 1)
    )


def test_means_are_those_of_float_with_rounded_weights() -> None:
    model = network()
    before = tensors_of(model)
    wanted = convolved(model, before["conv.w"]).mean((0, 2, 3))
    rounded = before["conv.w"] + rounding(before["conv.w"], 127)
    without = convolved(model, rounded).mean((0, 2, 3))
    corrected = corrected_biases(model, {"x": X.mean((0, 2, 3), dtype=float)}, 127)
    set_biases(model, corrected)
    found = convolved(model, rounded).mean((0, 2, 3))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.abs(without - wanted).max() > 1e-3
    after = tensors_of(model)
    assert all(np.array_equal(before[n], after[n]) for n in before if n != "conv.b")


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (7, 64)])
@pytest.mark.parametrize("precision", ["int8-cpu", "int8-trt"])
def test_rounding_is_that_of_the_graph_that_is_written(
    tmp_path: Path, precision: str, bits: int, largest: int
) -> None:
    model = network(kernel=3)
    onnx.save(model, tmp_path / "net.onnx")
    prepared = prepare("model", tmp_path / "net.onnx", [{"x": X}])
    recipe = Recipe(reduce_range=bits == 7)
    write_int8(precision, prepared, tmp_path / "int8.onnx", recipe)
    written = tensors_of(onnx.load(tmp_path / "int8.onnx"))
    weight = tensors_of(prepared.graph(precision))["conv.w"]
    (name,) = [n for n in written if n.startswith("conv.w") and n.endswith("quantized")]
    (scale,) = [n for n in written if n.startswith("conv.w") and n.endswith("scale")]
    held = written[name].astype(float) * written[scale].reshape(6, 1, 1, 1)
    np.testing.assert_allclose(weight + rounding(weight, largest), held, atol=1e-6)


@pytest.mark.parametrize("precision", ["int8-cpu", "int8-trt"])
def test_a_written_graph_is_less_off_than_one_without(
    tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(kernel=3)
    onnx.save(model, tmp_path / "net.onnx")
    prepared = prepare("model", tmp_path / "net.onnx", [{"x": X}])
    wanted = open_session(model.SerializeToString()).run({"x": X})["y"]

    def off(name: str) -> float:
        write_int8(precision, prepared, tmp_path / name, Recipe())
        found = open_session(tmp_path / name).run({"x": X})["y"]
        return float(np.abs((found - wanted).mean(axis=0)).mean())

    corrected = off("with.onnx")
    monkeypatch.setattr("edgedl.export.quantize.set_biases", lambda *_: None)
    assert corrected < 0.7 * off("without.onnx")


def test_what_cannot_be_corrected_stays() -> None:
    means = {"x": np.ones(8), "f": np.ones(96)}
    assert list(corrected_biases(network(), means, 127)) == ["conv", "fc"]
    assert list(corrected_biases(network(), {}, 127)) == []
    assert list(corrected_biases(network(shared=True), means, 127)) == ["conv"]
    assert list(corrected_biases(network(trans_b=0), means, 127)) == ["conv"]
    bare = network()
    del bare.graph.node[0].input[2]
    assert list(corrected_biases(bare, means, 127)) == ["fc"]
    inside = network()
    value = helper.make_empty_tensor_value_info("v")
    inner = helper.make_graph([helper.make_node("Abs", ["conv.b"], ["v"])], "in", [], [value])
    choice = helper.make_node("If", ["is"], ["z"], then_branch=inner, else_branch=inner)
    inside.graph.node.append(choice)
    assert list(corrected_biases(inside, means, 127)) == ["fc"]


def test_what_stays_in_float_keeps_its_bias() -> None:
    model = network()
    before = tensors_of(model)
    set_biases(model, {"conv": ("conv.b", np.zeros(6)), "fc": ("fc.b", np.zeros(5))}, ["conv"])
    after = tensors_of(model)
    assert np.array_equal(after["conv.b"], before["conv.b"])
    assert not after["fc.b"].any()


def test_weights_that_are_all_0_are_not_moved() -> None:
    assert not rounding(np.zeros((2, 3, 1, 1), np.float32), 127).any()
