"""Half precision and INT8: that they run, are close, and are of the kind each engine takes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edgedl.export.graph_file import check_graph, graph_name, read_facts
from edgedl.export.half import to_half
from edgedl.export.quantize import (
    PRODUCTS,
    Prepared,
    Recipe,
    int8_cpu,
    int8_cpu_weights,
    int8_trt,
    places,
    prepare,
    recipes_for,
    write_int8,
)
from edgedl.export.ranges import METHODS, Method
from edgedl.export.replay import LOT, differences, feeds_of
from edgedl.export.to_onnx import write_graphs
from edgedl.runtime.model import open_model
from edgedl.runtime.session import open_session
from edgedl.train.run_folder import Run
from edgedl.train.torch_session import torch_sessions

Tensors = np.ndarray
ROLES = ("encoder", "step")


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return np.random.default_rng(0).normal(size=(32, 3, 16, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(run: Run, tensors: Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    parts = torch_sessions(run.model_spec, run.network())
    fp32 = write_graphs(parts, folder)
    feeds = feeds_of(open_model(run.model_spec, parts), tensors)
    for role in ROLES:
        to_half(fp32[role], folder / graph_name(role, "fp16"), feeds[role])
    prepared = {role: prepare(role, fp32[role], feeds[role]) for role in ROLES}
    for role in ROLES:
        int8_trt(prepared[role], folder / graph_name(role, "int8-trt"), Recipe())
    out = {role: folder / graph_name(role, "int8-cpu") for role in ROLES}
    int8_cpu(prepared["encoder"], out["encoder"], Recipe())
    int8_cpu_weights(prepared["step"], out["step"], Recipe(), least_weights=1000)
    return folder


@pytest.fixture(scope="module")
def encoder(folder: Path, tensors: Tensors) -> Prepared:
    lots = [{"image": tensors[i : i + LOT]} for i in range(0, len(tensors), LOT)]
    return prepare("encoder", paths(folder, "fp32")["encoder"], lots)


@pytest.fixture(scope="module")
def step(folder: Path) -> Prepared:
    return prepare("step", paths(folder, "fp32")["step"], [])


def paths(folder: Path, precision: str) -> dict[str, Path]:
    return {role: folder / graph_name(role, precision) for role in ROLES}


@pytest.mark.parametrize(
    ("precision", "bound"), [("fp16", 2e-3), ("int8-cpu", 0.06), ("int8-trt", 0.06)]
)
def test_outputs_are_close_to_fp32(
    folder: Path, run: Run, tensors: Tensors, precision: str, bound: float
) -> None:
    fp32, other = (
        {role: open_session(path) for role, path in paths(folder, p).items()}
        for p in ("fp32", precision)
    )
    feeds = feeds_of(open_model(run.model_spec, fp32), tensors[:4])
    errors = differences(other, fp32, feeds)
    assert 0 < max(errors.values()) < bound


@pytest.mark.parametrize("precision", ["fp16", "int8-cpu", "int8-trt"])
@pytest.mark.parametrize("role", ROLES)
def test_every_precision_has_the_same_inputs_and_outputs(
    folder: Path, precision: str, role: str
) -> None:
    fp32 = read_facts(paths(folder, "fp32")[role])
    path = paths(folder, precision)[role]
    if precision == "int8-cpu":  # the quantiser forgets sizes of some outputs
        assert [s.name for s in read_facts(path).outputs] == [s.name for s in fp32.outputs]
        assert read_facts(path).inputs == fp32.inputs
    else:
        check_graph(path, fp32.inputs, fp32.outputs)


def test_fp16_holds_half_weights_only(folder: Path) -> None:
    for path in paths(folder, "fp16").values():
        weights = onnx.load(path).graph.initializer
        kinds = {numpy_helper.to_array(w).dtype.name for w in weights if w.dims}
        assert "float32" not in kinds
        assert "float16" in kinds


def test_a_weight_that_fp16_cannot_hold(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(paths(folder, "fp32")["step"])
    big = next(w for w in model.graph.initializer if len(w.dims) == 2)
    values = numpy_helper.to_array(big).copy()
    values[0, 0] = 1e5
    big.CopyFrom(numpy_helper.from_array(values, big.name))
    onnx.save(model, tmp_path / "big.onnx")
    assert to_half(tmp_path / "big.onnx", tmp_path / "half.onnx", []) == {big.name: 1e5}
    graph = onnx.load(tmp_path / "half.onnx").graph
    assert (
        numpy_helper.to_array(next(w for w in graph.initializer if w.name == big.name)).dtype
        == np.float32
    )
    open_session(tmp_path / "half.onnx")


@pytest.mark.parametrize("role", ROLES)
def test_int8_for_tensorrt_is_symmetric(folder: Path, role: str) -> None:
    model = onnx.load(paths(folder, "int8-trt")[role])
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    readers = {(name, n.op_type) for n in model.graph.node for name in n.input}
    quantised = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(quantised) >= 4
    for node in quantised:
        zero = weights[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert (weights[node.input[1]] > 0).all()
        if node.op_type == "DequantizeLinear":
            kinds = {kind for name, kind in readers if name == node.output[0]}
            assert kinds <= {"Conv", "Gemm", "MatMul"}
    assert not any(w.dtype == np.int32 and w.size > 1 for w in weights.values())


def test_int8_for_cpus_is_u8s8_per_channel(folder: Path) -> None:
    model = onnx.load(paths(folder, "int8-cpu")["encoder"])
    weights = {w.name: numpy_helper.to_array(w) for w in model.graph.initializer}
    zeros = [weights[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"]
    assert {zero.dtype.name for zero in zeros} == {"uint8"}
    conv = next(n for n in model.graph.node if n.op_type == "Conv")
    dequantised = next(n for n in model.graph.node if n.output[0] == conv.input[1])
    assert weights[dequantised.input[0]].dtype == np.int8
    assert weights[dequantised.input[1]].shape == (8,)


@pytest.mark.parametrize(("least_weights", "products"), [(1000, 1), (500, 2), (3000, 0)])
def test_step_for_cpus_quantises_large_products_only(
    step: Prepared, tmp_path: Path, least_weights: int, products: int
) -> None:
    out = tmp_path / "step.onnx"
    int8_cpu_weights(step, out, Recipe(), least_weights)
    facts = read_facts(out)
    assert facts.operators.get("MatMulInteger", 0) == products
    assert "QuantizeLinear" not in facts.operators


@pytest.mark.parametrize("method", METHODS[1:])
def test_every_method_makes_other_graphs_that_are_close(
    folder: Path, encoder: Prepared, tensors: Tensors, tmp_path: Path, method: Method
) -> None:
    out = tmp_path / "int8.onnx"
    for write in (int8_trt, int8_cpu):
        write(encoder, out, Recipe())
        plain = out.read_bytes()
        write(encoder, out, Recipe(method=method))
        assert out.read_bytes() != plain
        found, fp32 = (open_session(p) for p in (out, paths(folder, "fp32")["encoder"]))
        feeds = {"encoder": [{"image": tensors[:8]}]}
        errors = differences({"encoder": found}, {"encoder": fp32}, feeds)
        assert 0 < max(errors.values()) < (0.5 if method == "entropy" else 0.2)


@pytest.mark.parametrize("precision", ["int8-cpu", "int8-trt"])
def test_layers_in_float(encoder: Prepared, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "int8.onnx"
    every = places(precision, encoder)
    products = [n.name for n in encoder.model.graph.node if n.op_type in PRODUCTS]
    assert every == tuple(("encoder", name) for name in products)
    write_int8(precision, encoder, out, Recipe(in_float=(*every, ("step", "other"))))
    assert "QuantizeLinear" not in read_facts(out).operators
    write_int8(precision, encoder, out, Recipe(in_float=every[1:]))
    made = {node.name: node for node in onnx.load(out).graph.node}
    by = {name: node.op_type for node in made.values() for name in node.output}
    reads = {name: by.get(made[name].input[0]) for _, name in every}
    assert reads[every[0][1]] == "DequantizeLinear"
    if precision == "int8-trt":
        assert "DequantizeLinear" not in {reads[name] for _, name in every[1:]}


@pytest.mark.parametrize(
    ("arch", "features", "expected"),
    [
        ("x86_64", ["avx2"], True),
        ("x86_64", ["avx2", "avx512_vnni"], False),
        ("x86_64", ["avx2", "avx_vnni"], False),
        ("aarch64", ["asimd"], False),
    ],
)
def test_seven_bits_where_sums_would_saturate(
    encoder: Prepared, step: Prepared, arch: str, features: list[str], expected: bool
) -> None:
    machine = {"arch": arch, "cpu_features": features}
    graphs = {"encoder": encoder, "step": step}
    assert {r.reduce_range for r in recipes_for("int8-cpu", machine, graphs)} == {expected}
    assert {r.reduce_range for r in recipes_for("int8-trt", machine, graphs)} == {False}


def test_a_step_for_cpus_has_one_recipe(encoder: Prepared, step: Prepared) -> None:
    machine = {"arch": "aarch64", "cpu_features": []}
    alone = recipes_for("int8-cpu", machine, {"step": step})
    assert alone == (Recipe(method="weights only"),)
    for graphs in ({"encoder": encoder, "step": step}, {"encoder": encoder}):
        assert [r.method for r in recipes_for("int8-cpu", machine, graphs)] == list(METHODS)
    assert [r.method for r in recipes_for("int8-trt", machine, {"step": step})] == list(METHODS)


def test_transposed_convolutions_are_rewritten_for_cpus_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = numpy_helper.from_array(rng.normal(0, 0.1, (3, 4, 4, 4)).astype(np.float32), "w")
    x = onnx.helper.make_tensor_value_info("x", 1, ["N", 3, 5, 5])
    y = onnx.helper.make_tensor_value_info("y", 1, ["N", 4, 10, 10])
    given = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
    nodes = [
        onnx.helper.make_node("ConvTranspose", ["x", "w"], ["up"], name="up", **given),
        onnx.helper.make_node("Tanh", ["up"], ["y"], name="tanh"),
    ]
    graph = onnx.helper.make_graph(nodes, "up", [x], [y], [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "x.onnx")
    feeds = [{"x": rng.normal(size=(4, 3, 5, 5)).astype(np.float32)}]
    prepared = prepare("model", tmp_path / "x.onnx", feeds)
    fp32 = open_session(tmp_path / "x.onnx")
    for precision, operator in (("int8-cpu", "Conv"), ("int8-trt", "ConvTranspose")):
        out = tmp_path / "int8.onnx"
        assert places(precision, prepared) == (("model", "up"),)
        write_int8(precision, prepared, out, Recipe())
        assert operator in read_facts(out).operators
        assert "QuantizeLinear" in read_facts(out).operators
        errors = differences({"model": open_session(out)}, {"model": fp32}, {"model": feeds})
        assert 0 < errors["y"] < 0.02


def test_seven_bit_weights(encoder: Prepared, step: Prepared, tmp_path: Path) -> None:
    recipe = Recipe(reduce_range=True)
    int8_cpu(encoder, tmp_path / "e.onnx", recipe)
    int8_cpu_weights(step, tmp_path / "s.onnx", recipe, least_weights=500)
    for name in ("e.onnx", "s.onnx"):
        weights = map(numpy_helper.to_array, onnx.load(tmp_path / name).graph.initializer)
        int8 = [w for w in weights if w.dtype == np.int8 and w.ndim > 1]
        assert int8
        assert all(np.abs(w.astype(int)).max() <= 64 for w in int8)


def test_recipes_say_what_they_do() -> None:
    assert str(Recipe(reduce_range=True)) == "minmax, 7-bit weights"
    assert str(Recipe(equalized=True)) == "minmax, channels equalized"
    assert str(Recipe(method="mse", in_float=(("step", "fc"),))) == "mse, 1 layer in float"
    two = (("step", "fc"), ("encoder", "conv"))
    assert str(Recipe(in_float=two)) == "minmax, 2 layers in float"
