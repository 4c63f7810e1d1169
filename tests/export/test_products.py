"""What ONNX Runtime's writers of INT8 get wrong stays float: the graph computes the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgedl.errors import BundleError
from edgedl.export.products import as_it_runs, followers, with_ranges
from edgedl.export.quantize import Recipe, places, prepare, write_int8
from edgedl.export.sensitivity import ALL, output_error
from edgedl.runtime.session import open_session

RNG = np.random.default_rng(3)
FEEDS = [{"x": RNG.normal(size=(2, 4, 6, 6)).astype(np.float32)} for _ in range(8)]


def model_of(
    nodes: Sequence[onnx.NodeProto], tensors: dict[str, Any], outputs: Sequence[str] = ("y",)
) -> onnx.ModelProto:
    """Return a model of a picture x (2, 4, 6, 6) whose nodes are named like their outputs."""
    for node in nodes:
        node.name = node.output[0]
    constants = [
        numpy_helper.from_array(RNG.normal(0, 0.3, v).astype(np.float32), k)
        if isinstance(v, tuple)
        else numpy_helper.from_array(v, k)
        for k, v in tensors.items()
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 4, 6, 6])],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(made)


CONV = (helper.make_node("Conv", ["x", "a.w", "a.b"], ["a"]), {"a.w": (4, 4, 3, 3), "a.b": (4,)})
FLAT = (helper.make_node("Flatten", ["x"], ["f"]),)


def one(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def with_conv(*nodes: onnx.NodeProto, outputs: Sequence[str] = ("y",), **tensors: Any):
    return model_of([CONV[0], *nodes], CONV[1] | tensors, outputs)


def gemm(bias: Any, weight: Any = (144, 8), **given: Any) -> onnx.ModelProto:
    node = helper.make_node("Gemm", ["f", "w", "b"], ["y"], **given)
    return model_of([*FLAT, node], {"w": weight, "b": bias})


def scaled_gemm() -> onnx.ModelProto:
    return gemm((8,), alpha=0.5, beta=3.0)


def gemm_with_many_rows() -> onnx.ModelProto:
    return gemm((2, 8))


def gemm_with_one_number() -> onnx.ModelProto:
    return gemm(one(0.5))


def gemm_of_large_biases() -> onnx.ModelProto:
    return gemm(np.array([-3e38, *[0] * 7], np.float32))


def clip_above_0() -> onnx.ModelProto:
    clip = helper.make_node("Clip", ["a", "low", "high"], ["y"])
    return with_conv(clip, low=one(0.5), high=one(2))


def relu_of_an_output() -> onnx.ModelProto:
    return with_conv(helper.make_node("Relu", ["a"], ["y"]), outputs=["y", "a"])


def relu_read_by_a_branch() -> onnx.ModelProto:
    value = helper.make_empty_tensor_value_info("v")
    inner = helper.make_graph([helper.make_node("Neg", ["r"], ["v"])], "in", [], [value])
    return with_conv(
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "b.w"], ["y"]),
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "never"], ["is"]),
        helper.make_node("If", ["is"], ["z"], then_branch=inner, else_branch=inner),
        outputs=["y", "z"],
        **{"b.w": (4, 4, 1, 1), "never": one(1e9)},
    )


def products_of_stacks_and_vectors() -> onnx.ModelProto:
    return with_conv(
        helper.make_node("MatMul", ["a", "stack"], ["m"]),
        helper.make_node("MatMul", ["m", "vector"], ["y"]),
        stack=(4, 4, 5),
        vector=(5,),
    )


def test_biases_fit_where_onnx_runtime_rounds_them(tmp_path: Path) -> None:
    """It makes int32 of the float biases of ``int8-trt`` graphs, too."""
    small = RNG.normal(0, 1e-7, (4, 4, 3, 3)).astype(np.float32)
    tensors = {"a.w": small, "a.b": np.linspace(-50, 50, 4, dtype=np.float32)}
    relu = helper.make_node("Relu", ["a"], ["r"])
    second = helper.make_node("Conv", ["r", "b.w"], ["y"])
    model = model_of([CONV[0], relu, second], tensors | {"b.w": (4, 4, 1, 1)})
    onnx.save(model, tmp_path / "fp32.onnx")
    prepared = prepare("model", tmp_path / "fp32.onnx", FEEDS)
    write_int8("int8-trt", prepared, tmp_path / "int8.onnx", Recipe())
    fp32 = open_session(tmp_path / "fp32.onnx")
    expected = [fp32.run(one) for one in FEEDS]
    for in_float in (False, True):
        int8 = open_session(tmp_path / "int8.onnx", in_float=in_float)
        assert output_error(int8, FEEDS, expected) < 0.02


@pytest.mark.parametrize("precision", ["int8-cpu", "int8-trt"])
@pytest.mark.parametrize(
    "make",
    [
        scaled_gemm,
        gemm_with_many_rows,
        gemm_with_one_number,
        gemm_of_large_biases,
        clip_above_0,
        relu_of_an_output,
        relu_read_by_a_branch,
        products_of_stacks_and_vectors,
    ],
)
def test_the_same_is_computed(make: Any, precision: str, tmp_path: Path) -> None:
    onnx.save(make(), tmp_path / "fp32.onnx")
    prepared = prepare("model", tmp_path / "fp32.onnx", FEEDS)
    write_int8(precision, prepared, tmp_path / "int8.onnx", Recipe())
    fp32, int8 = (open_session(tmp_path / f"{name}.onnx") for name in ("fp32", "int8"))
    assert output_error(int8, FEEDS, [fp32.run(one) for one in FEEDS]) < 0.02


def test_the_error_of_what_is_no_number_is_a_finite_one() -> None:
    fp32 = open_session(gemm((8,)).SerializeToString())
    lost = open_session(gemm(np.array([np.nan, *[0] * 7], np.float32)).SerializeToString())
    expected = [fp32.run(one) for one in FEEDS]
    assert output_error(lost, FEEDS, expected) == ALL
    far = open_session(gemm(np.full(8, 1e30, np.float32)).SerializeToString())
    assert output_error(far, FEEDS, expected) == ALL


def test_tools_keep_their_traces_to_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = gemm((8,))
    made.graph.node[1].input[0] = "nothing"
    onnx.save(made, tmp_path / "broken.onnx")
    with pytest.raises(BundleError) as caught:
        prepare("model", tmp_path / "broken.onnx", FEEDS)
    assert caught.value.code == "E446"
    assert caplog.text == ""


def names(nodes: Sequence[onnx.NodeProto]) -> list[str]:
    return [node.name for node in nodes]


def test_products_with_ranges() -> None:
    kinds = ("Conv", "Gemm", "MatMul")
    for make in (
        scaled_gemm,
        gemm_with_many_rows,
        gemm_with_one_number,
        gemm_of_large_biases,
    ):
        assert with_ranges(make().graph, kinds) == []
    assert names(with_ranges(products_of_stacks_and_vectors().graph, kinds)) == ["a"]
    assert names(with_ranges(gemm((8,)).graph, kinds)) == ["y"]
    assert names(with_ranges(gemm((8,), weight=(8, 144), transB=1).graph, kinds)) == ["y"]
    assert with_ranges(gemm((8,)).graph, ("Conv",)) == []


def test_products_that_are_quantised_as_they_run() -> None:
    assert names(as_it_runs(gemm((8,)).graph, 144 * 8)) == ["y"]
    assert as_it_runs(gemm((8,)).graph, 144 * 8 + 1) == []
    assert names(as_it_runs(gemm_with_many_rows().graph, 1)) == ["y"]
    assert as_it_runs(scaled_gemm().graph, 1) == []
    assert as_it_runs(gemm((144,), weight=(2, 144), transA=1).graph, 1) == []


def test_float32_only(tmp_path: Path) -> None:
    cast = helper.make_node("Cast", ["f"], ["d"], to=TensorProto.DOUBLE)
    product = helper.make_node("MatMul", ["d", "w"], ["y"])
    weight = RNG.normal(size=(144, 200))
    model = model_of([*FLAT, cast, product], {"w": weight})
    assert with_ranges(model.graph, ("MatMul",)) == as_it_runs(model.graph, 1) == []
    onnx.save(model, tmp_path / "fp64.onnx")
    prepared = prepare("model", tmp_path / "fp64.onnx", FEEDS)
    assert places("int8-cpu", prepared) == places("int8-trt", prepared) == ()


def test_followers() -> None:
    for make in (clip_above_0, relu_of_an_output, relu_read_by_a_branch):
        assert followers(make().graph) == []
    for low, high, expected in ((0, 6, ["y"]), (-1, 1, ["y"]), (-2, -1, []), (1e-6, 1, [])):
        clip = helper.make_node("Clip", ["a", "low", "high"], ["y"])
        made = with_conv(clip, low=one(low), high=one(high))
        assert names(followers(made.graph)) == expected
    assert names(followers(with_conv(helper.make_node("Relu", ["a"], ["y"])).graph)) == ["y"]
    open_above = with_conv(helper.make_node("Clip", ["a", "low"], ["y"]), low=one(0))
    assert names(followers(open_above.graph)) == ["y"]
    computed = [helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0)]
    computed.append(helper.make_node("Clip", ["a", "", "top"], ["y"]))
    assert followers(with_conv(*computed).graph) == []
