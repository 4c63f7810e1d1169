"""What lint says of small graphs, held against what TensorRT-RTX does with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from edgedl.bundle.explain import explain
from edgedl.engines import tensorrt_api
from edgedl.errors import BundleError, EdgedlError
from edgedl.export import ExportOptions, export, lint_rules
from edgedl.export.lint import TARGETS, check, lint, of_package, read_model
from edgedl.spec import TensorSpec

F32, RNG = np.float32, np.random.default_rng(0)
ZERO = np.int8(0)
node = helper.make_node
CONV = RNG.normal(size=(4, 3, 3, 3)).astype(F32)
PICTURE = ("x", T.FLOAT, (1, 3, 8, 8))
FOUR = ("x", T.FLOAT, (4,))
Y4 = ("y", T.FLOAT, (4,))


def model(
    nodes: Any, ins: Any, outs: Any, opset: int = 17, ir: int = 8, **weights: Any
) -> onnx.ModelProto:
    sides = [[helper.make_tensor_value_info(*value) for value in side] for side in (ins, outs)]
    made = [numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    domains = {n.domain for n in nodes} - {""}
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    graph = helper.make_graph(nodes, "g", *sides, made)
    return helper.make_model(graph, ir_version=ir, opset_imports=sets)


def one(op: str, to: Any = Y4, given: Any = FOUR, *more: str, **rest: Any) -> onnx.ModelProto:
    """Return a graph of one node; arrays are its further inputs, other values attributes."""
    weights = {k: v for k, v in rest.items() if isinstance(v, np.ndarray | np.generic)}
    opset = {k: rest.pop(k) for k in ("opset", "ir") if k in rest}
    plain = {k: v for k, v in rest.items() if k not in weights}
    made = node(op, [given[0], *weights], [to[0], *more], name="it", **plain)
    return model([made], [given], [to], **opset, **weights)


def quantised(
    zero: Any = ZERO, bias: bool = False, scale: Any = F32, op: str = "Conv", **opset: int
) -> onnx.ModelProto:
    """Return Q → DQ → Conv with int8 weights."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(scale))
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["w", "s", "wz"], ["wd"]),
    ]
    weights = {"s": scale(0.1), "z": zero, "w": CONV.astype(np.int8), "wz": np.int8(0)}
    if bias:
        nodes.append(node("DequantizeLinear", ["b", "s", "bz"], ["bd"], name="it"))
        weights |= {"b": np.arange(4, dtype=np.int32), "bz": np.int32(0)}
    ins = ["d", "wd", "bd"] if bias else ["d", "wd"]
    turned = op == "ConvTranspose"
    shape = (1, 4, 8, 8) if turned else (1, 3, 8, 8)
    answer = (1, 3, 10, 10) if turned else (1, 4, 6, 6)
    nodes.append(node(op, ins, ["y"], name="product"))
    return model(nodes, [("x", kind, shape)], [("y", kind, answer)], **opset, **weights)


def chain(*nodes: Any, given: Any = FOUR, to: Any = Y4, **weights: Any) -> onnx.ModelProto:
    return model(nodes, [given], [to], **weights)


def uint8(shape: Any = (4,)) -> Any:
    return ("x", T.UINT8, shape)


def recurrent(op: str = "LSTM", **attributes: Any) -> onnx.ModelProto:
    gates = 4 * {"LSTM": 4, "GRU": 3}[op]
    w, r = np.ones((1, gates, 3), F32), np.ones((1, gates, 4), F32)
    given, to = ("x", T.FLOAT, (5, 2, 3)), ("y", T.FLOAT, (5, 1, 2, 4))
    if attributes.get("layout"):
        given, to = ("x", T.FLOAT, (2, 5, 3)), ("y", T.FLOAT, (2, 5, 1, 4))
    return one(op, to, given, w=w, r=r, hidden_size=4, **attributes)


def half_and(op: str, **rest: Any) -> onnx.ModelProto:
    cast = node("Cast", ["x"], ["h"], to=T.FLOAT16)
    return chain(cast, node(op, ["h", "x"], ["y"], name="it", **rest))


def normalised(training: int) -> onnx.ModelProto:
    ones, kind = np.ones(3, F32), ("x", T.FLOAT, (2, 3, 4, 4))
    more = ("m2", "v2") if training else ()
    arrays = {"s": ones, "b": ones, "m": ones, "v": ones}
    to = ("y", *kind[1:])
    return one("BatchNormalization", to, kind, *more, **arrays, training_mode=training)


def dropped(training: bool) -> onnx.ModelProto:
    return one("Dropout", ratio=F32(0.5), training=np.bool_(training))


