"""What lint says for TensorRT, held against what TensorRT-RTX does with the same graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from lint_graphs import (
    CONV,
    F32,
    PICTURE,
    Y4,
    boxes,
    chain,
    dropped,
    half_and,
    loop,
    node,
    normalised,
    one,
    quantised,
    recurrent,
    resized,
    said,
    scan,
    top,
    top_of_input,
    uint8,
)
from onnx import TensorProto as T

from edgedl.engines import tensorrt_api
from edgedl.errors import EdgedlError
from edgedl.export.lint import TARGETS, lint, of_package

# Name -> the graph and what lint says of it for TensorRT-RTX: severities and rules.
RTX: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "int8": (quantised, ""),
    "float bias": (lambda: one("Conv", ("y", T.FLOAT, (1, 4, 6, 6)), PICTURE, w=CONV), ""),
    "int32 bias": (lambda: quantised(bias=True), "error int32-bias"),
    "int8 zero point": (lambda: quantised(np.int8(3)), "error zero-point"),
    "uint8 zero point": (lambda: quantised(np.uint8(128)), "error zero-point"),
    "uint8 without": (lambda: quantised(np.uint8(0)), "warning uint8-quantised"),
    "int16": (lambda: quantised(np.int16(0), opset=21, ir=10), "error dtype"),
    "half scales": (lambda: quantised(scale=np.float16, opset=19, ir=9), ""),
    "uint8 named": (
        lambda: one("QuantizeLinear", ("y", T.UINT8, (4,)), s=F32(1), output_dtype=T.UINT8,
                    opset=21, ir=10),
        "error uint8-quantised",
    ),
    "uint8 dequantised": (
        lambda: one("DequantizeLinear", Y4, uint8(), s=F32(1), z=np.uint8(0)),
        "error uint8-quantised",
    ),
    "cast first": (
        lambda: chain(node("Cast", ["x"], ["f"], to=T.FLOAT), node("Relu", ["f"], ["y"]),
                      given=uint8()),
        "",
    ),
    "cast last": (
        lambda: chain(node("Relu", ["x"], ["f"]), node("Cast", ["f"], ["y"], to=T.UINT8),
                      to=("y", T.UINT8, (4,))),
        "",
    ),
    "transposed first": (
        lambda: chain(node("Transpose", ["x"], ["t"], perm=[1, 0]),
                      node("Cast", ["t"], ["y"], to=T.FLOAT),
                      given=uint8((2, 4)), to=("y", T.FLOAT, (4, 2))),
        "error uint8-inside",
    ),
    "uint8 between": (
        lambda: chain(node("Cast", ["x"], ["u"], to=T.UINT8),
                      node("Cast", ["u"], ["y"], to=T.FLOAT)),
        "error uint8-inside",
    ),
    "cast to int16": (
        lambda: chain(node("Cast", ["x"], ["u"], to=T.INT16),
                      node("Cast", ["u"], ["y"], to=T.FLOAT)),
        "error dtype",
    ),
    "uint16 input": (
        lambda: chain(node("Cast", ["x"], ["y"], to=T.FLOAT), given=("x", T.UINT16, (4,))),
        "error dtype",
    ),
    "uint32 constant": (
        lambda: chain(node("Cast", ["w"], ["f"], to=T.FLOAT), node("Add", ["x", "f"], ["y"]),
                      w=np.ones(4, np.uint32)),
        "error dtype",
    ),
    "3840 largest": (lambda: top(3840), ""),
    "3841 largest": (lambda: top(3841), "error top-k"),
    "largest by input": (top_of_input, "error shape-input"),
    "boxes": (boxes, "error unread-operator"),
    "places": (lambda: one("NonZero", ("y", T.INT64, (1, "K"))), "error unread-operator"),
    "regions": (
        lambda: one("RoiAlign", ("y", T.FLOAT, (1, 3, 2, 2)), PICTURE, r=F32([[0, 0, 4, 4]]),
                    b=np.int64([0]), output_height=2, output_width=2),
        "error unread-operator",
    ),
    "deformed": (
        lambda: one("DeformConv", ("y", T.FLOAT, (1, 4, 6, 6)), PICTURE, w=CONV,
                    o=np.zeros((1, 18, 6, 6), F32), kernel_shape=[3, 3], opset=19, ir=9),
        "error unread-operator",
    ),
    "drawn": (
        lambda: one("Multinomial", ("y", T.INT32, (1, 2)), ("x", T.FLOAT, (1, 8)), sample_size=2),
        "error unread-operator",
    ),
    "unique": (lambda: one("Unique", ("y", T.FLOAT, ("K",))), "error unread-operator"),
    "sequence": (
        lambda: chain(node("SequenceConstruct", ["x", "x"], ["s"]),
                      node("ConcatFromSequence", ["s"], ["y"], axis=0), to=("y", T.FLOAT, (8,))),
        "error unread-operator",
    ),
    "integer product": (
        lambda: one("MatMulInteger", ("y", T.INT32, (4, 4)), ("x", T.INT8, (4, 4)),
                    w=np.eye(4, dtype=np.int8)),
        "error unread-operator",
    ),
    "resized": (resized, ""),
    "smoothed": (lambda: resized(antialias=1), "error resize-mode"),
    "cropped": (
        lambda: resized(coordinate_transformation_mode="tf_crop_and_resize"), "error resize-mode"
    ),
    "pooled": (
        lambda: one("MaxPool", ("y", T.FLOAT, (1, 3, 7, 7)), PICTURE, kernel_shape=[2, 2]), ""
    ),
    "pooled with places": (
        lambda: one("MaxPool", ("y", T.FLOAT, (1, 3, 7, 7)), PICTURE, "i", kernel_shape=[2, 2]),
        "error one-output",
    ),
    "dilated": (
        lambda: one("MaxPool", ("y", T.FLOAT, (1, 3, 6, 6)), PICTURE, kernel_shape=[2, 2],
                    dilations=[2, 2]),
        "error dilated-pool",
    ),
    "foreign operator": (
        lambda: chain(node("FooBar", ["x"], ["y"], domain="com.example")), "error custom-domain"
    ),
    "foreign domain": (
        lambda: chain(node("Relu", ["x"], ["y"], domain="com.example")), "warning custom-domain"
    ),
    "scattered": (
        lambda: one("ScatterND", i=np.int64([[0]]), u=F32([1]), reduction="add", opset=18),
        "error scatter-reduction",
    ),
    "lstm": (recurrent, ""),
    "coupled gates": (lambda: recurrent(input_forget=1), "error lstm-gates"),
    "first axis": (lambda: one("Relu", ("y", T.FLOAT, ("N", 3)), ("x", T.FLOAT, ("N", 3))), ""),
    "second axis": (
        lambda: one("Relu", ("y", T.FLOAT, (1, "T")), ("x", T.FLOAT, (1, "T"))), "error profile"
    ),
    "half and float": (lambda: half_and("Add"), "error mixed-types"),
    "half beside float": (lambda: half_and("Concat", axis=0), "error mixed-types"),
    "half bounds": (
        lambda: one("Clip", ("y", T.FLOAT16, (4,)), ("x", T.FLOAT16, (4,)), low=F32(0)),
        "warning mixed-types",
    ),
    "powers": (lambda: one("Pow", p=np.int64(2)), ""),
    "dropping": (lambda: dropped(True), "error training-mode"),
    "dropout at rest": (lambda: dropped(False), ""),
    "normalising": (lambda: normalised(1), "error one-output, error training-mode"),
    "normalised": (lambda: normalised(0), ""),
    "double": (lambda: one("Relu", ("y", T.DOUBLE, (4,)), ("x", T.DOUBLE, (4,))),
               "warning float64"),
    "tokens": (
        lambda: chain(node("Gather", ["w", "x"], ["y"]), given=("x", T.INT64, (4,)),
                      w=np.ones(9, F32)),
        "note int64-input",
    ),
    "newest": (lambda: one("Relu", opset=25, ir=13), ""),
    "oldest": (lambda: one("Relu", opset=7, ir=3), "warning too-old"),
    "scan": (lambda: scan(5), ""),
    "open scan": (lambda: scan("N"), ""),
    "loop": (lambda: loop(False), ""),
    "collecting loop": (lambda: loop(True), ""),
    "open loop": (lambda: loop(True, None), "error shape-input"),
}  # fmt: skip


@pytest.mark.parametrize("name", RTX)
def test_what_is_said_for_rtx(name: str) -> None:
    make, expected = RTX[name]
    assert said(make()) == expected


@pytest.mark.rtx
@pytest.mark.parametrize("name", RTX)
def test_rtx_refuses_what_is_an_error_and_builds_the_rest(name: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    make, expected = RTX[name]
    trt, raw = tensorrt_api.load("tensorrt_rtx"), make().SerializeToString()
    if "error" not in expected:
        assert tensorrt_api.build(trt, raw, tensorrt_api.NetworkOptions()).plan
        return
    with pytest.raises(EdgedlError) as caught:
        tensorrt_api.build(trt, raw, tensorrt_api.NetworkOptions())
    assert caught.value.code == "E425" or expected == "error profile"


@pytest.mark.rtx
@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_rtx_takes_the_batch_of_layout_1_for_time(op: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    graph = recurrent(op, layout=1)
    for target in ("rtx", "trt10", "trt11"):
        assert said(graph, target) == "error lstm-layout"
    trt = tensorrt_api.load("tensorrt_rtx")
    built = tensorrt_api.build(trt, graph.SerializeToString(), tensorrt_api.NetworkOptions())
    assert built.outputs[0]["shape"] == [2, 1, 5, 4]  # ONNX says (2, 5, 1, 4)


@pytest.mark.parametrize(
    ("graph", "target", "expected"),
    [
        (lambda: one("Relu", opset=20, ir=10), "trt10", ""),
        (lambda: one("Relu", opset=21, ir=10), "trt10", "error too-new"),
        (lambda: one("Relu", opset=20, ir=11), "trt10", "error too-new"),
        (lambda: one("Relu", opset=21, ir=11), "trt11", ""),
        (lambda: quantised(np.uint8(0)), "trt10", "error uint8-quantised"),
        (lambda: quantised(np.uint8(0)), "trt11", "warning uint8-quantised"),
        (boxes, "trt10", ""),
        (boxes, "trt11", ""),
        (lambda: scan(5), "trt10", ""),
        (lambda: scan("N"), "trt10", "error dynamic-scan"),
        (lambda: scan("N"), "trt11", ""),
        (lambda: loop(False, stops=True), "trt10", ""),
        (lambda: loop(True), "trt10", ""),
        (lambda: loop(True, stops=True), "trt10", "error dynamic-scan"),
        (lambda: loop(True, stops=True), "trt11", ""),
    ],
)
def test_what_is_said_for_jetpack_and_for_11(
    graph: Callable[[], onnx.ModelProto], target: str, expected: str
) -> None:
    assert said(graph(), target) == expected


@pytest.mark.parametrize("target", TARGETS)
def test_every_finding_names_the_node_and_a_mend(target: Any) -> None:
    for make, _ in RTX.values():
        for found in lint(make(), target):
            assert found.node
            assert len(found.text) > 25
            assert found.text[0].islower() or found.text.startswith(("(", "Tensor", "ONNX"))
            assert not found.text.endswith(".")


@pytest.mark.parametrize(
    ("package", "version", "target"),
    [
        ("tensorrt_rtx", "1.7.1.116", "rtx"),
        ("tensorrt", "10.3.0", "trt10"),
        ("tensorrt", "10.13.3", "trt10"),
        ("tensorrt", "11.4.0", "trt11"),
    ],
)
def test_the_target_of_a_package(package: str, version: str, target: str) -> None:
    assert of_package(package, version) == target
