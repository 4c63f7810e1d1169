"""Finds what scales values in units of their own, such as 100000 Pa: it is computed in fp32."""

from __future__ import annotations

from typing import Any

_SCALES = ("Sub", "Div", "Mul", "Add")


def scaling_nodes(graph: Any) -> set[str]:
    """Return the names of the nodes that scale what comes in, and those that scale what goes out.

    From either end of the graph on, as long as constants are taken from, or multiplied with it.
    """
    weights = {tensor.name for tensor in graph.initializer}
    found: set[str] = set()
    for nodes, ends in ((graph.node, graph.input), (reversed(graph.node), graph.output)):
        reached = {value.name for value in ends}
        for node in nodes:
            seen = [name for name in node.input if name not in weights]
            if node.op_type in _SCALES and len(seen) == 1 and reached & {*seen, *node.output}:
                found.add(node.name)
                reached |= {*seen, *node.output}
    return found
