"""Transposed convolutions as convolutions: ONNX Runtime has no INT8 kernel for the former on CPUs.

A transposed convolution of stride s writes s · s interleaved pictures, each an ordinary
convolution of the input by every s-th weight (Shi et al., "Is the deconvolution layer the same as
a convolutional layer?", 2016). One convolution makes them all, as channels, and DepthToSpace
interleaves them. Products with the zeros that even out the kernels aside, the arithmetic is that of
the original.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from edgedl.export.reads import readers_of

Array = npt.NDArray[Any]


def rewrite_conv_transposes(model: onnx.ModelProto) -> int:
    """Replace, in place, the transposed convolutions that can be; return how many.

    Those with groups, dilations, unequal strides, weights that are not constant, or sizes that
    are no multiple of the stride stay as they are. A batch normalisation or a ReLU that follows
    goes with the convolution, so that it can be fused.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    readers = readers_of(graph)
    read_first = {node.input[0]: node for node in graph.node if node.input}
    count = 0
    for node in list(graph.node):
        plan = _plan(node, weights) if node.op_type == "ConvTranspose" else None
        if plan is None:
            continue
        followers = _followers(node, readers, read_first, weights)
        _replace(graph, node, followers, plan, weights)
        count += 1
    if count:
        del graph.value_info[:]
        _drop_unused(graph)
    return count


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis is convolved: which offsets are summed, and the padding that takes.

    Attributes:
        stride: s.
        pad: p, of the transposed convolution's output.
        furthest: Largest j in ``input[q - j]``.
        taps: Length of the new kernel.
        after: Padding behind.
    """

    stride: int
    pad: int
    furthest: int
    taps: int
    after: int


def _axis(kernel: int, stride: int, before: int, behind: int, extra: int) -> _Axis | None:
    """Output o = q s + r takes input i by the weight k = (q - i) s + r + p, for 0 <= k < kernel."""
    excess = kernel - before - behind + extra - stride  # of the output over s · input
    if excess % stride:
        return None
    nearest = -((stride - 1 + before) // stride)  # the least j of any r
    furthest = (kernel - 1 - before) // stride
    taps = furthest - nearest + 1
    after = excess // stride - furthest + taps - 1
    return _Axis(stride, before, furthest, taps, after) if min(furthest, after) >= 0 else None


def _plan(node: onnx.NodeProto, weights: dict[str, Any]) -> tuple[_Axis, _Axis] | None:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.input[1] not in weights or any(name not in weights for name in node.input[2:] if name):
        return None
    dims = list(weights[node.input[1]].dims)
    if len(dims) != 4 or given.get("group", 1) != 1 or "output_shape" in given:
        return None
    strides, pads = given.get("strides", [1, 1]), given.get("pads", [0, 0, 0, 0])
    extra = given.get("output_padding", [0, 0])
    is_plain = given.get("auto_pad", b"NOTSET") == b"NOTSET"
    if strides[0] != strides[1] or set(given.get("dilations", [1])) != {1} or not is_plain:
        return None
    axes = [_axis(dims[2 + n], strides[n], pads[n], pads[2 + n], extra[n]) for n in (0, 1)]
    return (axes[0], axes[1]) if axes[0] and axes[1] else None


def _kernel(weight: Array, axes: tuple[_Axis, _Axis]) -> Array:
    """Return (O · s · s, C, taps, taps) of (C, O, K, K); the new channel is (o s + r) s + r'."""
    inputs, outputs, *size = weight.shape
    stride = axes[0].stride
    made = np.zeros(
        (outputs, stride, stride, inputs, axes[0].taps, axes[1].taps), dtype=weight.dtype
    )
    places = [
        [
            (r, tap, k)
            for r in range(stride)
            for tap in range(axis.taps)
            if 0 <= (k := (axis.furthest - tap) * stride + r + axis.pad) < length
        ]
        for axis, length in zip(axes, size, strict=True)
    ]
    for r, tap, k in places[0]:
        for r2, tap2, k2 in places[1]:
            made[:, r, r2, :, tap, tap2] = weight[:, :, k, k2].T
    return made.reshape(outputs * stride * stride, inputs, axes[0].taps, axes[1].taps)


def _followers(
    node: onnx.NodeProto,
    readers: Counter[str],
    read_first: dict[str, onnx.NodeProto],
    weights: dict[str, Any],
) -> list[onnx.NodeProto]:
    """Return the normalisation and the ReLU behind a node, if nothing else reads between them."""
    found: list[onnx.NodeProto] = []
    for kind in ("BatchNormalization", "Relu"):
        last = found[-1] if found else node
        after = read_first.get(last.output[0])
        if after is None or readers[last.output[0]] > 1 or after.op_type != kind:
            continue
        if all(name in weights for name in after.input[1:]):
            found.append(after)
    return found


def _replace(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    followers: list[onnx.NodeProto],
    axes: tuple[_Axis, _Axis],
    weights: dict[str, Any],
) -> None:
    weight = numpy_helper.to_array(weights[node.input[1]])
    has_bias = len(node.input) > 2 and node.input[2]
    bias = (
        numpy_helper.to_array(weights[node.input[2]])
        if has_bias
        else np.zeros(weight.shape[1], weight.dtype)
    )
    norms = [n for n in followers if n.op_type == "BatchNormalization"]
    if norms:
        weight, bias = _with_norm(weight, bias, norms[0], weights)
    stride, end = axes[0].stride, (followers[-1] if followers else node).output[0]
    name = node.name or node.output[0]
    taken = {t.name for t in graph.initializer}.union(*(one.output for one in graph.node))
    while not taken.isdisjoint(f"{name}_{part}" for part in ("kernel", "bias", "phases", "relu")):
        name += "_"
    tensors = {
        f"{name}_kernel": _kernel(weight, axes),
        f"{name}_bias": np.repeat(bias, stride * stride),
    }
    graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in tensors.items())
    pads = [axis.furthest for axis in axes] + [axis.after for axis in axes]
    made = [
        helper.make_node(
            "Conv",
            [node.input[0], *tensors],
            [f"{name}_phases"],
            name=name,
            kernel_shape=[axis.taps for axis in axes],
            pads=pads,
        )
    ]
    if any(n.op_type == "Relu" for n in followers):
        made.append(helper.make_node("Relu", [made[-1].output[0]], [f"{name}_relu"]))
    if stride > 1:
        made.append(
            helper.make_node(
                "DepthToSpace",
                [made[-1].output[0]],
                [end],
                name=f"{name}_interleave",
                blocksize=stride,
                mode="CRD",
            )
        )
    made[-1].output[0] = end
    index = list(graph.node).index(node)
    for old in (node, *followers):
        graph.node.remove(old)
    for offset, new in enumerate(made):
        graph.node.insert(index + offset, new)


def _with_norm(
    weight: Array, bias: Array, norm: onnx.NodeProto, weights: dict[str, Any]
) -> tuple[Array, Array]:
    """Fold a batch normalisation into the weight (C, O, K, K) and bias (O,) before it."""
    scale, shift, mean, var = (numpy_helper.to_array(weights[name]) for name in norm.input[1:5])
    eps = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
    factor = scale / np.sqrt(var + np.float32(eps))
    made = weight * factor[None, :, None, None]
    return made.astype(weight.dtype), ((bias - mean) * factor + shift).astype(bias.dtype)


def _drop_unused(graph: onnx.GraphProto) -> None:
    readers = readers_of(graph)
    for tensor in [t for t in graph.initializer if not readers[t.name]]:
        graph.initializer.remove(tensor)
