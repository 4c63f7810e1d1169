"""Writes the int8 step of a captioner in the order in which our kernel reads its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

from edgedl.errors import BundleError
from edgedl.export.graph_file import GraphFacts
from edgedl.runtime.packed_session import PRODUCTS
from edgedl.runtime.session import open_session

if TYPE_CHECKING:
    from edgedl.runtime.session import Array

_BLOCK, _GROUP = 16, 4


def pack_step(source: Path, out: Path) -> None:
    """Write ``step.int8-packed.safetensors`` from the graph ``step.int8-cpu.onnx``.

    Args:
        source: The graph of ``Captioner.decode_step``. Its products with weights are, in order, the
            query, the score, the gates and the words; quantising leaves any of them in float that
            gains nothing, and the packed ones follow.
        out: The file to write.

    Raises:
        BundleError: E446 the graph is not there, or not such a step.
    """
    if not source.is_file():
        msg = f"int8-packed is made from {source.name}, which could not be made"
        raise BundleError("E446", msg)
    graph = onnx.load(source).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tables = [weights[n.input[0]] for n in graph.node if n.op_type == "Gather"]
    products = [
        node
        for node in graph.node
        if node.op_type in ("MatMul", "MatMulInteger") and node.input[1] in weights
    ]
    biases = [weights[i] for n in graph.node if n.op_type == "Add" for i in n.input if i in weights]
    if (len(tables), len(products), len(biases)) != (1, 4, 2):
        msg = (
            f"int8-packed: {source.name} has {len(tables)} tables, {len(products)} products and "
            f"{len(biases)} biases; a captioner's step has 1, 4 and 2"
        )
        raise BundleError("E446", msg)
    query, score, gates, words = products
    attention, (inputs, _) = _weight(query, weights).shape[1], _weight(gates, weights).shape
    hidden, embedding = len(biases[0]) // 4, tables[0].shape[1]
    positions = next(i for i in graph.input if i.name == "features").type.tensor_type.shape.dim[1]
    tensors = {
        "sizes": np.array([positions.dim_value, inputs - hidden - embedding], np.int32),
        "words": tables[0],
        "score": np.ascontiguousarray(_in_float(score, weights)[:, 0]),
    }
    biases = [np.zeros(attention, np.float32), *biases]
    for name, node, bias in zip(PRODUCTS, (query, gates, words), biases, strict=True):
        tensors |= {f"{name}.weight": pack(_weight(node, weights)), f"{name}.bias": bias}
        if node.op_type == "MatMulInteger":
            tensors[f"{name}.scale"] = _scale(node, weights).reshape(1)
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, out)


def packed_facts(path: Path) -> GraphFacts:
    """Return what the manifest says of a packed step."""
    session = open_session(path)
    return GraphFacts(session.inputs, session.outputs, {"LstmStep": 1})


def pack(weight: Array) -> Array:
    """Return a weight (inputs, outputs) as the kernel reads it, filled up with zeros.

    Returns:
        int8 as (outputs / 16, inputs / 4, 16, 4), float32 as (outputs / 16, inputs, 16).
    """
    group = _GROUP if weight.dtype == np.int8 else 1
    inputs, outputs = weight.shape
    full = np.pad(weight, ((0, -inputs % group), (0, -outputs % _BLOCK)))
    blocks = full.reshape(len(full) // group, group, -1, _BLOCK).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(blocks if group > 1 else blocks[..., 0])


def _weight(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Array:
    """Return a weight, int8 or float32, (inputs, outputs).

    Raises:
        BundleError: E446 its zero point is not 0.
    """
    if node.op_type == "MatMulInteger" and weights[node.input[3]].any():
        msg = f"int8-packed: {node.name} has weights whose zero point is not 0"
        raise BundleError("E446", msg)
    return weights[node.input[1]]


def _scale(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Array:
    return weights[node.input[1].removesuffix("_quantized") + "_scale"]


def _in_float(node: onnx.NodeProto, weights: Mapping[str, Array]) -> Array:
    weight = _weight(node, weights)
    return weight if node.op_type == "MatMul" else weight * _scale(node, weights)
