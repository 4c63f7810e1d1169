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
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType, quantize_dynamic
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import add_infer_metadata
from onnxruntime.quantization.shape_inference import quant_pre_process

from edgedl.export.bias_correction import corrected_biases, set_biases
from edgedl.export.conv_transpose import rewrite_conv_transposes
from edgedl.export.equalize import equalize
from edgedl.export.observe import Histogram, observe
from edgedl.export.order import sort_nodes
from edgedl.export.products import (
    CPU_PRODUCTS,
    FOLLOWERS,
    PRODUCTS,
    as_it_runs,
    followers,
    with_ranges,
)
from edgedl.export.ranges import METHODS, Method, range_of
from edgedl.export.tools import failing_as

if TYPE_CHECKING:
    from edgedl.export.replay import Feeds

LEAST_WEIGHTS = 16384
"""A smaller product with weights is not faster in int8 on a CPU: its input is quantised first."""

_TALKING = ("onnxruntime.quantization.shape_inference",)  # other modules use the root logger

Array = npt.NDArray[Any]
Place = tuple[str, str]
"""A graph's role and a node's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How ranges are chosen and what stays float.

    Attributes:
        method: See ``range_of``; ``weights only`` needs no samples, activations are quantised as
            they come.
        equalized: Channels are made alike first, see ``equalize``.
        reduce_range: Seven bits of weights instead of eight; see ``saturates``.
        in_float: The products that are left alone.
    """

    method: Method | Literal["weights only"] = "minmax"
    equalized: bool = False
    reduce_range: bool = False
    in_float: tuple[Place, ...] = ()

    def __str__(self) -> str:
        bits = ", 7-bit weights" if self.reduce_range else ""
        many = "" if len(self.in_float) == 1 else "s"
        kept = f", {len(self.in_float)} layer{many} in float" if self.in_float else ""
        alike = ", channels equalized" if self.equalized else ""
        return f"{self.method}{alike}{bits}{kept}"


@dataclass(frozen=True)
class Prepared:
    """A float graph ready to be quantised.

    Attributes:
        role: Its role.
        model: Its shapes inferred, constants folded, norms fused into convolutions.
        for_cpu: The same for CPUs, which have no int8 kernel for some operators; in them, others
            that amount to the same. May be ``model`` itself.
        histograms: What came in and out of the nodes that may become int8, for each tensor.
    """

    role: str
    model: onnx.ModelProto
    for_cpu: onnx.ModelProto
    histograms: Mapping[str, Histogram]

    def graph(self, precision: str) -> onnx.ModelProto:
        """Return what a precision is made from; not to be changed."""
        return self.for_cpu if precision == "int8-cpu" else self.model

    def ranges(self, method: Method) -> Mapping[str, tuple[float, float]]:
        """Return the range of each tensor by a method; found once, for many recipes share it."""
        if method not in self._ranges:
            found = {name: range_of(h, method) for name, h in self.histograms.items()}
            self._ranges[method] = found
        return self._ranges[method]

    def biases(self, model: onnx.ModelProto, largest: int) -> Mapping[str, tuple[str, Array]]:
        """Return the corrected biases of one of the two graphs; found once, as ranges are."""
        key = (model is self.for_cpu, largest)
        if key not in self._biases:
            means = {name: h.means for name, h in self.histograms.items() if h.means is not None}
            self._biases[key] = corrected_biases(model, means, largest)
        return self._biases[key]

    @cached_property
    def _biases(self) -> dict[tuple[bool, int], dict[str, tuple[str, Array]]]:
        return {}

    @cached_property
    def _ranges(self) -> dict[Method, dict[str, tuple[float, float]]]:
        return {}

    def finds_ranges_as_it_runs(self, precision: str) -> bool:
        """Return whether activations get their ranges anew in each call.

        On CPUs that is so in graphs without convolutions: between products of recurrent cells
        stands so much else that Q/DQ pairs cost more than they save.
        """
        kinds = {node.op_type for node in self.for_cpu.graph.node}
        return precision == "int8-cpu" and not kinds & {"Conv", "ConvTranspose"}


def recipes_for(
    precision: str, machine: Mapping[str, Any], graphs: Mapping[str, Prepared]
) -> tuple[Recipe, ...]:
    """Return the recipes to try for an INT8 precision, none of which makes the same as another.

    Args:
        precision: ``int8-cpu`` or ``int8-trt``.
        machine: Where it will run, see ``machine_facts``.
        graphs: Role to graph.
    """
    seven_bits = precision == "int8-cpu" and saturates(machine)
    if all(graph.finds_ranges_as_it_runs(precision) for graph in graphs.values()):
        return (Recipe(method="weights only", reduce_range=seven_bits),)
    return tuple(Recipe(method=method, reduce_range=seven_bits) for method in METHODS)


