"""Two INT8 graphs from one calibration, because the engines want opposite things.

``int8-cpu``: uint8 activations and int8 weights, which is what the dot product instructions of
x86 take and what Arm runs as well; the single step of a decoder with weights only, its activations
being quantised as they come. ``int8-trt``: symmetric int8 with zero point 0 and float bias,
everything else is refused by TensorRT; Q/DQ pairs on the inputs of convolutions and matrix products
only.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import onnx
from onnxruntime.quantization import (
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgedl.export.calibrate import Reader

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds

PRODUCTS = ("Conv", "Gemm", "MatMul")
LEAST_WEIGHTS = 16384
"""A smaller product with weights is not faster in int8 on a CPU: its input is quantised first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How ranges are chosen and what stays float.

    Attributes:
        method: ``minmax`` takes every value in; ``percentile`` cuts off the rarest 0.01 %;
            ``entropy`` keeps the distribution's information; ``weights only`` needs no samples,
            activations are quantised as they come.
        reduce_range: Seven bits of weights instead of eight; see ``saturates``.
        keep_ends: Leave the first product, which sees what comes in, and the last, which makes the
            answer, in float.
        keep_attention: Leave matrix products of activations with each other (attention) in float.
    """

    method: Literal["minmax", "percentile", "entropy", "weights only"] = "minmax"
    reduce_range: bool = False
    keep_ends: bool = False
    keep_attention: bool = False

    def __str__(self) -> str:
        kept = [
            *(["first and last product"] if self.keep_ends else []),
            *(["attention"] if self.keep_attention else []),
        ]
        bits = ", 7-bit weights" if self.reduce_range else ""
        return self.method + bits + (f", {' and '.join(kept)} in float" if kept else "")


RECIPES = (
    Recipe(),
    Recipe(method="percentile"),
    Recipe(method="percentile", keep_attention=True),
    Recipe(method="percentile", keep_ends=True, keep_attention=True),
    Recipe(method="entropy", keep_ends=True, keep_attention=True),
)
"""Tried in this order until the quality holds: each costs a little more speed than the last."""


def recipes_for(
    precision: str, machine: Mapping[str, Any], graphs: Mapping[str, Path]
) -> tuple[Recipe, ...]:
    """Return the recipes to try for an INT8 precision, none of which makes the same as another.

    Args:
        precision: ``int8-cpu`` or ``int8-trt``.
        machine: Where it will run, see ``machine_facts``.
        graphs: Role to fp32 graph.
    """
    ranged = [path for role, path in graphs.items() if not weights_only(precision, role)]
    attends = any(_attention(onnx.load(path)) for path in ranged)
    seven_bits = precision == "int8-cpu" and saturates(machine)
    recipes = [
        replace(
            recipe,
            method=recipe.method if ranged else "weights only",
            reduce_range=seven_bits,
            keep_attention=recipe.keep_attention and attends,
        )
        for recipe in RECIPES
    ]
    return tuple(dict.fromkeys(recipes))


def weights_only(precision: str, role: str) -> bool:
    """Return whether a graph's activations get their ranges as it runs: a single step on CPUs."""
    return precision == "int8-cpu" and role == "step"


def saturates(machine: Mapping[str, Any]) -> bool:
    """Return whether sums of uint8 · int8 overflow 16 bits on that processor.

    x86 before VNNI adds two such products in 16 bits; weights of seven bits cannot overflow it.
    """
    features = " ".join(machine["cpu_features"])
    return machine["arch"] in ("x86_64", "AMD64") and not ("vnni" in features or "amx" in features)


_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}


def int8_cpu(source: Path, out: Path, feeds: Sequence[Feeds], recipe: Recipe) -> None:
    """Write a graph for CPUs: U8S8 Q/DQ, weights per channel.

    Convolutions keep uint8 between them; what leaves the graph comes from a product in float.
    """
    with _prepared(source) as prepared:
        quantize_static(
            prepared,
            out,
            Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=recipe.reduce_range,
            calibrate_method=_METHODS[recipe.method],
            op_types_to_quantize=[*PRODUCTS, "Relu"],
            nodes_to_exclude=_kept(prepared, recipe),
            extra_options={
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
                **_range_options(recipe),
            },
        )


