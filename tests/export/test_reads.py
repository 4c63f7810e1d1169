"""Who reads a tensor: nodes, the graphs inside them at any depth, and who uses the graph."""

import pytest

onnx = pytest.importorskip("onnx")

from edgedl.export.reads import read_by, readers_of  # noqa: E402

node = onnx.helper.make_node


def value(name: str) -> onnx.ValueInfoProto:
    return onnx.helper.make_tensor_value_info(name, 1, [1])


def branch(*nodes: onnx.NodeProto, out: str) -> onnx.GraphProto:
    return onnx.helper.make_graph(list(nodes), "inner", [], [value(out)])


def test_readers() -> None:
    deep = branch(node("Add", ["w", "a"], ["d"]), out="d")
    then = branch(node("If", ["c"], ["t"], then_branch=deep, else_branch=branch(out="x")), out="t")
    choice = node("If", ["c"], ["y"], then_branch=then, else_branch=branch(out="w"))
    nodes = [node("Relu", ["x"], ["a"]), node("Mul", ["a", "a"], ["b"]), choice]
    graph = onnx.helper.make_graph(nodes, "g", [], [value("y"), value("a")])
    assert read_by(choice) >= {"c", "w", "a", "x"}
    readers = readers_of(graph)
    assert [readers[name] for name in "xacwyb"] == [2, 4, 2, 1, 1, 0]