def places(precision: str, prepared: Prepared) -> tuple[Place, ...]:
    """Return the products of a graph that a precision makes int8, in the graph's order."""
    graph = prepared.graph(precision).graph
    if prepared.finds_ranges_as_it_runs(precision):
        products = as_it_runs(graph, LEAST_WEIGHTS)
    else:
        products = with_ranges(graph, CPU_PRODUCTS if precision == "int8-cpu" else PRODUCTS)
    return tuple((prepared.role, node.name) for node in products)


def saturates(machine: Mapping[str, Any]) -> bool:
    """Return whether sums of uint8 · int8 overflow 16 bits on that processor.

    x86 before VNNI adds two such products in 16 bits; weights of seven bits cannot overflow it.
    """
    features = " ".join(machine["cpu_features"])
    return machine["arch"] in ("x86_64", "AMD64") and not ("vnni" in features or "amx" in features)


def prepare(
    role: str, source: Path, feeds: Sequence[Feeds], *, equalized: bool = False
) -> Prepared:
    """Tidy a graph up and look at what its tensors hold; once for all precisions and recipes.

    Args:
        role: The graph's role.
        source: It, in float.
        feeds: Its inputs on calibration samples.
        equalized: Make channels alike first, where that can be done.

    Raises:
        BundleError: E414 a tensor becomes infinite or NaN on these samples, E446 the graph cannot
            be prepared.
    """
    with failing_as(f"preparing {source.name} for INT8"):
        model = _tidy(onnx.load(source))
        if equalized:
            equalize(model, feeds)
        for_cpu = _copy(model)
        for_cpu = _tidy(for_cpu) if rewrite_conv_transposes(for_cpu) else model
    histograms = observe(model, _of_interest(model), feeds)
    if for_cpu is not model:
        new = _of_interest(for_cpu) - histograms.keys()
        histograms |= observe(for_cpu, new, feeds)
    return Prepared(role, model, for_cpu, histograms)


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory(prefix="edgedl-quantize-") as folder, _quiet():
        source, tidy = Path(folder) / "source.onnx", Path(folder) / "tidy.onnx"
        onnx.save(model, source)
        quant_pre_process(str(source), str(tidy), skip_symbolic_shape=True)
        model = onnx.load(tidy)
    add_infer_metadata(model)  # or the quantiser would infer all shapes again, by way of a file
    return model