def int8_cpu_weights(
    source: Path, out: Path, recipe: Recipe, least_weights: int = LEAST_WEIGHTS
) -> None:
    """Write a step for CPUs: int8 weights, activations quantised at run time.

    Only products with at least ``least_weights`` weights: quantising the small rest would cost
    time and accuracy.
    """
    with _prepared(source) as prepared:
        model = onnx.load(prepared)
        del model.graph.value_info[:]  # a transposed weight keeps its old shape there
        onnx.save(model, prepared)
        quantize_dynamic(
            prepared,
            out,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            reduce_range=recipe.reduce_range,
            nodes_to_exclude=_kept(prepared, recipe) + _small(prepared, least_weights),
            extra_options={"MatMulConstBOnly": True},
        )


def int8_trt(source: Path, out: Path, feeds: Sequence[Feeds], recipe: Recipe) -> None:
    """Write a graph for TensorRT: symmetric S8S8, zero points 0, inputs of products only."""
    with _prepared(source) as prepared:
        quantize_static(
            prepared,
            out,
            Reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[recipe.method],
            op_types_to_quantize=list(PRODUCTS),
            nodes_to_exclude=_kept(prepared, recipe),
            extra_options={
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,
                "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
                **_range_options(recipe),
            },
        )
    _spare_others(out)


def _spare_others(path: Path) -> None:
    """Give everything but products the float tensor back.

    The quantiser hands the rounded values of a product's input to all other readers of that
    tensor too, which loses accuracy and gains nothing. Not for uint8 graphs: there a Q/DQ pair
    whose range starts at 0 has taken the place of a Relu.
    """
    model = onnx.load(path)
    made_by = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in (*PRODUCTS, "QuantizeLinear", "DequantizeLinear"):
            continue
        for index, name in enumerate(node.input):
            dequantize = made_by.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = made_by.get(dequantize.input[0])
            if quantize is not None and quantize.op_type == "QuantizeLinear":
                node.input[index] = quantize.input[0]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _range_options(recipe: Recipe) -> dict[str, Any]:
    return {"CalibPercentile": 99.99} if recipe.method == "percentile" else {}


def _kept(prepared: Path, recipe: Recipe) -> list[str]:
    """Return the names of the nodes that stay float."""
    model = onnx.load(prepared)
    weights = {tensor.name for tensor in model.graph.initializer}
    kept = []
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    if recipe.keep_ends:
        ends = [node.name for node in products if weights.intersection(node.input)]
        kept += [name + suffix for name in ends[:1] + ends[-1:] for suffix in ("", "_MatMul")]
    if recipe.keep_attention:
        kept += _attention(model)
    return kept


def _attention(model: Any) -> list[str]:
    """Return the names of the products of activations with each other."""
    weights = {tensor.name for tensor in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS]
    return [node.name for node in products if not weights.intersection(node.input)]


def _small(prepared: Path, least_weights: int) -> list[str]:
    """Return the names of the products with fewer weights.

    The quantiser makes a MatMul of each Gemm before it looks at names, hence the second spelling.
    """
    model = onnx.load(prepared)
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in model.graph.initializer}
    return [
        node.name + suffix
        for node in model.graph.node
        if node.op_type in PRODUCTS and max(sizes.get(i, 0) for i in node.input) < least_weights
        for suffix in ("", "_MatMul")
    ]


@contextlib.contextmanager
def _prepared(source: Path) -> Iterator[Path]:
    """Infer shapes and fuse what can be fused, in a file of its own; keep the quantiser quiet."""
    root = logging.getLogger()
    quiet = _NoAdvice()
    root.addFilter(quiet)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="edgedl-quantize-") as folder,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            prepared = Path(folder) / source.name
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            yield prepared
    finally:
        root.removeFilter(quiet)


class _NoAdvice(logging.Filter):
    """Drops what the quantiser writes to the root logger: advice on steps we already took."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "quant" not in record.pathname.lower()
