"""A trained network as ONNX graphs, one for each of its parts.

The graphs keep inside what TensorRT 10.3 (JetPack 6) reads: opset 20 and IR 10 at most, one file
without external data, batch normalisation folded into the convolutions. Search stays outside, and
recurrent parts are single steps or unrolled over a fixed number of them.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from edgedl.bundle.manifest import PACKED
from edgedl.errors import BundleError
from edgedl.export.lint import MAX_IR, MAX_OPSET, lint
from edgedl.export.shapes import try_shapes
from edgedl.spec import TensorSpec

if TYPE_CHECKING:
    from edgedl.train.torch_session import TorchSession

OPSET = 17
BATCH = "N"


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


def write_graphs(sessions: Mapping[str, TorchSession], folder: Path) -> dict[str, Path]:
    """Write ``ROLE.fp32.onnx`` for each part of a network.

    Args:
        sessions: Role to part, see ``train.torch_session.torch_sessions``.
        folder: Must exist.

    Returns:
        Role to file.

    Raises:
        BundleError: E413 a graph does not have the inputs, outputs and sizes of its part or does
            not run at them, E412 it needs more than TensorRT 10.3 reads.
    """
    paths = {role: folder / graph_name(role, "fp32") for role in sessions}
    for role, session in sessions.items():
        wanted = (session.inputs, session.outputs)
        _export(session.module, tuple(session.examples.values()), paths[role], wanted)
        check_graph(paths[role], *wanted)
        try_shapes(paths[role])
    return paths


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
    if trained := next((f for f in lint(model, "cpu") if f.rule == "training-mode"), None):
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


def _export(
    module: nn.Module,
    feeds: tuple[Tensor, ...],
    path: Path,
    wanted: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
) -> None:
    """Run PyTorch's exporter.

    The tracing exporter (``dynamo=False``) is the one that treats recurrent parts with dynamic
    axes correctly in every PyTorch since 2.4, and it needs no extra package.
    """
    inputs, outputs = wanted
    dynamic: Mapping[str, dict[int, str]] = {s.name: {0: BATCH} for s in (*inputs, *outputs)}
    with _quiet(), torch.inference_mode():
        torch.onnx.export(
            module,
            feeds,
            str(path),
            input_names=[s.name for s in inputs],
            output_names=[s.name for s in outputs],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    _tidy(path, outputs)


def _tidy(path: Path, outputs: Sequence[TensorSpec]) -> None:
    """Compute at export time what does not depend on the input, and name all output sizes.

    A traced ``chunk`` leaves Shape-Gather-Add-Div chains of small integers in the step, which
    would be computed again for every word. Inference then holds the sizes against the graph.
    """
    with _quiet():
        model = optimizer.optimize(onnx.load(path))
    for value, spec in zip(model.graph.output, outputs, strict=True):
        for axis, size in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if not axis.HasField("dim_value") and isinstance(size, int):
                axis.dim_value = size
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True), path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's deprecation notices and prints away from the user."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


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
