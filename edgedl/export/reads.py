"""Who reads a tensor. The graphs inside a node (If, Loop, Scan) may read any from outside."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto


def read_by(node: NodeProto) -> set[str]:
    """Return the names a node and the graphs inside it read."""
    return set(node.input) | read_inside(node)


def read_inside(node: NodeProto) -> set[str]:
    """Return the names the graphs inside a node read."""
    names: set[str] = set()
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            names = names.union(*map(read_by, inner.node))
            names |= {value.name for value in inner.output}
    return names


def readers_of(graph: GraphProto) -> Counter[str]:
    """Return how often each tensor is read; who uses the graph reads its outputs."""
    readers = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        readers.update(read_inside(node))
    readers.update(value.name for value in graph.output)
    return readers
