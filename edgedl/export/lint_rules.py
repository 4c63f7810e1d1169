"""The rules of ``edgedl.export.lint`` about single nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from onnx import TensorProto

from edgedl.export.graph_scope import Scope, attribute

Target = Literal["cpu", "rtx", "trt10", "trt11"]
Severity = Literal["error", "warning", "note"]

TARGETS: Mapping[Target, str] = {
    "cpu": "ONNX Runtime on a CPU",
    "rtx": "TensorRT-RTX",
    "trt10": "TensorRT 10.3 (JetPack 6)",
    "trt11": "TensorRT 11",
}
MAX_TOP_K = 3840

UNREAD = frozenset(
    {
        "AffineGrid", "Bernoulli", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
        "BitwiseXor", "CenterCropPad", "Col2Im", "Compress", "ConcatFromSequence", "ConvInteger",
        "DFT", "Det", "DynamicQuantizeLinear", "ImageDecoder", "MatMulInteger", "MaxRoiPool",
        "MaxUnpool", "MelWeightMatrix", "Multinomial", "NegativeLogLikelihoodLoss", "Optional",
        "OptionalGetElement", "OptionalHasElement", "QLinearConv", "QLinearMatMul",
        "RegexFullMatch", "SequenceAt", "SequenceConstruct", "SequenceEmpty", "SequenceErase",
        "SequenceInsert", "SequenceLength", "SequenceMap", "SoftmaxCrossEntropyLoss",
        "SplitToSequence", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
        "Unique",
    }
)  # fmt: skip
"""Operators that no TensorRT reads."""
UNREAD_BY: Mapping[Target, frozenset[str]] = {
    "cpu": frozenset(),
    "rtx": UNREAD | {"DeformConv", "NonMaxSuppression", "NonZero", "RoiAlign"},
    "trt10": UNREAD | {"BlackmanWindow", "HammingWindow", "HannWindow", "STFT"},
    "trt11": UNREAD,
}
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_ORT_DOMAINS = ("com.microsoft", "ai.onnx.ml")
_ONE_OUTPUT = ("BatchNormalization", "LayerNormalization", "MaxPool")
_LENIENT = ("Clip", "Pad")  # TensorRT casts their bounds itself
_POOLS = ("AveragePool", "LpPool", "MaxPool")
_SIZES: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Loop": (0,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (2, 3),
    "Slice": (1, 2, 4),
    "Tile": (1,),
    "TopK": (1,),
}
"""Operator to those inputs whose values are sizes."""
TENSORRT_TYPES = frozenset(
    (
        TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE,
        TensorProto.INT32, TensorProto.INT64, TensorProto.INT8, TensorProto.UINT8, TensorProto.BOOL,
        TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.FLOAT4E2M1, TensorProto.UNDEFINED,
    )
)  # fmt: skip
_MENDS = {
    "Multinomial": "; draw the samples outside the graph",
    "NonMaxSuppression": "; end the graph before it and suppress boxes outside",
    "NonZero": "; use masks (Where) instead of lists of places",
    "QLinearConv": "; write Q/DQ nodes around a Conv instead",
    "QLinearMatMul": "; write Q/DQ nodes around a MatMul instead",
    "RoiAlign": "; use GridSample",
}
_MEND = "; rewrite that part with other operators, or leave it outside the graph"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a runtime will stumble over.

    Attributes:
        severity: ``error``: it is refused or computes something else; ``warning``: it runs, slowly
            or not as meant; ``note``: worth knowing when feeding it.
        rule: What was broken, e.g. ``int32-bias``; stable.
        node: Name of the node, or of its first output; of inputs and outputs their name.
        operator: Its type; ``""`` where it is about the model or an input.
        text: A sentence with the mend.
    """

    severity: Severity
    rule: str
    node: str
    operator: str
    text: str

    def __str__(self) -> str:
        return f"{f'{self.operator} {self.node}'.strip()}: {self.text}"


Rule = Callable[[Any, Scope, Target], Iterator[Finding]]


def rules_for(target: Target) -> tuple[Rule, ...]:
    """Return the rules that a node must keep for a runtime."""
    common = (_training, _mixed_types)
    if target == "cpu":
        return (*common, _cpu_domain, _cpu_quantised, _cpu_half_scale)
    own = (_unread, _quantiser, _uint8, _operators, _recurrent, _shape_input, _loops, _nested)
    return (*common, *own)


def type_name(kind: int) -> str:
    """Return the name of an ONNX type as NumPy says it: ``float32``."""
    name = str(TensorProto.DataType.Name(kind)).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def of_node(severity: Severity, rule: str, node: Any, text: str) -> Finding:
    """Return a finding about a node."""
    name = node.name or next((name for name in node.output if name), "")
    return Finding(severity, rule, name, node.op_type, text)


# Rules about one node, for every runtime.


