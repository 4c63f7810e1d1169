"""Tensors whose data is in other files are found wherever an ONNX model can hide them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedl.bundle.onnx_bytes import scan_onnx
from edgedl.errors import BundleError, EdgedlError, IntegrityError

onnx = pytest.importorskip("onnx")


def outside(tensor: Any = None) -> Any:
    """Return a tensor that wants to read a secret."""
    tensor = tensor or onnx.TensorProto()
    tensor.name = "x"
    tensor.dims[:] = [1]
    tensor.data_type = 1
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    return tensor


def in_initializer(model: Any) -> None:
    outside(model.graph.initializer.add())


def in_sparse_initializer(model: Any) -> None:
    outside(model.graph.sparse_initializer.add().values)


def in_sparse_indices(model: Any) -> None:
    outside(model.graph.sparse_initializer.add().indices)


def in_constant(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["y"], value=outside()))


def in_branch(model: Any) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [], [outside()])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner))


def in_list_of_graphs(model: Any) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [], [outside()])
    model.graph.node.append(onnx.helper.make_node("Many", ["c"], ["y"], bodies=[inner]))


def in_list_of_tensors(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Many", ["c"], ["y"], tensors=[outside()]))


def in_function(model: Any) -> None:
    node = onnx.helper.make_node("Constant", [], ["y"], value=outside())
    model.functions.add().node.append(node)


def in_training(model: Any) -> None:
    outside(model.training_info.add().algorithm.initializer.add())


def only_the_location(model: Any) -> None:
    outside(model.graph.initializer.add()).ClearField("external_data")


def only_the_entries(model: Any) -> None:
    outside(model.graph.initializer.add()).ClearField("data_location")


@pytest.mark.parametrize(
    "hide",
    [
        in_initializer,
        in_sparse_initializer,
        in_sparse_indices,
        in_constant,
        in_branch,
        in_list_of_graphs,
        in_list_of_tensors,
        in_function,
        in_training,
        only_the_location,
        only_the_entries,
    ],
)
def test_external_data_is_refused(hide: Callable[[Any], None]) -> None:
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    scan_onnx(model.SerializeToString(), "clean.onnx")
    hide(model)
    with pytest.raises(
        IntegrityError, match=r"bad\.onnx keeps tensor data in another file"
    ) as caught:
        scan_onnx(model.SerializeToString(), "bad.onnx")
    assert (caught.value.code, caught.value.exit_code) == ("E411", 6)


def test_a_second_graph_field_is_looked_at_too() -> None:
    clean = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], []))
    bad = onnx.ModelProto()
    in_initializer(bad)
    with pytest.raises(IntegrityError):
        scan_onnx(clean.SerializeToString() + bad.SerializeToString(), "bad.onnx")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello world",
        b"<html></html>",
        bytes(40),
        b"\x89PNG\r\n\x1a\n",
        b"\xff" * 40,
        b"\x3a\x7f",
    ],
)
def test_no_model(raw: bytes) -> None:
    with pytest.raises(BundleError, match="is not an ONNX model") as caught:
        scan_onnx(raw, "x.onnx")
    assert (caught.value.code, caught.value.exit_code) == ("E410", 4)


def test_deep_nesting_ends() -> None:
    raw = b""
    for _ in range(200):  # each layer: a graph's node's attribute's graph
        attribute = b"\x32" + length(raw) + raw
        node = b"\x2a" + length(attribute) + attribute
        raw = b"\x0a" + length(node) + node
    with pytest.raises(BundleError, match="nested deeper"):
        scan_onnx(b"\x3a" + length(raw) + raw, "x.onnx")


def length(raw: bytes) -> bytes:
    size, out = len(raw), b""
    while size >= 0x80:
        out, size = out + bytes([size & 0x7F | 0x80]), size >> 7
    return out + bytes([size])


def test_half_precision_is_seen() -> None:
    tensor = onnx.helper.make_tensor("x", onnx.TensorProto.FLOAT16, [1], [1.0])
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor]))
    assert scan_onnx(model.SerializeToString(), "x").has_float16


def outcome(raw: bytes) -> str:
    try:
        scan_onnx(raw, "x")
    except EdgedlError as err:
        return err.code
    return "passed"


def test_cut_files_are_errors_or_end_between_fields(tiny_bundle: Path) -> None:
    raw = (tiny_bundle / "graphs" / "step.fp32.onnx").read_bytes()
    outcomes = [outcome(raw[:size]) for size in range(len(raw))]
    assert set(outcomes) <= {"E410", "passed"}
    assert outcomes.count("passed") <= 3
