"""Nodes come after what they read, also where a graph inside them reads it."""

import pytest

onnx = pytest.importorskip("onnx")

from edgedl.export.order import sort_nodes  # noqa: E402

node = onnx.helper.make_node


def inner(reads: str) -> onnx.GraphProto:
    value = onnx.helper.make_tensor_value_info("r", 1, [1])
    return onnx.helper.make_graph([node("Relu", [reads], ["r"])], "inner", [], [value])


def names(*nodes: onnx.NodeProto) -> list[str]:
    graph = onnx.helper.make_graph(list(nodes), "g", [], [])
    sort_nodes(graph)
    return [one.output[0] for one in graph.node]


def test_readers_come_after_makers() -> None:
    found = names(
        node("Add", ["b", "a"], ["c"]), node("Relu", ["a"], ["b"]), node("Abs", ["x"], ["a"])
    )
    assert found == ["a", "b", "c"]


def test_graphs_inside_nodes_read_too() -> None:
    branch = node("If", ["x"], ["y"], then_branch=inner("late"), else_branch=inner("x"))
    assert names(branch, node("Relu", ["x"], ["late"])) == ["late", "y"]


def test_an_order_that_works_is_kept() -> None:
    assert names(*(node("Relu", ["x"], [name]) for name in "dacb")) == list("dacb")