def _training(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    mend = "export in evaluation mode: model.eval()"
    if node.op_type == "BatchNormalization":
        if attribute(node, "training_mode", 0) or len(node.output) > 3:
            text = f"normalises by each batch, as in training; {mend}"
            yield of_node("error", "training-mode", node, text)
    elif node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        is_training = scope.value(node.input[2])
        if is_training is None or bool(np.any(is_training)):
            text = f"drops at random, as in training; {mend}"
            yield of_node("error", "training-mode", node, text)


def _mixed_types(node: Any, scope: Scope, target: Target) -> Iterator[Finding]:
    """Find inputs that ONNX wants of one type and that are not."""
    is_taken = target != "cpu" and node.op_type in _LENIENT
    seen: dict[str, tuple[str, int]] = {}
    for name, variable in scope.variables(node):
        kind = scope.types.get(name, TensorProto.UNDEFINED)
        if kind == TensorProto.UNDEFINED:
            continue
        first, first_kind = seen.setdefault(variable, (name, kind))
        if kind != first_kind:
            text = (
                f"its inputs must have one type; {first} is {type_name(first_kind)}, "
                f"{name} is {type_name(kind)}: insert a Cast"
            )
            yield of_node("warning" if is_taken else "error", "mixed-types", node, text)
            return


# Rules about one node, for ONNX Runtime on CPUs.


def _cpu_domain(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    if scope.is_custom(node) and node.domain not in _ORT_DOMAINS:
        text = f"ONNX Runtime has no operators of the domain {node.domain}; export without them"
        yield of_node("error", "custom-domain", node, text)


def _cpu_quantised(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    if node.op_type not in _PRODUCTS:
        return
    sources = [scope.makers.get(name) for name in node.input[:2]]
    if any(s is None or s.op_type != "DequantizeLinear" for s in sources) or len(sources) < 2:
        return
    if node.op_type == "ConvTranspose":
        text = (
            "is computed in float by ONNX Runtime, its Q/DQ nodes only cost time; leave it "
            "in float, or write it as Conv and DepthToSpace"
        )
        yield of_node("warning", "slow-convtranspose", node, text)
    given = sources[0]
    assert given is not None
    if scope.quantised_type(given) == TensorProto.INT8 and given.input[0] not in scope.constants:
        text = (
            "has int8 activations, with which x86 CPUs are slower than in float32; "
            "quantise activations to uint8, weights to int8"
        )
        yield of_node("warning", "s8s8", node, text)


def _cpu_half_scale(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    if _is_quantiser(node) and scope.types.get(node.input[1]) == TensorProto.FLOAT16:
        text = (
            "has a float16 scale, with which ONNX Runtime's optimiser has computed nonsense; "
            "keep scales in float32, with a Cast around"
        )
        yield of_node("warning", "half-scale", node, text)


# Rules about one node, for TensorRT.


def _unread(node: Any, scope: Scope, target: Target) -> Iterator[Finding]:
    own_domain = scope.is_custom(node)
    if own_domain and not scope.is_standard_name(node.op_type):
        text = (
            f"TensorRT has no operators of the domain {node.domain} and edgedl loads no plugins; "
            "export with ONNX's own operators"
        )
        yield of_node("error", "custom-domain", node, text)
    elif own_domain:
        text = (
            f"is of the domain {node.domain}; TensorRT goes by the name and takes ONNX's own "
            f"{node.op_type}: see that the two are equal"
        )
        yield of_node("warning", "custom-domain", node, text)
    elif node.op_type in UNREAD_BY[target] and not scope.is_function(node):
        text = f"{TARGETS[target]} has no such operator{_MENDS.get(node.op_type, _MEND)}"
        yield of_node("error", "unread-operator", node, text)


def _quantiser(node: Any, scope: Scope, target: Target) -> Iterator[Finding]:
    if not _is_quantiser(node):
        return
    kind = scope.quantised_type(node)
    given = scope.types.get(node.input[0])
    zero = scope.value(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    if node.op_type == "DequantizeLinear" and given == TensorProto.INT32:
        text = (
            "dequantises an int32 bias, which TensorRT refuses; keep biases in float: "
            "QuantizeBias=False in ONNX Runtime's quantiser"
        )
        yield of_node("error", "int32-bias", node, text)
    elif kind not in (TensorProto.UINT8, *TENSORRT_TYPES):
        text = f"quantises to {type_name(kind)}, which TensorRT does not have; quantise to int8"
        yield of_node("error", "dtype", node, text)
    elif zero is not None and np.any(zero.astype(np.float32)):
        text = (
            "has a zero point that is not 0, which TensorRT refuses; quantise symmetrically to int8"
        )
        yield of_node("error", "zero-point", node, text)
    elif kind == TensorProto.UINT8:
        is_named = attribute(node, "output_dtype", 0) == TensorProto.UINT8
        is_refused = (
            target == "trt10"
            or is_named
            or (
                given == TensorProto.UINT8
                and (node.op_type == "DequantizeLinear" and node.input[0] not in scope.makers)
            )
        )
        text = "quantises to uint8, which TensorRT reads as int8 or refuses; quantise to int8"
        yield of_node("error" if is_refused else "warning", "uint8-quantised", node, text)


def _uint8(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    """Find uint8 tensors inside: TensorRT has them only as inputs and outputs of the engine."""
    if _is_quantiser(node):
        return
    ends_here = all(name in scope.outputs for name in node.output)
    for name in node.input:
        if name in scope.uint8_inputs and not (
            node.op_type in ("Cast", "CastLike", "Shape")
            or (node.op_type == "Identity" and ends_here)
        ):
            text = f"uses the uint8 input {name}; make a Cast the first thing that happens to it"
            yield of_node("error", "uint8-inside", node, text)
    if node.op_type == "Cast" and not ends_here:
        kind = attribute(node, "to", 0)
        if kind == TensorProto.UINT8:
            text = "makes uint8, which only an output of the graph may be; cast to int32"
            yield of_node("error", "uint8-inside", node, text)
        elif kind not in TENSORRT_TYPES:
            text = f"casts to {type_name(kind)}, which TensorRT does not have; cast to int32"
            yield of_node("error", "dtype", node, text)


def _operators(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    """Check what TensorRT does not take of operators that it knows."""
    problem = ""
    if node.op_type == "TopK" and len(node.input) > 1:
        k = scope.value(node.input[1])
        if k is not None and k.size and int(k.ravel()[0]) > MAX_TOP_K:
            problem = f"takes the largest {int(k.ravel()[0])}; {MAX_TOP_K} is the most that goes"
    elif node.op_type == "Resize":
        if attribute(node, "antialias", 0):
            problem = "has antialias=1; export with antialias=False, or resize outside the graph"
        elif attribute(node, "coordinate_transformation_mode", b"") == b"tf_crop_and_resize":
            problem = "crops (tf_crop_and_resize); use GridSample, or Slice and Resize"
    elif node.op_type == "ScatterND" and attribute(node, "reduction", b"none") != b"none":
        problem = "has a reduction; gather, reduce, and scatter without one"
    elif node.op_type in _ONE_OUTPUT and sum(map(bool, node.output)) > 1:
        what = "the places of the maxima" if node.op_type == "MaxPool" else "statistics"
        problem = f"also gives {what}; export without that output, used or not"
    if node.op_type in _POOLS and any(d != 1 for d in attribute(node, "dilations", ())):
        problem = "is dilated; pool without dilations"
    if problem:
        rules = {"TopK": "top-k", "Resize": "resize-mode", "ScatterND": "scatter-reduction"}
        rule = rules.get(node.op_type, "one-output" if "also" in problem else "dilated-pool")
        yield of_node("error", rule, node, problem)


def _recurrent(node: Any, _: Scope, __: Target) -> Iterator[Finding]:
    if node.op_type not in ("GRU", "LSTM", "RNN"):
        return
    if attribute(node, "layout", 0):
        text = (
            "has layout=1 (batch first), which TensorRT does not look at: it reads the batch as "
            "time; export with layout 0 and a Transpose before and after"
        )
        yield of_node("error", "lstm-layout", node, text)
    if attribute(node, "input_forget", 0):
        text = "couples its input and forget gates; TensorRT has them apart only"
        yield of_node("error", "lstm-gates", node, text)


def _shape_input(node: Any, scope: Scope, _: Target) -> Iterator[Finding]:
    """Find sizes that hang on the value of an input: no profile of shapes can say its range."""
    for index in _SIZES.get(node.op_type, ()):
        name = node.input[index] if index < len(node.input) else ""
        if given := scope.input_behind(name):
            text = (
                f"takes a size from the value of the input {given}, for which TensorRT needs a "
                "range that edgedl does not give; make it a constant"
            )
            yield of_node("error", "shape-input", node, text)
            return


def _loops(node: Any, scope: Scope, target: Target) -> Iterator[Finding]:
    """Find collected outputs whose length is known only as it runs, which 10.x cannot make."""
    if target != "trt10" or node.op_type not in ("Loop", "Scan"):
        return
    if node.op_type == "Loop":
        carried = len(node.input) - 2
        is_fixed = bool(node.input[0]) and scope.value(node.input[0]) is not None
        ends_early = bool(node.input[1]) and not scope.is_endless(node)
        is_open = len(node.output) > carried and (not is_fixed or ends_early)
    else:
        scanned = node.input[-attribute(node, "num_scan_inputs", 1) :]
        axes = attribute(node, "scan_input_axes", ()) or [0] * len(scanned)
        lengths = [scope.size(name, axis) for name, axis in zip(scanned, axes, strict=False)]
        is_open = not any(isinstance(length, int) for length in lengths)
    if is_open:
        text = (
            "collects as many outputs as it makes rounds, and TensorRT 10 must know how many; "
            "carry a buffer of fixed size through the rounds instead"
        )
        yield of_node("error", "dynamic-scan", node, text)


def _nested(node: Any, scope: Scope, target: Target) -> Iterator[Finding]:
    if target == "rtx" and node.op_type == "If" and "If" in scope.inside:
        text = (
            "lies inside another If, which TensorRT-RTX 1.7 does not always build where sizes "
            "change; make a condition constant, or choose outside the graph"
        )
        yield of_node("warning", "nested-if", node, text)


def _is_quantiser(node: Any) -> bool:
    return node.op_type in ("QuantizeLinear", "DequantizeLinear")
