"""Somebody else's model: read without running code of its own, checked, and cleaned.

What comes out is one ONNX graph as the rest of an export likes it: weights are constants and inside
the file, batch norms are folded, constants computed, shapes inferred, the opset is one that
quantisers and TensorRT know, each open size has a name and each node its own.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnxruntime
from onnx import external_data_helper, inliner, version_converter

from edgedl.deps import explain_missing
from edgedl.errors import BundleError, EdgedlError, IntegrityError
from edgedl.export.graph_file import OPSET
from edgedl.export.lint import MAX_IR, part_in_training
from edgedl.export.model_file import MAX_BYTES, parsed, read_file
from edgedl.export.tools import failing_as, one_line

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto
    from torch.export import ExportedProgram

OPSETS = (7, 25)
"""The oldest and the newest operator set that is read."""

_LEAST_IR = 8
_NEW_OPSET = 21  # from here on graphs may need a newer IR than TensorRT 10.3 reads
_SILENT = 4
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "MatMulInteger")
_DTYPES = {
    getattr(onnx.TensorProto, name)
    for name in ("FLOAT", "DOUBLE", "INT8", "UINT8", "INT32", "INT64", "BOOL")
}
_RANDOM = (
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
)
_HALVES = (onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


@dataclass(frozen=True)
class Foreign:
    """A model as it came, and cleaned.

    Attributes:
        name: Of its file.
        sha256: Of its file.
        original: As it came, in ONNX, all data inside.
        cleaned: The graph an export goes on with.
        program: What ``original`` was made of, if it did not come as ONNX.
    """

    name: str
    sha256: str
    original: ModelProto
    cleaned: ModelProto
    program: ExportedProgram | None = None


def read_foreign(path: Path) -> Foreign:
    """Read, check and clean a model.

    Args:
        path: ``.onnx`` (opset 7 to 25), or ``.pt2`` as ``torch.export.save`` writes it.

    Raises:
        BundleError: E403 it cannot be read, E410 it is no model or was cut off, E412 ONNX Runtime
            cannot run it, E450 it is a pickle, E451 it is a model of a kind that cannot be
            exported, E452 it has operators that no runtime has.
        IntegrityError: E411 it wants files from elsewhere.
    """
    raw = read_file(path)
    program = None
    if path.suffix.lower() == ".pt2":
        with explain_missing(f"reading {path}"):
            from edgedl.export.program import onnx_of, read_program
        program = read_program(raw, path)
        original = onnx_of(program, path)
    else:
        original = parsed(raw, path)
        _take_in(original, path)
    _check(original, path)
    digest = hashlib.sha256(raw).hexdigest()
    return Foreign(path.name, digest, original, clean(original, path), program)


def refusal(model: ModelProto, path: Path) -> str | None:
    """Return why an export cannot begin with a model in ONNX, as it came, or None."""
    try:
        for tensor in _all_tensors(model.graph):
            if external_data_helper.uses_external_data(tensor):
                _beside(path, external_data_helper.ExternalDataInfo(tensor).location)
        _check(model, path)
    except EdgedlError as err:
        return f"error[{err.code}] {err}"
    return None


def clean(original: ModelProto, path: Path) -> ModelProto:
    """Return a model's graph as the rest of an export likes it; ``original`` stays as it is.

    The operator set is raised to 17 where onnx can do that and ONNX Runtime runs the result.

    Raises:
        BundleError: E412 ONNX Runtime cannot run the model, E446 onnx cannot read it.
    """
    with failing_as(f"reading the local functions of {path}"):
        model = _own_weights(inliner.inline_local_functions(original))
    try:
        made = _folded(_raised(model), path)
    except BundleError:  # no way from its operators to newer ones
        made = _folded(model, path)
    _tidy(made)
    _flatten_biases(made.graph)
    _make_outputs(made.graph)
    with failing_as(f"inferring the shapes of {path}"):
        made = onnx.shape_inference.infer_shapes(made)
    for value in (*made.graph.input, *made.graph.output):
        _name_sizes(value)
    with failing_as(f"checking {path}, cleaned,"):
        onnx.checker.check_model(made)
    return made


def _take_in(model: ModelProto, path: Path) -> None:
    """Put tensors into the model that lie in files beside it.

    A bundle never holds external data. What is taken in lies in the model's own folder, in regular
    files; a model that names anything else is not believed.

    Raises:
        BundleError: E451 it is too large with its data.
        IntegrityError: E411 it wants files that do not lie beside it.
    """
    tensors = [t for t in _all_tensors(model.graph) if external_data_helper.uses_external_data(t)]
    places = sorted({external_data_helper.ExternalDataInfo(t).location for t in tensors})
    total = sum(_beside(path, place).stat().st_size for place in places)
    if total > MAX_BYTES:
        msg = f"{path} has {total} bytes of data; one ONNX file ends at {MAX_BYTES}"
        raise _unfit(msg)
    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as err:
        msg = f"{path} keeps tensor data in files that do not fit: {one_line(err)}; export again"
        raise IntegrityError("E411", msg) from err
    for tensor in tensors:
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]


def _beside(path: Path, place: str) -> Path:
    """Return a file that lies beside a model.

    Raises:
        IntegrityError: E411 it does not, or is none.
    """
    file = path.parent / place
    if Path(place).name != place:
        why = "which lies elsewhere", "save the model as one file"
    elif file.is_symlink():
        why = "which is a link", "put a copy there of what it leads to (cp -L)"
    elif not file.is_file():
        why = "which is missing", "put that file there, by that name"
    else:
        return file
    msg = (
        f"{path} keeps tensor data in {place!r}, {why[0]}; only files that lie beside the model "
        f"are read: {why[1]}"
    )
    raise IntegrityError("E411", msg)


def _check(model: ModelProto, path: Path) -> None:
    """Raise when an export cannot begin with a model.

    Raises:
        BundleError: E451, E452.
    """
    opset = _opset(model)
    if not OPSETS[0] <= opset <= OPSETS[1]:
        msg = (
            f"{path} has opset {opset}; {OPSETS[0]} to {OPSETS[1]} are read: export it again with "
            f"opset {OPSET}"
        )
        raise _unfit(msg)
    nodes = list(_all_nodes(model.graph))
    local = {(function.domain, function.name) for function in model.functions}
    unknown = Counter(_spelled(node) for node in nodes if not _is_known(node, local))
    if unknown:
        names = ", ".join(f"{name} ({count})" for name, count in unknown.items())
        msg = (
            f"{path} has operators that neither ONNX Runtime nor TensorRT has: {names}; leave them "
            "out of the graph and export that: preparing pictures and reading answers is done "
            "outside"
        )
        raise BundleError("E452", msg)
    if random := next((node.op_type for node in nodes if node.op_type in _RANDOM), None):
        msg = (
            f"{path} answers by chance ({random}), so no graph can be held against it; make the "
            "random numbers an input"
        )
        raise _unfit(msg)
    if trained := part_in_training(model):
        msg = f"{path} has a part still in training: {trained}"
        raise _unfit(msg)
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        msg = f"{path} has sparse weights such as {name!r}; save it with dense ones"
        raise _unfit(msg)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if not inputs or not model.graph.output:
        msg = f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs"
        raise _unfit(msg)
    for value in (*inputs, *model.graph.output):
        _check_value(value, path)
    _check_is_float(model.graph, nodes, path)


def _is_known(node: NodeProto, local: set[tuple[str, str]]) -> bool:
    if (node.domain, node.op_type) in local:
        return True
    if node.domain == "com.microsoft":  # ONNX Runtime's own, of which onnx knows nothing
        return True
    domain = "" if node.domain == "ai.onnx" else node.domain
    return bool(onnx.defs.has(node.op_type, domain))


def _check_value(value: ValueInfoProto, path: Path) -> None:
    """Raise when something goes in or comes out that is no array of numbers."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        msg = f"{path}: {value.name!r} is a {(kind or 'thing').removesuffix('_type')}, no tensor"
        raise _unfit(msg)
    element = value.type.tensor_type.elem_type
    if element in _HALVES:
        msg = (
            f"{path}: {value.name!r} is half precision; begin with the float32 model, an export "
            "makes the others itself"
        )
        raise _unfit(msg)
    if element not in _DTYPES:
        name = onnx.TensorProto.DataType.Name(element).lower()
        msg = f"{path}: {value.name!r} holds {name}; a bundle takes and gives numbers"
        raise _unfit(msg)
    if not value.type.tensor_type.HasField("shape"):
        msg = f"{path}: {value.name!r} has no declared rank; run onnx.shape_inference on the model"
        raise _unfit(msg)


