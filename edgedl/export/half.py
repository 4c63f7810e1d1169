"""Half precision, written into the graph: weights and arithmetic fp16, inputs and outputs fp32."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgedl.errors import BundleError
from edgedl.export.order import sort_nodes
from edgedl.export.scaling import scaling_nodes
from edgedl.export.tools import failing_as
from edgedl.runtime.session import open_session
from edgedl.timing import allowed_cores

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds

LARGEST = float(np.finfo(np.float16).max)

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN")
_FLOAT, _HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def to_half(
    source: Path, out: Path, feeds: Sequence[Feeds], *, raw_units: bool = False
) -> dict[str, float]:
    """Write the fp16 copy of an fp32 graph; nodes at values that fp16 cannot hold stay fp32.

    Inputs and outputs stay fp32, so that every precision of a bundle takes and gives the same
    tensors. ONNX Runtime computes most of an fp16 graph in fp32 on a CPU, so measuring its quality
    there would not show what overflows on a GPU: the fp32 values of real samples do.

    Args:
        source: The fp32 graph.
        out: What to write.
        feeds: Real inputs.
        raw_units: The inputs and outputs are in units of their own, such as 100000 Pa: what scales
            them stays fp32.

    Returns:
        Weights and tensors with values beyond fp16's range, to the largest magnitude of each.

    Raises:
        BundleError: E417 such values are everywhere, so that no product would be in fp16, E445
            nothing is float32, E446 the graph cannot be converted.
    """
    with failing_as(f"inferring the shapes of {source.name}"):
        model = onnx.shape_inference.infer_shapes(onnx.load(source))
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{index}"
    kept = scaling_nodes(model.graph) if raw_units else set()
    weights = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.value_info if value.name in weights]:
        model.graph.value_info.remove(value)  # the converter would cast those that stay fp32
    if _FLOAT not in _kinds(model.graph).values():
        msg = "fp16 has nothing to gain: nothing in the network is float32"
        raise BundleError("E445", msg)
    too_large = _too_large(model, kept, feeds)
    kept |= {n.name for n in model.graph.node if not too_large.keys().isdisjoint(_ends(n))}
    if too_large and not any(
        node.op_type in _PRODUCTS and node.name not in kept for node in model.graph.node
    ):
        name, largest = next(iter(too_large.items()))
        msg = (
            f"{source.name}: no product would be left in fp16, which ends at {LARGEST:.0f}: "
            f"{name!r} has a value of {largest:.3g}; --precision bf16 has the range of fp32"
        )
        raise BundleError("E417", msg)
    before = {node.name for node in model.graph.node}
    with failing_as(f"making fp16 of {source.name}"):
        half = convert_float_to_float16(
            model, keep_io_types=True, disable_shape_infer=True, node_block_list=sorted(kept)
        )
        _drop_copies(half.graph, before)
        _undo_rounding(half.graph, before)
        sort_nodes(half.graph)  # the casts of the inputs were appended at the end
        onnx.checker.check_model(half)
    onnx.save(half, out)
    return too_large


def _too_large(model: Any, kept: set[str], feeds: Sequence[Feeds]) -> dict[str, float]:
    """Return the weights and tensors, of nodes not ``kept``, that fp16 cannot hold."""
    halved = {name for n in model.graph.node if n.name not in kept for name in _ends(n)}
    largest = {
        tensor.name: float(np.abs(values).max(initial=0))
        for tensor in model.graph.initializer
        if tensor.name in halved
        and (values := onnx.numpy_helper.to_array(tensor)).dtype == np.float32
    }
    largest |= _largest(model, halved, feeds)
    # Infinity, as masks have it, is infinity in fp16 too.
    return {name: value for name, value in largest.items() if LARGEST < value < np.inf}


def _ends(node: Any) -> tuple[str, ...]:
    return (*node.input, *node.output)


def _largest(model: Any, names: set[str], feeds: Sequence[Feeds]) -> dict[str, float]:
    """Return the largest magnitude over all feeds of the float tensors of these names, in order."""
    order = [value.name for value in model.graph.input]
    order += [name for node in model.graph.node for name in node.output]
    kinds = _kinds(model.graph)
    watched = [name for name in order if name in names and kinds.get(name) == _FLOAT]
    if not watched:
        return {}
    watching = onnx.ModelProto()
    watching.CopyFrom(model)
    graph = watching.graph
    del graph.output[:]
    make = onnx.helper.make_node
    for index, name in enumerate(watched):
        graph.node.append(make("Abs", [name], [f"abs_{index}"]))
        graph.node.append(make("ReduceMax", [f"abs_{index}"], [f"max_{index}"], keepdims=0))
        graph.output.append(onnx.helper.make_tensor_value_info(f"max_{index}", _FLOAT, []))
    session = open_session(watching.SerializeToString(), "onnxruntime", allowed_cores())
    try:
        found = [session.run(one) for one in feeds]
    finally:
        session.close()
    return {
        name: max((float(one[f"max_{index}"]) for one in found), default=0.0)
        for index, name in enumerate(watched)
    }


def _kinds(graph: Any) -> dict[str, int]:
    """Return tensor to element type, but of weights."""
    values = (*graph.input, *graph.value_info, *graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def _drop_copies(graph: Any, before: set[str]) -> None:
    """Drop the second of two casts of a tensor: the converter writes it where x · x is fp32."""
    made: set[str] = set()
    for node in [node for node in graph.node if node.name not in before]:
        if made.issuperset(node.output):
            graph.node.remove(node)
        made.update(node.output)


def _undo_rounding(graph: Any, before: set[str]) -> None:
    """Join what is fp32 on both sides of a pair of casts: the converter rounds in between.

    It puts a cast to fp16 behind every input and every node that stays fp32, and one to fp32
    before the next.

    Args:
        graph: As converted.
        before: Names of the nodes that were there before.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    put_in = [node for node in graph.node if node.name not in before]
    for up in [node for node in put_in if _casts_to(node, _FLOAT)]:
        down = made_by.get(up.input[0])
        if down is None or down.name in before or not _casts_to(down, _HALF):
            continue
        old, new = up.output[0], down.input[0]
        if old in outputs:  # its name stays
            maker = made_by[new]
            maker.output[:] = [old if name == new else name for name in maker.output]
            old, new = new, old
        for node in graph.node:
            node.input[:] = [new if name == old else name for name in node.input]
        graph.node.remove(up)
    used = outputs.union(*(node.input for node in graph.node))
    for node in [node for node in put_in if _casts_to(node, _HALF)]:
        if node.output[0] not in used:
            graph.node.remove(node)
    made = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in made]:
        graph.value_info.remove(value)


def _casts_to(node: Any, kind: int) -> bool:
    return node.op_type == "Cast" and any(a.name == "to" and a.i == kind for a in node.attribute)
