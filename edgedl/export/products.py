"""Which nodes ONNX Runtime's writers can make INT8 so that the graph still computes the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from edgedl.export.reads import read_inside

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
CPU_PRODUCTS = ("Conv", "Gemm", "MatMul")
"""Those for which ONNX Runtime has int8 kernels on CPUs."""

FOLLOWERS = ("Relu", "Clip")
"""What stays in uint8 behind a product on a CPU."""

_LARGEST_BIAS = 1e37  # of a larger one the writer makes scales that are infinite


def with_ranges(graph: GraphProto, kinds: Sequence[str]) -> list[NodeProto]:
    """Return the products that Q/DQ pairs can be put around, in the graph's order.

    Of float32; with weights that have one axis for the outputs; a Gemm that neither scales nor adds
    anything but a value for each output, for the writer takes every Gemm for such a one; no biases
    that are masks.

    Args:
        graph: Shapes and types inferred.
        kinds: Operators.
    """
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    types, sizes = _types(graph), {t.name: list(t.dims) for t in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in kinds
        and _is_float(node, types)
        and (node.op_type not in ("Gemm", "MatMul") or len(sizes.get(node.input[1], [0, 0])) == 2)
        and (node.op_type != "Gemm" or (_is_unscaled(node) and _adds_row(node, sizes)))
        and not _adds_mask(node, tensors)
    ]


def as_it_runs(graph: GraphProto, least_weights: int) -> list[NodeProto]:
    """Return the products with so many weights whose other input can be quantised in each call."""
    types, sizes = _types(graph), {t.name: math.prod(t.dims) for t in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in ("Gemm", "MatMul")
        and sizes.get(node.input[1], 0) >= least_weights
        and _is_float(node, types)
        and (node.op_type != "Gemm" or (_is_unscaled(node) and not _given(node).get("transA")))
    ]


def followers(graph: GraphProto) -> list[NodeProto]:
    """Return the ReLUs and clips that a Q/DQ pair may take the place of.

    The range of such a pair always holds 0, and what comes in has no other reader.
    """
    inside = set[str]().union(*map(read_inside, graph.node))
    outputs = {value.name for value in graph.output}
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    return [
        node
        for node in graph.node
        if node.op_type in FOLLOWERS
        and inside.isdisjoint((node.input[0], node.output[0]))
        and node.input[0] not in outputs
        and (node.op_type == "Relu" or _keeps_zero(node, tensors))
    ]


def _types(graph: GraphProto) -> dict[str, int]:
    """Return tensor to element type, where it is known."""
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _is_float(node: NodeProto, types: Mapping[str, int]) -> bool:
    return all(types.get(name, TensorProto.FLOAT) == TensorProto.FLOAT for name in node.input)


def _given(node: NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _is_unscaled(gemm: NodeProto) -> bool:
    given = _given(gemm)
    return bool(given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0)


def _adds_row(gemm: NodeProto, sizes: Mapping[str, list[int]]) -> bool:
    if len(gemm.input) < 3 or not gemm.input[2] or gemm.input[1] not in sizes:
        return True
    columns = sizes[gemm.input[1]][0 if _given(gemm).get("transB") else 1]
    return sizes.get(gemm.input[2], [columns]) == [columns]


def _adds_mask(node: NodeProto, tensors: Mapping[str, TensorProto]) -> bool:
    """Return whether a product adds something that stands for minus infinity."""
    biases = [tensors[name] for name in node.input[2:] if name in tensors]
    return any(np.abs(numpy_helper.to_array(b)).max(initial=0) > _LARGEST_BIAS for b in biases)


def _keeps_zero(clip: NodeProto, tensors: Mapping[str, TensorProto]) -> bool:
    """Return whether a clip has known bounds with 0 between them."""
    given = _given(clip)
    bounds = [given.get("min", 0.0), given.get("max", 0.0)]  # before opset 11
    for index, name in enumerate(clip.input[1:]):
        if name and name not in tensors:
            return False
        if name:
            bounds[index] = numpy_helper.to_array(tensors[name]).item()
    return bool(bounds[0] <= 0 <= bounds[1])
