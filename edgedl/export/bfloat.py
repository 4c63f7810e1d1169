"""bfloat16, written into the graph: weights and activations bf16, inputs and outputs fp32.

bf16 has the exponents of fp32 and 8 bits of its 24, so nothing overflows that fp32 could hold: no
values need to be looked at, as ``half`` must, and all that is lost is digits. What that costs
cannot be measured with the graph itself on a CPU, where ONNX Runtime computes little in bf16;
``rounded`` makes a stand-in for it: the same graph computed in fp32, every tensor that is bf16 in
the one rounded to bf16 in the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from edgedl.export.order import sort_nodes
from edgedl.export.reads import read_by
from edgedl.export.scaling import scaling_nodes
from edgedl.export.tools import failing_as

_FLOAT, _BFLOAT = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
_WHOLE = frozenset(
    getattr(onnx.TensorProto, name)
    for name in ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
)

PRODUCTS = frozenset({"Conv", "Einsum", "Gemm", "MatMul"})
COMPUTING = PRODUCTS | {
    "Abs", "Add", "AveragePool", "BatchNormalization", "Clip", "Div", "Elu", "Erf", "Gelu",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "InstanceNormalization",
    "LayerNormalization", "LeakyRelu", "Max", "MaxPool", "Mean", "Min", "Mul", "Neg", "PRelu",
    "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Resize", "Selu", "Sigmoid",
    "Softmax", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh",
}  # fmt: skip
"""What is computed in bf16: a network's usual operators, of those that TensorRT-RTX 1.7 builds so.

It refuses ConvTranspose, GRU, HardSwish, LpPool, Mish and Shrink in bf16. LSTM and RNN stay fp32
because their state would be rounded from step to step where no stand-in can show it; Exp, Log, Pow,
Sin and the like because they make much of the digits that bf16 lacks.
"""
MOVING = frozenset(
    {
        "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND",
        "Identity", "Pad", "Reshape", "Slice", "SpaceToDepth", "Split", "Squeeze", "Tile",
        "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip
"""What only moves values: in bf16 where they are."""


def to_bfloat(source: Path, out: Path, raw_units: bool = False) -> int:
    """Write the bf16 copy of an fp32 graph.

    The opset stays: ONNX has bf16 for convolutions from opset 22 on only, TensorRT 10.3 reads none
    newer than 20 and goes by the tensors' own types.

    Args:
        source: The fp32 graph.
        out: What to write.
        raw_units: The inputs and outputs are in units of their own, such as 100000 Pa: what scales
            them stays fp32.

    Returns:
        How many convolutions and matrix products are in bf16.

    Raises:
        BundleError: E446 the graph cannot be converted.
    """
    with failing_as(f"inferring the shapes of {source.name}"):
        model = onnx.shape_inference.infer_shapes(onnx.load(source))
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"node_{index}"
    plan = _plan(model.graph, scaling_nodes(model.graph) if raw_units else set())
    products = sum(node.op_type in PRODUCTS for node in plan.lowered)
    with failing_as(f"making bf16 of {source.name}"):
        _lower(model.graph, plan)
        onnx.checker.check_model(model)
    onnx.save(model, out)
    return products


def rounded(path: Path) -> bytes:
    """Return the stand-in for a graph that ``to_bfloat`` wrote.

    All is computed in fp32, and what is bf16 in the file is rounded to that by a cast there and one
    back. What a node rounds inside itself on a GPU is not seen.
    """
    model = onnx.load(path)
    graph = model.graph
    low = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == _BFLOAT}
    for value in graph.value_info:
        if value.name in low:
            value.type.tensor_type.elem_type = _FLOAT
    for tensor in graph.initializer:
        if tensor.data_type == _BFLOAT:
            bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
            values = bits.view(np.float32).reshape(tuple(tensor.dims))
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        if node.op_type in MOVING:
            continue  # what it moves is rounded
        for index, name in enumerate(node.output):
            if name in low:
                raw, half = f"{name}_raw", f"{name}_low"
                node.output[index] = half if node.op_type == "Cast" else raw
                nodes += [] if node.op_type == "Cast" else [_cast(raw, half, _BFLOAT)]
                nodes.append(_cast(half, name, _FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    written: bytes = model.SerializeToString()
    return written


def round_to_bfloat(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bf16 numbers, of two that are as near those of the even."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).reshape(values.shape)
    near = (bits + (0x7FFF + (bits >> 16 & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(values), 0x7FC0, near).astype(np.uint16)


@dataclass
class _Plan:
    """What of a graph becomes bf16.

    Attributes:
        kinds: Tensor name to its ONNX type, where it is known.
        weights: Name to tensor, of initializers.
        suffix: Of the names of what is bf16.
        lowered: The nodes.
    """

    kinds: dict[str, int]
    weights: dict[str, Any]
    suffix: str = "_bf16"
    lowered: list[Any] = field(default_factory=list)

    def inputs(self, node: Any) -> list[str]:
        """Return the inputs of a node that are bf16 if the node is."""
        names = node.input[:1] if node.op_type == "Resize" else node.input
        return [name for name in names if self.kinds.get(name) == _FLOAT]

    def outputs(self, node: Any) -> list[str]:
        """Return the outputs of a node that are bf16 if the node is."""
        return [name for name in node.output if self.kinds.get(name) == _FLOAT]


def _plan(graph: Any, kept: set[str]) -> _Plan:
    """Choose the nodes: what computes with data, and what moves only such as is bf16 already."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kinds = {name: tensor.data_type for name, tensor in weights.items()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kinds.setdefault(value.name, value.type.tensor_type.elem_type)
    plan = _Plan(kinds, weights)
    while any(name.endswith(plan.suffix) for name in kinds):
        plan.suffix += "_"
    counts: set[str] = set()
    low: set[str] = set()
    for node in graph.node:
        made = plan.outputs(node)
        given = {name for name in plan.inputs(node) if name not in weights}
        if _is_counting(node, given, counts, kinds):
            counts.update(made)
        elif made and not node.domain and node.name not in kept:
            moves = node.op_type in MOVING and (not given or given & low)
            if moves or node.op_type in COMPUTING:
                plan.lowered.append(node)
                low.update(made)
    return plan