def _check_is_float(graph: GraphProto, nodes: Sequence[NodeProto], path: Path) -> None:
    """Raise when a model has been quantised, or halved, by somebody else."""
    quantised = [node.op_type for node in nodes if node.op_type in _QUANTISED]
    halves = [tensor.name for tensor in graph.initializer if tensor.data_type in _HALVES]
    if not quantised and not halves:
        return
    found = (
        f"is quantised already ({len(quantised)} nodes such as {quantised[0]})"
        if quantised
        else f"has {len(halves)} half precision weights such as {halves[0]!r}"
    )
    msg = f"{path} {found}; begin with the float32 model, an export makes the others itself"
    raise _unfit(msg)


def _unfit(message: str) -> BundleError:
    return BundleError("E451", message)


def _own_weights(model: ModelProto) -> ModelProto:
    """Make constants of weights that are listed as inputs, as files before IR 4 have to."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, _LEAST_IR)
    return model


def _raised(model: ModelProto) -> ModelProto:
    """Return a model with opset 17 at least."""
    if _opset(model) >= OPSET:
        return model
    with failing_as(f"raising the opset to {OPSET}"):
        made: ModelProto = version_converter.convert_version(model, OPSET)
    return made


def _folded(model: ModelProto, path: Path) -> ModelProto:
    """Return what ONNX Runtime makes of a graph on its first level: still plain ONNX.

    Raises:
        BundleError: E412 it cannot run the model.
    """
    options = onnxruntime.SessionOptions()
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_BASIC
    options.log_severity_level = _SILENT
    with tempfile.TemporaryDirectory(prefix="edgedl-clean-") as folder:
        out = Path(folder, "model.onnx")
        options.optimized_model_filepath = str(out)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # ONNX Runtime's exceptions share no base
            version = onnxruntime.__version__
            msg = f"{path} cannot run on ONNX Runtime {version}: {one_line(err)}"
            raise BundleError("E412", msg) from err
        made: ModelProto = onnx.load(out)
    return made


def _tidy(model: ModelProto) -> None:
    """Drop what no runtime reads, and give each node a name of its own."""
    used = {node.domain for node in _all_nodes(model.graph)}
    kept = [o for o in model.opset_import if o.domain in ("", "ai.onnx", *used)]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    if _opset(model) < _NEW_OPSET:
        model.ir_version = min(model.ir_version, MAX_IR)
    del model.metadata_props[:]
    model.doc_string = ""
    taken: set[str] = set()
    for index, node in enumerate(_all_nodes(model.graph)):
        node.doc_string = ""
        del node.metadata_props[:]
        if not node.name or node.name in taken:
            node.name = f"{node.name or node.op_type}_{index}"
        taken.add(node.name)


def _flatten_biases(graph: GraphProto) -> None:
    """Give the bias of a Gemm one axis, which is what quantisers know; (1, K) means the same."""
    biases = {node.input[2] for node in graph.node if node.op_type == "Gemm" and node.input[2:]}
    readers = Counter(name for node in _all_nodes(graph) for name in node.input)
    for tensor in graph.initializer:
        if tensor.name in biases and readers[tensor.name] == 1 and list(tensor.dims[:-1]) == [1]:
            del tensor.dims[0]
    changed = {tensor.name for tensor in graph.initializer} & biases
    for value in [value for value in graph.value_info if value.name in changed]:
        graph.value_info.remove(value)


def _make_outputs(graph: GraphProto) -> None:
    """Let a node make each output that is a constant: what comes out as one cannot become fp16."""
    outputs = {value.name for value in graph.output}
    for tensor in [tensor for tensor in graph.initializer if tensor.name in outputs]:
        name = tensor.name
        tensor.name = f"{name}_constant"
        node = onnx.helper.make_node("Identity", [tensor.name], [name], tensor.name)
        graph.node.insert(0, node)


def _name_sizes(value: ValueInfoProto) -> None:
    """Name the sizes of an input or output that are known only when it runs."""
    for axis, size in enumerate(value.type.tensor_type.shape.dim):
        if not size.dim_param and size.dim_value <= 0:
            size.dim_param = f"{value.name}_{axis}"


def _opset(model: ModelProto) -> int:
    """Return the version of the default operators, 0 if a model does not say it."""
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)


def _all_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _all_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yield the constants of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_tensors(inner)


def _spelled(node: NodeProto) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain else str(node.op_type)
