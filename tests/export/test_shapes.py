"""Graphs that do not run at all the sizes they declare are noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedl.errors import BundleError
from edgedl.export.shapes import try_shapes


def save(path: Path, nodes: Any, given: Any, to: Any, kind: int = 1, **weights: Any) -> Path:
    sides = [
        [helper.make_tensor_value_info("x", kind, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, to)],
    ]
    made = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    graph = helper.make_graph(nodes, "g", *sides, made)
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


RELU = [helper.make_node("Relu", ["x"], ["y"])]
RESHAPE = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
RANGE = ((1, 1, 3), (2, 5, 3), (4, 9, 3))


def test_sizes_that_work(tmp_path: Path) -> None:
    try_shapes(save(tmp_path / "m.onnx", RELU, ["N", 3], ["N", 3]))
    try_shapes(save(tmp_path / "m.onnx", RELU, [2, 3], [2, 3]))
    try_shapes(save(tmp_path / "m.onnx", RELU, ["N", "T", 3], ["N", "T", 3]), {"x": RANGE})
    gather = [helper.make_node("Gather", ["table", "x"], ["y"])]
    table = np.ones((2, 3), np.float32)
    try_shapes(save(tmp_path / "m.onnx", gather, ["N"], ["N", 3], TensorProto.INT64, table=table))


def test_names_of_outputs_alone_say_nothing(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    try_shapes(save(tmp_path / "m.onnx", nodes, ["N", 6], ["k", "k"], shape=np.int64([-1, 3])))


@pytest.mark.parametrize(("folded", "size", "count"), [(1, "usual", 2), (2, "smallest", 1)])
def test_a_batch_that_was_folded_into_the_graph(
    tmp_path: Path, folded: int, size: str, count: int
) -> None:
    shape = np.int64([folded, 6])
    path = save(tmp_path / "m.onnx", RESHAPE, ["N", 2, 3], ["N", 6], shape=shape)
    with pytest.raises(BundleError, match=f"at its {size} sizes, x \\({count}, 2, 3\\)") as caught:
        try_shapes(path)
    assert caught.value.code == "E413"
    assert "failed to run" in str(caught.value)
    assert str(caught.value).endswith("export it again with its dynamic axes named")


@pytest.mark.parametrize("declared", [["N", 6], [8, 6], ["N", 3, 2]])
def test_an_answer_in_another_shape_than_declared(tmp_path: Path, declared: Any) -> None:
    path = save(tmp_path / "m.onnx", RESHAPE, ["N", 2, 3], declared, shape=np.int64([-1, 3]))
    with pytest.raises(BundleError, match=r"sizes, x \(1, 2, 3\): ") as caught:
        try_shapes(path)
    assert caught.value.code == "E413"


def test_one_name_with_two_sizes(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", RESHAPE, ["N", 2, 3], ["N", 3], shape=np.int64([-1, 3]))
    with pytest.raises(BundleError) as caught:
        try_shapes(path)
    assert str(caught.value) == (
        "m.onnx at its smallest sizes, x (1, 2, 3): y is declared ('N', 3), got (2, 3); "
        "export it again"
    )


def test_an_axis_nobody_gave_sizes_for(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", RELU, ["N", "T"], ["N", "T"])
    with pytest.raises(BundleError, match=r"beyond its first axis; say its smallest, usual and"):
        try_shapes(path)