def _is_counting(node: Any, given: set[str], counts: set[str], kinds: dict[str, int]) -> bool:
    """Return whether a node makes floats of whole numbers, or computes with nothing but such.

    Numbers of pixels or words must stay exact, and bf16 has no 257. A product with weights ends it.
    """
    if node.op_type in ("Cast", "CastLike"):
        return kinds.get(node.input[0]) in _WHOLE
    return node.op_type not in PRODUCTS and bool(given) and given <= counts


def _lower(graph: Any, plan: _Plan) -> None:
    """Make the nodes of a plan bf16, with a cast wherever one side of a tensor stays fp32."""
    taken = dict.fromkeys(name for node in plan.lowered for name in plan.inputs(node))
    made = dict.fromkeys(name for node in plan.lowered for name in plan.outputs(node))
    for node in plan.lowered:
        low = {*plan.inputs(node), *plan.outputs(node)}
        for names in (node.input, node.output):
            names[:] = [name + plan.suffix if name in low else name for name in names]
    read = {value.name for value in graph.output}.union(*map(read_by, graph.node))
    casts = [name for name in taken if name not in made and name not in plan.weights]
    graph.node.extend(_cast(name, name + plan.suffix, _BFLOAT) for name in casts)
    graph.node.extend(_cast(name + plan.suffix, name, _FLOAT) for name in made if name in read)
    sort_nodes(graph)
    _lower_weights(graph, plan, [name for name in taken if name in plan.weights], read)
    _declare(graph, plan, [*made, *casts])


def _lower_weights(graph: Any, plan: _Plan, names: Sequence[str], read: set[str]) -> None:
    """Add bf16 copies of weights; those that nothing reads any more go."""
    for name in names:
        tensor = plan.weights[name]
        values = onnx.numpy_helper.to_array(tensor)
        bits = round_to_bfloat(values).astype("<u2").tobytes()
        make = onnx.helper.make_tensor
        graph.initializer.append(
            make(name + plan.suffix, _BFLOAT, list(tensor.dims), bits, raw=True)
        )
        if name not in read:
            graph.initializer.remove(tensor)


def _declare(graph: Any, plan: _Plan, names: Sequence[str]) -> None:
    """Say the types of what is bf16; no longer those of tensors that are not there any more."""
    known = {v.name: v for v in (*graph.input, *graph.value_info, *graph.output)}
    for name in names:
        value = onnx.ValueInfoProto()
        value.CopyFrom(known[name])
        value.name, value.type.tensor_type.elem_type = name + plan.suffix, _BFLOAT
        graph.value_info.append(value)
    there = {name for node in graph.node for name in node.output}
    for value in [value for value in graph.value_info if value.name not in there]:
        graph.value_info.remove(value)


def _cast(source: str, out: str, kind: int) -> Any:
    return onnx.helper.make_node("Cast", [source], [out], name=f"{source}_to_{out}", to=kind)
