"""Puts the nodes of a graph in an order in which they can run."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from edgedl.export.reads import read_by

if TYPE_CHECKING:
    from onnx import GraphProto


def sort_nodes(graph: GraphProto) -> None:
    """Sort the nodes of a graph so that each comes after those it reads from; otherwise stable.

    What the graphs inside a node (If, Loop, Scan) read from outside counts as read by the node;
    ONNX Runtime's own sorting overlooks that.
    """
    made_by = {name: i for i, node in enumerate(graph.node) for name in node.output if name}
    nodes = list(graph.node)
    waits: list[set[int]] = []
    readers: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        needs = {made_by[name] for name in read_by(node) if name in made_by} - {index}
        waits.append(needs)
        for maker in needs:
            readers.setdefault(maker, []).append(index)
    ready = deque(index for index, needs in enumerate(waits) if not needs)
    order: list[int] = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for reader in readers.get(index, ()):
            waits[reader].discard(index)
            if not waits[reader]:
                ready.append(reader)
    assert len(order) == len(nodes), "the graph has a cycle"
    ordered = [nodes[index] for index in order]
    del graph.node[:]
    graph.node.extend(ordered)
