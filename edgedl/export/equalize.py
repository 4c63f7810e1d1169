"""Channels of very different size, made alike without changing what a network computes.

Where one convolution or product follows another and only ReLU and pooling lie between, the output
of a channel may be divided by a number and the weights that read it multiplied by the same: those
operators are positively homogeneous. INT8 has one range for all channels of a tensor, so a few
large channels take the resolution from the others.

After Nagel et al., "Data-free quantization through weight equalization and bias correction" (2019),
with the measured activations in place of the first weights, which are quantised per channel anyway,
as in Xiao et al., "SmoothQuant" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgedl.export.observe import run_with_outputs
from edgedl.export.reads import readers_of

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds

Array = npt.NDArray[Any]

_BETWEEN = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Flatten", "Identity")
_MOST = 1e4  # a channel is scaled by, either way


@dataclass(frozen=True, slots=True)
class Pair:
    """Two products of which the second reads only the first's channels.

    Attributes:
        first: Its node.
        second: Its node.
        between: The tensor that the second reads.
    """

    first: onnx.NodeProto
    second: onnx.NodeProto
    between: str


def equalize(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> int:
    """Scale the channels between pairs of products, in place; return how many pairs.

    Channel c is divided by sqrt(a / w): a is its largest activation on the samples, w the largest
    weight that reads it; afterwards both are sqrt(a w), but for a factor that all channels share.
    A channel that is always 0 stays.

    Args:
        model: In float, constants folded.
        feeds: Its inputs on calibration samples.
    """
    pairs = find_pairs(model)
    if not pairs:
        return 0
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    largest = _largest(model, [pair.between for pair in pairs], feeds)
    for pair in pairs:
        reading = _reading(numpy_helper.to_array(weights[pair.second.input[1]]))
        size, reach = largest[pair.between], np.abs(reading).max(axis=1)
        is_used = (size > 0) & (reach > 0)
        factors = np.ones(len(size))
        factors[is_used] = np.sqrt(size[is_used] / reach[is_used])
        factors[is_used] /= np.exp(np.log(factors[is_used]).mean()) if is_used.any() else 1.0
        _scale(pair, weights, np.clip(factors, 1 / _MOST, _MOST).astype(np.float32))
    return len(pairs)


def find_pairs(model: onnx.ModelProto) -> list[Pair]:
    """Return the pairs that can be scaled: nobody else reads their weights or what is between."""
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    readers = readers_of(graph)
    weights = {t.name: list(t.dims) for t in graph.initializer}
    pairs = []
    for second in graph.node:
        if not _is_plain(second, weights, readers):
            continue
        name = second.input[0]
        first = made_by.get(name)
        passes = readers[name] == 1
        while first is not None and passes and _keeps_channels(first):
            name = first.input[0]
            first, passes = made_by.get(name), readers[name] == 1
        if first is None or not passes or not _is_plain(first, weights, readers, reads_all=False):
            continue
        if _outputs(first, weights) == _inputs(second, weights):
            pairs.append(Pair(first, second, second.input[0]))
    return pairs


def _keeps_channels(node: onnx.NodeProto) -> bool:
    """Return whether a node may lie between: axis 1 stays what it is, and scaling goes through."""
    if node.op_type not in _BETWEEN or len([out for out in node.output if out]) > 1:
        return False
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return node.op_type != "Flatten" or given.get("axis", 1) == 1


def _is_plain(
    node: onnx.NodeProto,
    weights: dict[str, list[int]],
    readers: dict[str, int],
    *,
    reads_all: bool = True,
) -> bool:
    """Return whether a node is a Conv or Gemm whose weights and bias are its own.

    Args:
        node: Any.
        weights: Name to shape.
        readers: Tensor to how many read it.
        reads_all: Each of its outputs reads all of its inputs, as a grouped convolution's do not.
    """
    if node.op_type not in ("Conv", "Gemm") or len(node.input) < 2:
        return False
    if any(name not in weights or readers[name] > 1 for name in node.input[1:] if name):
        return False
    if any(weights[name] != [_outputs(node, weights)] for name in node.input[2:] if name):
        return False  # of a Gemm that adds something else to each row
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "Conv":
        return len(weights[node.input[1]]) == 4 and (given.get("group", 1) == 1 or not reads_all)
    usual = {"transA": 0, "transB": 1, "alpha": 1, "beta": 1}
    return all(given.get(k, int(k != "transB" and k != "transA")) == v for k, v in usual.items())


def _outputs(node: onnx.NodeProto, weights: dict[str, list[int]]) -> int:
    return weights[node.input[1]][0]


def _inputs(node: onnx.NodeProto, weights: dict[str, list[int]]) -> int:
    return weights[node.input[1]][1]


def _reading(weight: Array) -> Array:
    """Return the weights that read each input channel, (channels, everything else)."""
    return np.moveaxis(weight, 1, 0).reshape(weight.shape[1], -1)


def _largest(
    model: onnx.ModelProto, names: Sequence[str], feeds: Sequence[Feeds]
) -> dict[str, Array]:
    """Return the largest magnitude in each channel of some tensors."""
    largest: dict[str, Array] = {}
    for found in run_with_outputs(model, names, feeds):
        for name in names:
            value = np.abs(found[name])
            top = value.max(axis=(0, *range(2, value.ndim)))
            largest[name] = np.maximum(largest.get(name, top), top)
    return largest


def _scale(pair: Pair, weights: dict[str, Any], factors: Array) -> None:
    """Divide the first's outputs by ``factors`` and multiply what reads them."""
    for name in filter(None, pair.first.input[1:]):
        values = numpy_helper.to_array(weights[name])
        _set(weights[name], values / factors.reshape(-1, *[1] * (values.ndim - 1)))
    name = pair.second.input[1]
    values = numpy_helper.to_array(weights[name])
    _set(weights[name], values * factors.reshape(1, -1, *[1] * (values.ndim - 2)))


def _set(tensor: onnx.TensorProto, values: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
