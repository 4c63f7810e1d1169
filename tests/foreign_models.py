"""Small models as others write them: each a file, and what it must answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

node, info = helper.make_node, helper.make_tensor_value_info
W = np.random.default_rng(7).normal(0, 0.5, (4, 3)).astype(np.float32)


def save(
    path: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    weights: dict[str, Any] | None = None,
    opset: int = 17,
    ir: int = 8,
    domains: tuple[str, ...] = (),
) -> Path:
    made = [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, made)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    path.write_bytes(
        helper.make_model(graph, ir_version=ir, opset_imports=opsets).SerializeToString()
    )
    return path


def linear(path: Path, opset: int = 17, batch: Any = "N", **more: Any) -> Path:
    """Write y = x W for x (N, 4)."""
    inputs, outputs = [info("x", 1, [batch, 4])], [info("y", 1, [batch, 3])]
    return save(path, [node("MatMul", ["x", "w"], ["y"])], inputs, outputs, {"w": W}, opset, **more)


def two_ways(path: Path) -> Path:
    """Write, of float32 a:0 (2, N) and int64 count (), sum = Σ a:0 along N and next = count + 1.

    If the sum of sums is above 0 the graph doubles it, else it leaves it.
    """

    def branch(name: str, factor: float) -> Any:
        weight = numpy_helper.from_array(np.float32(factor), f"{name}_by")
        nodes = [node("Mul", ["sums", f"{name}_by"], [name])]
        return helper.make_graph(nodes, name, [], [info(name, 1, [2])], [weight])

    nodes = [
        node("ReduceSum", ["a:0", "axis"], ["sums"], keepdims=0),
        node("ReduceSum", ["sums"], ["all"], keepdims=0),
        node("Greater", ["all", "zero"], ["is_up"]),
        node(
            "If", ["is_up"], ["sum/out"], then_branch=branch("up", 2), else_branch=branch("as", 1)
        ),
        node("Add", ["count", "one"], ["next"]),
    ]
    weights = {"axis": np.int64([1]), "zero": np.float32(0), "one": np.int64(1)}
    inputs = [info("a:0", 1, [2, "length"]), info("count", TensorProto.INT64, [])]
    outputs = [info("sum/out", 1, [2]), info("next", TensorProto.INT64, [])]
    return save(path, nodes, inputs, outputs, weights)


def three_rounds(path: Path) -> Path:
    """Write y = f(f(f(x W W'))), f(s) = relu(s W W'), for x (N, 4), the f inside a Loop."""
    square = numpy_helper.from_array(W @ W.T, "square")
    body = helper.make_graph(
        [
            node("MatMul", ["s", "square"], ["product"]),
            node("Relu", ["product"], ["s_out"]),
            node("Identity", ["go"], ["go_out"]),
        ],
        "round",
        [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), info("s", 1, None)],
        [info("go_out", TensorProto.BOOL, []), info("s_out", 1, None)],
        [square],
    )
    nodes = [
        node("MatMul", ["x", "outer"], ["start"]),
        node("Loop", ["rounds", "", "start"], ["y"], body=body),
    ]
    weights = {"outer": W @ W.T, "rounds": np.int64(3)}
    return save(path, nodes, [info("x", 1, ["N", 4])], [info("y", 1, ["N", 4])], weights)


def brightest_quarter(path: Path, *, batch: Any = "N", softmax: bool = True) -> Path:
    """Write a classifier of gray pictures (N, 1, 8, 8): which quarter is brightest."""
    last = [node("Softmax", ["scores"], ["prob"], axis=1)] if softmax else []
    nodes = [
        node("AveragePool", ["data"], ["pooled"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Reshape", ["pooled", "shape"], ["image"]),
        node("Mul", ["image", "ten"], ["scores"]),
        *last,
    ]
    rows = -1 if batch == "N" else batch
    weights = {"shape": np.int64([rows, 4]), "ten": np.float32(10)}
    out = "prob" if softmax else "scores"
    return save(
        path, nodes, [info("data", 1, [batch, 1, 8, 8])], [info(out, 1, [batch, 4])], weights
    )


def old_weights(path: Path) -> Path:
    """Write y = x W + b in IR 3 and opset 7, whose weights are inputs too."""
    inputs = [info("x", 1, [2, 4]), info("w", 1, [4, 3]), info("b", 1, [1, 3])]
    nodes = [node("MatMul", ["x", "w"], ["xw"]), node("Add", ["xw", "b"], ["y"])]
    outputs, weights = [info("y", 1, [2, 3])], {"w": W, "b": np.ones((1, 3), np.float32)}
    return save(path, nodes, inputs, outputs, weights, opset=7, ir=3)


def with_data_beside(path: Path, place: str = "weights.bin") -> Path:
    """Write ``linear`` with its weights in another file."""
    model = onnx.load(linear(path))
    tensor = model.graph.initializer[0]
    (path.parent / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    path.write_bytes(model.SerializeToString())
    return path