def top(k: int) -> onnx.ModelProto:
    given, to = ("x", T.FLOAT, (1, 5000)), ("y", T.FLOAT, (1, k))
    return one("TopK", to, given, "places", k=np.int64([k]))


def top_of_input() -> onnx.ModelProto:
    ins = [("x", T.FLOAT, (1, 9)), ("k", T.INT64, (1,))]
    made = node("TopK", ["x", "k"], ["y", "i"], name="it")
    return model([made], ins, [("y", T.FLOAT, (1, "K"))])


def resized(**attributes: Any) -> onnx.ModelProto:
    corners, scales = F32([0, 0, 0, 0, 1, 1, 1, 1]), F32([1, 1, 0.5, 0.5])
    to = ("y", T.FLOAT, (1, 3, 4, 4))
    return one("Resize", to, PICTURE, roi=corners, sc=scales, mode="linear", opset=18, **attributes)


def boxes() -> onnx.ModelProto:
    made = node("NonMaxSuppression", ["b", "s", "k"], ["y"], name="it")
    ins = [("b", T.FLOAT, (1, 20, 4)), ("s", T.FLOAT, (1, 2, 20))]
    return model([made], ins, [("y", T.INT64, ("K", 3))], k=np.int64([5]))


def scan(length: int | str) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Add", ["s", "xi"], ["so"]), node("Identity", ["so"], ["yo"])],
        "body",
        [info("s", T.FLOAT, [2]), info("xi", T.FLOAT, [2])],
        [info("so", T.FLOAT, [2]), info("yo", T.FLOAT, [2])],
    )
    made = node("Scan", ["s0", "x"], ["last", "y"], name="it", body=body, num_scan_inputs=1)
    sides = [("x", T.FLOAT, (length, 2))], [("y", T.FLOAT, (length, 2))]
    return model([made], *sides, s0=np.zeros(2, F32))


def loop(collects: bool, rounds: int | None = 5, stops: bool = False) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    goes_on = node("Not", ["c"], ["co"]) if stops else node("Identity", ["c"], ["co"])
    nodes = [node("Add", ["s", "s"], ["so"]), node("Identity", ["so"], ["yo"]), goes_on]
    outs = [info("co", T.BOOL, []), info("so", T.FLOAT, [2])]
    outs += [info("yo", T.FLOAT, [2])] if collects else []
    ins = [info("i", T.INT64, []), info("c", T.BOOL, []), info("s", T.FLOAT, [2])]
    body = helper.make_graph(nodes, "body", ins, outs)
    names = ["last", "y"] if collects else ["y"]
    made = node("Loop", ["n", "c", "x"], names, name="it", body=body)
    given = [("x", T.FLOAT, (2,))] + ([] if rounds else [("n", T.INT64, ())])
    weights = {"n": np.int64(rounds)} if rounds else {}
    to = ("y", T.FLOAT, ("K", 2) if collects else (2,))
    return model([made], given, [to], c=np.bool_(True), **weights)


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


