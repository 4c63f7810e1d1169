"""How lint reads files, what it finds wherever it is asked for, and how its findings read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from lint_graphs import F32, model, node, normalised, one, quantised, resized, said
from onnx import TensorProto as T
from onnx import helper

from edgedl.errors import BundleError
from edgedl.export.lint import check, lint, read_model
from edgedl.spec import TensorSpec


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
