"""Biases that make up for rounded weights.

Rounding moves each weight a little. Where what comes in is not around 0, as behind a ReLU, the
moves of an output's weights do not cancel: on average the output is off by the sum of move · mean.
That is known beforehand, and is taken from the bias.

After Nagel et al., "Data-free quantization through weight equalization and bias correction" (2019),
with means measured on calibration samples. The border, where padding comes in, is taken as if it
were like the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgedl.export.reads import readers_of

Array = npt.NDArray[Any]


def corrected_biases(
    model: onnx.ModelProto, means: Mapping[str, Array], largest: int
) -> dict[str, tuple[str, Array]]:
    """Return the biases that convolutions and Gemms should have once they are quantised.

    Args:
        model: In float, to be quantised with one scale for each output's weights.
        means: Of each channel, axis 1, of the tensors that come in.
        largest: What the largest weight of an output is rounded to: 127, or 64 for seven bits.

    Returns:
        Node to the name of its bias and the new values.
    """
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    readers = readers_of(model.graph)
    corrected = {}
    for node in model.graph.node:
        if not _has_own_bias(node, tensors, readers) or node.input[0] not in means:
            continue
        weight, bias = (numpy_helper.to_array(tensors[name]) for name in node.input[1:])
        moved = _shift(rounding(weight, largest), means[node.input[0]])
        if bias.shape == moved.shape:
            corrected[node.name] = (node.input[2], (bias - moved).astype(np.float32))
    return corrected


def set_biases(
    model: onnx.ModelProto,
    corrected: Mapping[str, tuple[str, Array]],
    in_float: Collection[str] = (),
) -> None:
    """Give a graph such biases, in place, but for the nodes ``in_float``."""
    new = dict(pair for node, pair in corrected.items() if node not in in_float)
    for tensor in model.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))


def rounding(weight: Array, largest: int) -> Array:
    """Return what rounding adds to weights (outputs, …), each output with a scale of its own."""
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    scale = np.abs(flat).max(axis=1, keepdims=True) / largest
    scale[scale == 0] = 1.0
    return np.asarray((np.rint(flat / scale) * scale - flat).reshape(weight.shape))


def _shift(moves: Array, mean: Array) -> Array:
    """Return by how much the outputs are off: (outputs,).

    Args:
        moves: (outputs, inputs of a group, …) of the weights.
        mean: (inputs,) of what comes in.
    """
    outputs, inputs = moves.shape[:2]
    groups = len(mean) // inputs
    each = moves.reshape(groups, outputs // groups, inputs, -1).sum(axis=3)
    return np.asarray(np.einsum("goi,gi->go", each, mean.reshape(groups, inputs)).reshape(-1))


def _has_own_bias(
    node: onnx.NodeProto, tensors: Mapping[str, Any], readers: Mapping[str, int]
) -> bool:
    """Return whether a node is a Conv or Gemm whose weights and bias are constants of its own."""
    if node.op_type not in ("Conv", "Gemm") or len(node.input) != 3:
        return False
    if any(name not in tensors or readers[name] > 1 for name in node.input[1:]):
        return False
    if node.op_type == "Conv":
        return True
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    usual = {"transA": 0, "transB": 1, "alpha": 1.0, "beta": 1.0}
    return given.get("transB") == 1 and all(given.get(k, v) == v for k, v in usual.items())