def said(graph: onnx.ModelProto, target: Any = "rtx", **rest: Any) -> str:
    """Return severities and rules, notes only where there is nothing else."""
    found = lint(graph, target, **rest)
    main = [f for f in found if f.severity != "note"] or found
    return ", ".join(sorted({f"{f.severity} {f.rule}" for f in main}))


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
        (quantised, "cpu", "warning s8s8"),
        (lambda: quantised(np.uint8(128)), "cpu", ""),
        (lambda: quantised(np.uint8(128), bias=True), "cpu", ""),
        (lambda: quantised(np.uint8(128), op="ConvTranspose"), "cpu", "warning slow-convtranspose"),
        (
            lambda: quantised(np.uint8(128), scale=np.float16, opset=19, ir=9),
            "cpu",
            "warning half-scale",
        ),
        (lambda: quantised(np.int16(0), opset=21, ir=10), "cpu", ""),
        (lambda: half_and("Add"), "cpu", "error mixed-types"),
        (lambda: dropped(True), "cpu", "error training-mode"),
        (lambda: normalised(1), "cpu", "error training-mode"),
        (lambda: one("Relu", ("y", T.DOUBLE, (4,)), ("x", T.DOUBLE, (4,))), "cpu",
         "warning float64"),
        (
            lambda: chain(node("FooBar", ["x"], ["y"], domain="com.example")),
            "cpu",
            "error custom-domain",
        ),
        (lambda: chain(node("Gelu", ["x"], ["y"], domain="com.microsoft")), "cpu", ""),
        (boxes, "cpu", ""),
        (lambda: recurrent(layout=1), "cpu", ""),
    ],
)  # fmt: skip
def test_what_is_said_for_others(
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


def test_an_error_in_a_branch_is_found() -> None:
    info = helper.make_tensor_value_info
    bad = node("Det", ["m"], ["d"], name="inner")
    yes = helper.make_graph([bad], "yes", [], [info("d", T.FLOAT, [1])])
    no = helper.make_graph([node("Relu", ["one"], ["e"])], "no", [], [info("e", T.FLOAT, [1])])
    made = node("If", ["c"], ["y"], then_branch=yes, else_branch=no)
    ins = [("m", T.FLOAT, (1, 3, 3)), ("c", T.BOOL, ())]
    graph = model([made], ins, [("y", T.FLOAT, (1,))], one=F32([1]))
    assert [(f.rule, f.node, f.operator) for f in lint(graph, "rtx")] == [
        ("unread-operator", "inner", "Det")
    ]
    assert lint(graph, "cpu") == ()


def test_an_if_inside_an_if() -> None:
    def branch(name: str, made: Any) -> Any:
        info = helper.make_tensor_value_info(name, T.FLOAT, ["N"])
        return helper.make_graph([made], name, [], [info])

    def choose(name: str, depth: int) -> Any:
        if not depth:
            return node("Relu", ["x"], [name])
        ways = [branch(name + way, choose(name + way, depth - 1)) for way in "ab"]
        return node("If", ["c"], [name], then_branch=ways[0], else_branch=ways[1])

    ins = [("x", T.FLOAT, ("N",)), ("c", T.BOOL, ())]
    graphs = [model([choose("y", depth)], ins, [("y", T.FLOAT, ("N",))]) for depth in (1, 2)]
    assert [said(graph) for graph in graphs] == ["", "warning nested-if"]
    assert sorted(f.node for f in lint(graphs[1], "rtx")) == ["ya", "yb"]
    assert said(graphs[1], "trt10") == ""


def test_errors_come_first_and_read_as_a_sentence() -> None:
    graph = quantised(bias=True)
    graph.graph.node.add(op_type="Gather", input=["w", "i"], output=["unused"])
    graph.graph.input.append(helper.make_tensor_value_info("i", T.INT64, [1]))
    found = lint(graph, "rtx")
    assert [f.severity for f in found] == ["error", "note"]
    assert str(found[0]) == (
        "DequantizeLinear it: dequantises an int32 bias, which TensorRT refuses; keep biases "
        "in float: QuantizeBias=False in ONNX Runtime's quantiser"
    )
    assert str(found[1]).startswith("i: is int64, and so is the engine's binding")


TIMES = ("x", T.FLOAT, ("N", "T", 3))
LOW, USUAL, HIGH = (1, 1, 3), (1, 8, 3), (4, 64, 3)


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ({"x": (LOW, USUAL, HIGH)}, None),
        (None, "(N, T, 3) changes its size and has no profile; fix all axes but the first"),
        ({}, "(N, T, 3) changes its size and has no profile"),
        ({"x": (LOW, USUAL, HIGH), "z": (LOW,) * 3}, "the model does not; its inputs are x"),
        ({"x": ((1, 3),) * 3}, "the profile's shapes must have 3 axes, as (N, T, 3) has"),
        ({"x": (USUAL, LOW, HIGH)}, "axis 1 of the profile must be smallest <= usual <= largest"),
        ({"x": (LOW, USUAL, (4, 64, 4))}, "axis 2 of the profile must be 3, as it is; got 3 3 4"),
    ],
)
def test_profiles(profile: Any, says: str | None) -> None:
    graph = one("Relu", ("y", T.FLOAT, ("N", "T", 3)), TIMES)
    found = lint(graph, "rtx", profile)
    assert [f.rule for f in found] == ["profile"] * (says is not None)
    assert says is None or says in found[0].text
    assert lint(graph, "cpu", profile) == ()


def test_a_profile_must_have_every_input_that_changes() -> None:
    graph = one("Relu", ("y", T.FLOAT, ("N", 3)), ("x", T.FLOAT, ("N", 3)))
    assert lint(graph, "rtx") == ()
    assert [f.rule for f in lint(graph, "rtx", {})] == ["profile"]


def spec(name: str, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype="float32", shape=shape)


