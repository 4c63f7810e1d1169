"""Small graphs for ``lint``, most of one node named "it", and what it says of one."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from edgedl.export.lint import lint

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


def said(graph: onnx.ModelProto, target: Any = "rtx", **rest: Any) -> str:
    """Return severities and rules, notes only where there is nothing else."""
    found = lint(graph, target, **rest)
    main = [f for f in found if f.severity != "note"] or found
    return ", ".join(sorted({f"{f.severity} {f.rule}" for f in main}))
