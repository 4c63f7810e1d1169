"""Gives a foreign graph the inputs and outputs that edgedl's tasks have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx

from edgedl.errors import BundleError
from edgedl.export.graph_file import BATCH

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

    from edgedl.spec import ImageSpec


def as_classifier(model: ModelProto, image: ImageSpec, labels: tuple[str, ...]) -> ModelProto:
    """Return a graph from ``image`` (N, …) to ``logits`` (N, K).

    A softmax at the end is left out: edgedl makes probabilities of logits itself.

    Args:
        model: With one input and one output; left as it is.
        image: What goes in.
        labels: Names of the K classes.

    Raises:
        BundleError: E451 it is no graph of that kind.
    """
    made = with_picture(model, image)
    graph = made.graph
    if len(graph.output) != 1:
        msg = f"a classifier has one output; got {', '.join(v.name for v in graph.output)}"
        raise _unfit(msg)
    last = next((n for n in graph.node if graph.output[0].name in n.output), None)
    sizes = [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim]
    if len(sizes) != 2 or sizes[1] not in (0, len(labels)):
        msg = f"a classifier of {len(labels)} labels answers (N, {len(labels)}); got {sizes}"
        raise _unfit(msg)
    if last is not None and last.op_type == "Softmax":
        graph.output[0].name = last.input[0]
        graph.node.remove(last)
    _rename(graph, _own_inputs(graph)[0].name, "image")
    _rename(graph, graph.output[0].name, "logits")
    for value, size in ((_own_inputs(graph)[0], None), (graph.output[0], len(labels))):
        axes = value.type.tensor_type.shape.dim
        axes[0].dim_param = BATCH
        if size is not None:
            axes[1].dim_value = size
    del graph.value_info[:]
    return _inferred(made)


def with_picture(model: ModelProto, image: ImageSpec) -> ModelProto:
    """Return a graph whose one input has the sizes of a picture; open ones are filled in.

    Raises:
        BundleError: E451 it takes more than one input, or one that is no such picture.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    inputs = _own_inputs(made.graph)
    if len(inputs) != 1:
        msg = f"[image] is for models with one input; got {', '.join(v.name for v in inputs)}"
        raise _unfit(msg)
    tensor = inputs[0].type.tensor_type
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    axes = tensor.shape.dim
    fixed = [axis.dim_value for axis in axes]
    is_fit = len(fixed) == 4 and all(
        size <= 0 or size == wanted for size, wanted in zip(fixed[1:], image.shape[1:], strict=True)
    )
    if not is_fit or kind != image.dtype:
        msg = (
            f"[image] makes {image.layout} (N, {', '.join(map(str, image.shape[1:]))}) "
            f"{image.dtype}; input {inputs[0].name!r} is "
            f"({', '.join(str(a.dim_param or a.dim_value) for a in axes)}) {kind}"
        )
        raise _unfit(msg)
    for axis, size in zip(list(axes)[1:], image.shape[1:], strict=True):
        axis.dim_value = size
    del made.graph.value_info[:]
    return _inferred(made)


def _inferred(model: ModelProto) -> ModelProto:
    """Return a model with shapes inferred anew; onnx refuses what contradicts itself.

    Raises:
        BundleError: E451 the sizes do not fit each other.
    """
    try:
        made: ModelProto = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError as err:
        msg = f"the sizes of the input do not fit the graph: {' '.join(str(err).split())[:300]}"
        raise _unfit(msg) from err
    return made


def _own_inputs(graph: GraphProto) -> list[Any]:
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _rename(graph: GraphProto, old: str, new: str) -> None:
    """Give a tensor of a graph another name, and what had it before a third one."""
    if old == new:
        return
    names = {name for node in graph.node for name in (*node.input, *node.output)}
    if new in names:
        _rename(graph, new, f"{new}_")
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = new if value.name == old else value.name
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, old, new)


def _unfit(message: str) -> BundleError:
    return BundleError("E451", message)
