"""An ONNX graph, or a branch or loop body in one, with what is known of its tensors."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

_OWN = ("", "ai.onnx")


@dataclass(frozen=True)
class Scope:
    """One graph; inner ones also see what the outer ones hold.

    Attributes:
        nodes: In the order they run.
        types: Tensor name to its ``TensorProto.DataType``, where it is known.
        shapes: Tensor name to its sizes; None where one is known only as it runs.
        constants: Name to tensor, of initializers and Constant nodes.
        makers: Tensor name to the node that makes it.
        outputs: Names of the graph's outputs.
        inputs: Inputs of the model.
        uint8_inputs: Those of them that are uint8.
        opset: Version of ONNX's own operators.
        functions: Domain and name of the model's own functions.
        inside: Operators of the nodes that hold the graph, the outermost first.
    """

    nodes: Sequence[Any]
    types: Mapping[str, int]
    shapes: Mapping[str, Sequence[int | None]]
    constants: Mapping[str, Any]
    makers: Mapping[str, Any]
    outputs: frozenset[str]
    inputs: frozenset[str]
    uint8_inputs: frozenset[str]
    opset: int
    functions: frozenset[tuple[str, str]]
    inside: tuple[str, ...] = ()

    def value(self, name: str) -> npt.NDArray[Any] | None:
        """Return a constant, None if the tensor is computed."""
        tensor = self.constants.get(name)
        return None if tensor is None else np.asarray(onnx.numpy_helper.to_array(tensor))

    def size(self, name: str, axis: int) -> int | None:
        """Return the size of an axis, None where it is not known."""
        shape = self.shapes.get(name, ())
        return shape[axis] if -len(shape) <= axis < len(shape) else None

    def is_function(self, node: Any) -> bool:
        """Return whether a node calls a function of the model itself."""
        return (node.domain, node.op_type) in self.functions

    def is_custom(self, node: Any) -> bool:
        """Return whether a node is of no domain of ONNX's own and no function of the model."""
        return node.domain not in _OWN and not self.is_function(node)

    def is_standard_name(self, operator: str) -> bool:
        """Return whether ONNX itself has an operator of that name."""
        return bool(onnx.defs.has(operator))

    def quantised_type(self, node: Any) -> int:
        """Return the integer type of a Q or DQ node; ONNX's default without a zero point."""
        if len(node.input) > 2 and node.input[2]:
            return int(self.types.get(node.input[2], TensorProto.UINT8))
        if node.op_type == "DequantizeLinear":
            return int(self.types.get(node.input[0], TensorProto.UINT8))
        return int(attribute(node, "output_dtype", 0) or TensorProto.UINT8)

    def input_behind(self, name: str) -> str | None:
        """Return the input of the model whose values a tensor is made of; shapes are no values."""
        waiting, seen = [name], set[str]()
        while waiting:
            name = waiting.pop()
            if name in self.inputs:
                return name
            node = self.makers.get(name)
            if node is not None and name not in seen and node.op_type not in ("Shape", "Size"):
                waiting += node.input
            seen.add(name)
        return None

    def variables(self, node: Any) -> Iterator[tuple[str, str]]:
        """Yield the name of each input and the type variable that ONNX gives it."""
        if node.domain not in _OWN or not onnx.defs.has(node.op_type, self.opset, ""):
            return
        formal = onnx.defs.get_schema(node.op_type, self.opset, "").inputs
        for index, name in enumerate(node.input):
            wanted = formal[min(index, len(formal) - 1)] if formal else None
            if name and wanted is not None and wanted.is_homogeneous:
                yield name, wanted.type_str

    def is_endless(self, loop: Any) -> bool:
        """Return whether a Loop's condition stays true: its body hands a constant or it on."""
        body = attribute(loop, "body", None)
        kept, given = body.output[0].name, body.input[1].name
        for node in body.node:
            if kept in node.output:
                return bool(
                    node.op_type == "Constant"
                    or (node.op_type == "Identity" and node.input[0] == given)
                )
        return kept == given or any(t.name == kept for t in body.initializer)


def attribute(node: Any, name: str, default: Any) -> Any:
    """Return an attribute of a node."""
    for item in node.attribute:
        if item.name == name:
            return onnx.helper.get_attribute_value(item)
    return default


def sides(model: onnx.ModelProto) -> tuple[list[Any], list[Any]]:
    """Return inputs, without weights that are listed as such, and outputs of a model."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights], list(model.graph.output)


def shape_of(value: Any) -> tuple[int | str, ...]:
    """Return the declared sizes of an input or output: numbers, names, ``"?"`` without either."""
    return tuple(
        size.dim_value if size.HasField("dim_value") else size.dim_param or "?"
        for size in value.type.tensor_type.shape.dim
    )


def scopes_of(model: onnx.ModelProto) -> Iterator[Scope]:
    """Yield the graph of a model and all graphs inside it, types inferred as far as possible."""
    opset = max((o.version for o in model.opset_import if o.domain in _OWN), default=1)
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, ValueError):  # too large, or types that differ
        inferred = model
    uint8 = frozenset(
        v.name for v in sides(model)[0] if v.type.tensor_type.elem_type == TensorProto.UINT8
    )
    functions = frozenset((f.domain, f.name) for f in model.functions)
    inputs = frozenset(v.name for v in sides(model)[0])
    nothing = Scope((), {}, {}, {}, {}, frozenset(), inputs, uint8, opset, functions)
    yield from _walk(inferred.graph, nothing)


def _walk(graph: Any, outer: Scope, inside: tuple[str, ...] = ()) -> Iterator[Scope]:
    types: dict[str, int] = {t.name: t.data_type for t in graph.initializer}
    shapes: dict[str, Sequence[int | None]] = {t.name: tuple(t.dims) for t in graph.initializer}
    constants = {t.name: t for t in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        types.setdefault(value.name, tensor.elem_type)
        shapes.setdefault(
            value.name, [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        )
    for node in graph.node:
        tensor = attribute(node, "value", None) if node.op_type == "Constant" else None
        if tensor is not None:
            constants[node.output[0]] = tensor
            types.setdefault(node.output[0], tensor.data_type)
    scope = Scope(
        nodes=graph.node,
        types=ChainMap(types, dict(outer.types)),
        shapes=ChainMap(shapes, dict(outer.shapes)),
        constants=ChainMap(constants, dict(outer.constants)),
        makers={name: node for node in graph.node for name in node.output},
        outputs=frozenset(value.name for value in graph.output),
        inputs=outer.inputs,
        uint8_inputs=outer.uint8_inputs,
        opset=outer.opset,
        functions=outer.functions,
        inside=inside,
    )
    yield scope
    for node in graph.node:
        for item in node.attribute:
            for inner in (*([item.g] if item.HasField("g") else []), *item.graphs):
                yield from _walk(inner, scope, (*inside, node.op_type))
