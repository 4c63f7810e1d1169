"""A graph's file: its name in a bundle, what it says of itself, and what it may be like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from edgedl.bundle.manifest import PACKED
from edgedl.errors import BundleError
from edgedl.export.lint import MAX_IR, MAX_OPSET, part_in_training
from edgedl.spec import TensorSpec

OPSET = 17
"""What graphs are written in."""

BATCH = "N"
"""The name of the batch axis."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What a graph file says about itself.

    Attributes:
        inputs: In the graph's order; the batch axis is ``"N"``.
        outputs: The same.
        operators: Operator type to count, most frequent first.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int]


def graph_name(role: str, precision: str) -> str:
    """Return the name of a graph's file; ``int8-packed`` is a step beside the int8-cpu encoder."""
    if precision == PACKED:
        return f"step.{PACKED}.safetensors" if role == "step" else graph_name(role, "int8-cpu")
    return f"{role}.{precision}.onnx"


def check_graph(
    path: Path, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> GraphFacts:
    """Return the facts of a graph, or raise when it is not what was asked for.

    An exporter may silently turn a dynamic axis into the size of its example; this finds it.

    Raises:
        BundleError: E413 other inputs or outputs, E412 a too new opset or IR, an unfolded batch
            normalisation, or external data.
    """
    model = onnx.load(path, load_external_data=False)
    facts = _facts(model)
    for kind, want, got in (("inputs", inputs, facts.inputs), ("outputs", outputs, facts.outputs)):
        if tuple(want) != got:
            msg = f"{path.name} {kind} must be {_spell(want)}; got {_spell(got)}"
            raise BundleError("E413", msg)
    opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    problem = None
    if opset > MAX_OPSET or model.ir_version > MAX_IR:
        problem = f"opset {opset} and IR {model.ir_version}; at most {MAX_OPSET} and {MAX_IR} go"
    if "BatchNormalization" in facts.operators:
        problem = "a batch normalisation that was not folded; export in evaluation mode"
    if trained := part_in_training(model):
        problem = f"a part still in training: {trained}"
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        problem = "weights outside the file"
    if problem:
        msg = f"{path.name} has {problem}"
        raise BundleError("E412", msg)
    onnx.checker.check_model(model)
    return facts


def read_facts(path: Path) -> GraphFacts:
    """Return the inputs, outputs and operators of a graph file."""
    return _facts(onnx.load(path, load_external_data=False))


def _facts(model: Any) -> GraphFacts:
    weights = {t.name for t in model.graph.initializer}
    counts = Counter(node.op_type for node in model.graph.node)
    return GraphFacts(
        inputs=tuple(_spec(v) for v in model.graph.input if v.name not in weights),
        outputs=tuple(_spec(v) for v in model.graph.output),
        operators=dict(counts.most_common()),
    )


def _spec(value: Any) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_param or d.dim_value for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    return TensorSpec(name=value.name, dtype=dtype, shape=shape)


def _spell(specs: Sequence[TensorSpec]) -> str:
    return ", ".join(f"{s.name} {s.dtype} ({', '.join(map(str, s.shape))})" for s in specs)