def test_axes_that_an_exporter_fixed_without_a_word() -> None:
    graph = one("Relu", ("y", T.FLOAT, (1, 20, 3)), ("x", T.FLOAT, ("N", 20, 3)))
    wanted = [spec("x", "batch", "T", 3), spec("h", 2)]
    found = lint(graph, "cpu", wanted=wanted)
    assert [(f.rule, f.node) for f in found] == [("declared-shape", "x"), ("declared-shape", "h")]
    assert found[0].text == (
        "has shape (N, 20, 3); asked for was (batch, T, 3): "
        "export again with its dynamic axes named"
    )
    assert lint(graph, "cpu", wanted=[spec("x", "any", 20, 3)]) == ()


def test_check_names_the_first_error(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(resized(antialias=1), path)
    with pytest.raises(BundleError) as caught:
        check(path, "rtx")
    assert caught.value.code == "E448"
    assert str(caught.value) == (
        "m.onnx is not for TensorRT-RTX: Resize it: has antialias=1; export with antialias=False, "
        "or resize outside the graph; see all: edgedl inspect MODEL.onnx --for rtx"
    )
    check(path, "cpu")
    onnx.save(normalised(1), path)
    with pytest.raises(BundleError, match=r"; and 1 more; see all"):
        check(path, "rtx")


@pytest.mark.rtx
def test_an_export_is_refused_before_an_engine_is_built(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    refused = {**lint_rules.UNREAD_BY, "rtx": frozenset({"Conv"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(
        held_out=16, calibration=8, rounds=30, targets=("rtx",), precision="fp16", max_drop=100.0
    )
    told: list[str] = []
    with pytest.raises(BundleError, match=r"encoder.fp32.onnx is not for TensorRT-RTX: Conv"):
        export(run_folder, tmp_path / "x.edge", options, told.append)
    assert list(tmp_path.iterdir()) == []
    assert told == ["preparing samples of test", "exporting encoder and step to ONNX"]


def test_a_jetson_is_asked_too(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {**lint_rules.UNREAD_BY, "trt10": frozenset({"Conv"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(held_out=16, calibration=8, rounds=30, targets=("jetson-orin:jp6",))
    told: list[str] = []
    with pytest.raises(BundleError, match=r"not for TensorRT 10\.3 \(JetPack 6\): Conv") as caught:
        export(run_folder, tmp_path / "x.edge", options, told.append)
    assert caught.value.code == "E448"
    assert told == ["preparing samples of test", "exporting encoder and step to ONNX"]


@pytest.mark.rtx
def test_an_export_for_more_goes_on_without_an_engine_and_warns(
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("tensorrt_rtx")
    refused = {**lint_rules.UNREAD_BY, "rtx": frozenset({"LSTM", "MatMul", "Gemm"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(
        held_out=16, calibration=8, rounds=30, targets=("cpu", "rtx"), max_drop=100.0
    )
    made = export(run_folder, tmp_path / "x.edge", options)
    assert made.manifest.engines == ()
    assert not (made.path / "engines").exists()
    assert "is not for TensorRT-RTX" in caplog.text
    report = (made.path / "report.html").read_text(encoding="utf-8")
    assert "no engine for rtx-" in report
    (reason,) = made.manifest.missing_engines.values()
    assert "is not for TensorRT-RTX" in reason
    assert explain(made.manifest)[-1].endswith(reason)
    alone = dataclasses.replace(options, targets=("rtx",))
    with pytest.raises(
        BundleError, match=r"nothing was written: to go without it, add --for cpu"
    ) as caught:
        export(run_folder, tmp_path / "y.edge", alone)
    assert caught.value.code == "E448"
    assert not (tmp_path / "y.edge").exists()


def test_check_takes_the_sizes_it_will_be_built_for(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(one("Relu", ("y", T.FLOAT, ("N", "T", 3)), TIMES), path)
    check(path, "rtx", [{"x": (LOW, USUAL, HIGH)}, {"x": (LOW, LOW, LOW)}])
    with pytest.raises(BundleError, match=r"not for TensorRT-RTX: x: \(N, T, 3\) changes its size"):
        check(path, "rtx")
    with pytest.raises(BundleError, match=r"axis 1 of the profile must be smallest"):
        check(path, "rtx", [{"x": (LOW, USUAL, HIGH)}, {"x": (USUAL, LOW, HIGH)}])


def test_files_that_are_no_model(tmp_path: Path) -> None:
    for name, raw in (("a", b"hello, this is text"), ("b", b""), ("c", b"\x08\x07")):
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(
            BundleError, match=f"{name} is not an ONNX model.*export it again"
        ) as no:
            read_model(tmp_path / name)
        assert no.value.code == "E410"
    with pytest.raises(BundleError, match=r"gone cannot be read: No such file") as caught:
        read_model(tmp_path / "gone")
    assert caught.value.code == "E403"


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