def _of_interest(model: onnx.ModelProto) -> set[str]:
    """Return the names of the tensors whose ranges may be needed."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {
        name
        for node in model.graph.node
        if node.op_type in (*PRODUCTS, *FOLLOWERS)
        for name in (*node.input, *node.output)
        if name and name not in weights
    }


def write_int8(precision: str, prepared: Prepared, out: Path, recipe: Recipe) -> None:
    """Write the graph of a precision: ``int8-cpu`` or ``int8-trt``.

    Raises:
        BundleError: E446 the graph cannot be quantised.
    """
    with failing_as(f"making {precision} of the {prepared.role} graph"):
        if prepared.finds_ranges_as_it_runs(precision):
            int8_cpu_weights(prepared, out, recipe, LEAST_WEIGHTS)
        elif precision == "int8-cpu":
            int8_cpu(prepared, out, recipe)
        else:
            int8_trt(prepared, out, recipe)


def int8_cpu(prepared: Prepared, out: Path, recipe: Recipe) -> None:
    """Write a graph for CPUs: U8S8 Q/DQ, weights per channel.

    Convolutions keep uint8 between them; what leaves the graph comes from a product in float.
    """
    model = _quantized(
        "int8-cpu",
        prepared,
        recipe,
        QuantType.QUInt8,
        [*CPU_PRODUCTS, *FOLLOWERS],
        {"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
    )
    onnx.save(model, out)


def int8_cpu_weights(prepared: Prepared, out: Path, recipe: Recipe, least_weights: int) -> None:
    """Write a step for CPUs: int8 weights, activations quantised at run time.

    Only products with at least ``least_weights`` weights: quantising the small rest would cost
    time and accuracy.
    """
    model = _copy(prepared.for_cpu)
    products, in_float = as_it_runs(model.graph, least_weights), _in_float(prepared, recipe)
    del model.graph.value_info[:]  # a transposed weight keeps its old shape there
    with _quiet():
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            reduce_range=recipe.reduce_range,
            nodes_to_exclude=_left_alone(model.graph, {n.name for n in products} - in_float),
            extra_options={"MatMulConstBOnly": True},
        )


def int8_trt(prepared: Prepared, out: Path, recipe: Recipe) -> None:
    """Write a graph for TensorRT: symmetric S8S8, zero points 0, inputs of products only."""
    model = _quantized(
        "int8-trt",
        prepared,
        recipe,
        QuantType.QInt8,
        list(PRODUCTS),
        {
            "ActivationSymmetric": True,
            "QuantizeBias": False,
            "OpTypesToExcludeOutputQuantization": list(PRODUCTS),
        },
    )
    _spare_others(model, _chosen("int8-trt", prepared, recipe))
    raw = model.SerializeToString()
    onnx.checker.check_model(raw)
    out.write_bytes(raw)


def _quantized(
    precision: str,
    prepared: Prepared,
    recipe: Recipe,
    kind: Any,
    operators: list[str],
    options: dict[str, Any],
) -> onnx.ModelProto:
    """Return the graph with Q/DQ pairs, by ONNX Runtime's writer and the ranges of ``recipe``.

    Args:
        precision: Whose graph of ``prepared`` it is; that is left as it is.
        prepared: The graphs and their ranges.
        recipe: How ranges are chosen and what stays float.
        kind: Of activations.
        operators: What becomes int8.
        options: Further ones of the writer.
    """
    assert recipe.method != "weights only"
    ranges = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in prepared.ranges(recipe.method).items()
    }
    model = prepared.graph(precision)
    left_alone = _left_alone(model.graph, _chosen(precision, prepared, recipe))
    corrected = _copy(model)
    set_biases(corrected, prepared.biases(model, 64 if recipe.reduce_range else 127), left_alone)
    with _quiet():
        quantizer = QDQQuantizer(
            corrected,
            per_channel=True,
            reduce_range=recipe.reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=kind,
            tensors_range=TensorsData(CalibrationMethod.MinMax, ranges),
            nodes_to_quantize=[],
            nodes_to_exclude=left_alone,
            op_types_to_quantize=operators,
            extra_options={"WeightSymmetric": True, **options},
        )
        quantizer.quantize_model()
        sort_nodes(quantizer.model.model.graph)
    made: onnx.ModelProto = quantizer.model.model
    return made


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made


def _spare_others(model: onnx.ModelProto, chosen: set[str]) -> None:
    """Give everything but the products chosen for INT8 the float tensor back.

    The quantiser hands the rounded values of a product's input to all other readers of that
    tensor too, which loses accuracy and gains nothing. Not for uint8 graphs: there a Q/DQ pair
    whose range starts at 0 has taken the place of a Relu.
    """
    made_by = {node.output[0]: node for node in model.graph.node}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        if node.name in chosen:
            continue
        for index, name in enumerate(node.input):
            dequantize = made_by.get(name)
            if dequantize is None or dequantize.op_type != "DequantizeLinear":
                continue
            quantize = made_by.get(dequantize.input[0])
            if quantize is not None and quantize.op_type == "QuantizeLinear":
                node.input[index] = quantize.input[0]


def _chosen(precision: str, prepared: Prepared, recipe: Recipe) -> set[str]:
    return {name for _role, name in places(precision, prepared)} - _in_float(prepared, recipe)


def _in_float(prepared: Prepared, recipe: Recipe) -> set[str]:
    return {name for role, name in recipe.in_float if role == prepared.role}


def _left_alone(graph: onnx.GraphProto, chosen: set[str]) -> list[str]:
    """Return the names of the other products, and of what must stay behind any of them.

    The quantiser makes a MatMul of each Gemm before it looks at names, hence the second spelling.
    """
    may_go = chosen.union(node.name for node in followers(graph))
    kinds = (*PRODUCTS, *FOLLOWERS)
    names = [n.name for n in graph.node if n.op_type in kinds and n.name not in may_go]
    return [name + suffix for name in names for suffix in ("", "_MatMul")]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep ONNX Runtime's quantiser from printing."""
    loggers = [logging.getLogger(name) for name in (None, *_TALKING)]
    quiet = _NoAdvice()
    for logger in loggers:
        logger.addFilter(quiet)
    try:
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(quiet)


class _NoAdvice(logging.Filter):
    """Drops what the quantiser logs: advice on steps we already took, traces of what it tried."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "quant" not in record.pathname.lower()
