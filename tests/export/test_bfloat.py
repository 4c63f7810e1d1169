"""bfloat16: what becomes of a graph, and that its stand-in rounds as the graph itself does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from edgedl.engines import tensorrt_api  # noqa: E402
from edgedl.engines.build import build_engine  # noqa: E402
from edgedl.engines.tensorrt_api import NetworkOptions  # noqa: E402
from edgedl.errors import BundleError, MissingDependencyError  # noqa: E402
from edgedl.export.bfloat import COMPUTING, MOVING, round_to_bfloat, rounded, to_bfloat  # noqa: E402
from edgedl.export.lint import lint  # noqa: E402
from edgedl.export.to_onnx import write_graphs  # noqa: E402
from edgedl.runtime.session import open_session  # noqa: E402
from edgedl.train.torch_session import torch_sessions  # noqa: E402

if TYPE_CHECKING:
    from edgedl.train.run_folder import Run

FLOAT, INT64, BFLOAT = (getattr(onnx.TensorProto, name) for name in ("FLOAT", "INT64", "BFLOAT16"))
make = onnx.helper.make_node


def value(name: str, shape: Sequence[Any], kind: int = FLOAT) -> Any:
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def write(path: Path, nodes: Sequence[Any], given: Any, found: Any, **weights: Any) -> Path:
    made = [onnx.numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    graph = onnx.helper.make_graph(nodes, "tiny", given, found, made)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=opset), path)
    return path


def to_bf16(values: Any) -> np.ndarray:
    """Return values rounded to bf16 by torch."""
    return torch.from_numpy(np.array(values, np.float32)).bfloat16().float().numpy()


def types_of(path: Path) -> dict[str, int]:
    """Return the types of what is declared in a graph."""
    graph = onnx.load(path).graph
    found = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for one in (*graph.input, *graph.value_info, *graph.output):
        found[one.name] = one.type.tensor_type.elem_type
    return found


def made_as(path: Path) -> dict[str, int | None]:
    """Return each node that is no cast to the type of what it makes."""
    kinds = types_of(path)
    nodes = onnx.load(path).graph.node
    return {node.op_type: kinds.get(node.output[0]) for node in nodes if node.op_type != "Cast"}


def test_rounding_is_torchs() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 100_000, dtype=np.uint32)
    special = np.float32([0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, 1e-45, 1.00390625, 1.01171875])
    for values in (bits.view(np.float32), special, special.reshape(3, 3), np.float32(1.005)):
        expected = torch.from_numpy(np.array(values)).bfloat16().float().numpy()
        found = (round_to_bfloat(values).astype(np.uint32) << 16).view(np.float32)
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """Write y = tanh(relu(x) · w), x (N, 8), y (N, 4)."""
    w = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    nodes = [
        make("Relu", ["x"], ["r"]),
        make("MatMul", ["r", "w"], ["m"]),
        make("Tanh", ["m"], ["y"]),
    ]
    return write(tmp_path / "a.onnx", nodes, [value("x", ["N", 8])], [value("y", ["N", 4])], w=w)


def test_weights_and_activations_are_bf16_and_the_ends_fp32(product: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.onnx"
    assert to_bfloat(product, out) == 1
    assert types_of(out) == {
        "x": FLOAT,
        "y": FLOAT,
        "w_bf16": BFLOAT,
        **dict.fromkeys(["x_bf16", "r_bf16", "m_bf16", "y_bf16"], BFLOAT),
    }
    casts = [n for n in onnx.load(out).graph.node if n.op_type == "Cast"]
    assert [(n.input[0], n.output[0]) for n in casts] == [("x", "x_bf16"), ("y_bf16", "y")]


def test_the_stand_in_rounds_every_tensor(product: Path, tmp_path: Path) -> None:
    to_bfloat(product, tmp_path / "b.onnx")
    x = np.random.default_rng(1).normal(size=(64, 8)).astype(np.float32)
    w = onnx.numpy_helper.to_array(onnx.load(product).graph.initializer[0])
    expected = to_bf16(np.tanh(to_bf16(to_bf16(np.maximum(to_bf16(x), 0)) @ to_bf16(w))))
    found = open_session(rounded(tmp_path / "b.onnx")).run({"x": x})["y"]
    np.testing.assert_array_equal(found, to_bf16(found))  # no pair of casts was left out
    steps = np.abs(expected) * 2.0**-8 + 1e-6
    assert (np.abs(found - expected) <= steps).all()
    assert np.mean(found == expected) > 0.95  # tanh of two libraries may round to either side
    assert np.mean(found == open_session(product).run({"x": x})["y"]) < 0.1


def test_each_rounding_counts(tmp_path: Path) -> None:
    """1 + 2^-8 is rounded to 1 before anything is added: each tensor, not only the last."""
    nodes = [make("MatMul", ["x", "w"], ["m"]), make("Sub", ["m", "one"], ["y"])]
    ends = [value("x", [1, 2])], [value("y", [1, 1])]
    weights = {"w": np.float32([[1], [2**-8]]), "one": np.float32(1)}
    path = write(tmp_path / "a.onnx", nodes, *ends, **weights)
    to_bfloat(path, tmp_path / "b.onnx")
    feeds = {"x": np.float32([[1, 1]])}
    assert open_session(path).run(feeds)["y"] == 2**-8
    assert open_session(rounded(tmp_path / "b.onnx")).run(feeds)["y"] == 0


def test_numbers_of_places_stay_exact(tmp_path: Path) -> None:
    nodes = [
        make("Cast", ["place"], ["p"], to=FLOAT),
        make("Mul", ["p", "half"], ["angle"]),
        make("Sin", ["angle"], ["s"]),
        make("MatMul", ["s", "w"], ["y"]),
    ]
    weights = {"half": np.float32(0.5), "w": np.eye(2, dtype=np.float32)}
    ends = [value("place", [1, 2], INT64)], [value("y", [1, 2])]
    path = write(tmp_path / "a.onnx", nodes, *ends, **weights)
    to_bfloat(path, tmp_path / "b.onnx")
    assert made_as(tmp_path / "b.onnx") == {"Mul": FLOAT, "Sin": FLOAT, "MatMul": BFLOAT}


def test_moves_follow_what_they_move(tmp_path: Path) -> None:
    """What is fp32 on both sides is not rounded in between; rows of a table become bf16."""
    nodes = [
        make("Reshape", ["x", "shape"], ["reshaped"]),
        make("HardSwish", ["reshaped"], ["h"]),
        make("Gather", ["table", "i"], ["row"]),
        make("MatMul", ["h", "w"], ["m"]),
        make("Transpose", ["m"], ["t"], perm=[1, 0]),
        make("Concat", ["t", "row"], ["c"], axis=1),
        make("HardSwish", ["c"], ["y"]),
    ]
    square = np.eye(2, dtype=np.float32)
    weights = {"shape": np.int64([2, 2]), "w": square, "table": square}
    ends = [value("x", [4]), value("i", [2], INT64)], [value("y", [2, 4])]
    path = write(tmp_path / "a.onnx", nodes, *ends, **weights)
    to_bfloat(path, tmp_path / "b.onnx")
    assert made_as(tmp_path / "b.onnx") == {
        "Reshape": FLOAT,
        "HardSwish": FLOAT,
        "Gather": BFLOAT,
        "MatMul": BFLOAT,
        "Transpose": BFLOAT,
        "Concat": BFLOAT,
    }
    kinds = types_of(tmp_path / "b.onnx")
    assert "table" not in kinds
    assert kinds["shape"] == INT64


def test_a_branch_reads_fp32(tmp_path: Path) -> None:
    then, other = (
        onnx.helper.make_graph([make(kind, ["m"], [kind])], kind, [], [value(kind, [2, 2])])
        for kind in ("Abs", "Neg")
    )
    nodes = [
        make("MatMul", ["x", "w"], ["m"]),
        make("If", ["yes"], ["y"], then_branch=then, else_branch=other),
    ]
    ends = [value("x", [2, 2]), value("yes", [], onnx.TensorProto.BOOL)], [value("y", [2, 2])]
    path = write(tmp_path / "a.onnx", nodes, *ends, w=np.float32([[1.01, 2], [3, 4]]))
    to_bfloat(path, tmp_path / "b.onnx")
    feeds = {"x": np.eye(2, dtype=np.float32), "yes": np.array(False)}
    found = open_session(rounded(tmp_path / "b.onnx")).run(feeds)["y"]
    np.testing.assert_array_equal(found, -to_bf16([[1.01, 2], [3, 4]]))


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    nodes = [make("MatMul", ["x", "w"], ["x_bf16"]), make("Relu", ["x_bf16"], ["y"])]
    ends = [value("x", [1, 2])], [value("y", [1, 2])]
    path = write(tmp_path / "a.onnx", nodes, *ends, w=np.eye(2, dtype=np.float32))
    to_bfloat(path, tmp_path / "b.onnx")
    feeds = {"x": np.float32([[-1, 2]])}
    np.testing.assert_array_equal(
        open_session(rounded(tmp_path / "b.onnx")).run(feeds)["y"], [[0, 2]]
    )


def test_units_of_their_own_are_scaled_in_fp32(tmp_path: Path) -> None:
    nodes = [make("Sub", ["x", "mean"], ["c"]), make("MatMul", ["c", "w"], ["y"])]
    ends = [value("x", [1, 2])], [value("y", [1, 2])]
    weights = {"mean": np.float32([100_000, 100_000]), "w": np.eye(2, dtype=np.float32)}
    path = write(tmp_path / "a.onnx", nodes, *ends, **weights)
    feeds = {"x": np.float32([[100_003, 99_999]])}
    for raw_units, expected in ((True, [[3, -1]]), (False, [[0, 0]])):
        to_bfloat(path, tmp_path / "b.onnx", raw_units=raw_units)
        found = open_session(rounded(tmp_path / "b.onnx")).run(feeds)["y"]
        np.testing.assert_array_equal(found, expected)


def test_without_products_nothing_is_gained(tmp_path: Path) -> None:
    nodes = [make("Relu", ["x"], ["y"])]
    path = write(tmp_path / "a.onnx", nodes, [value("x", [2])], [value("y", [2])])
    assert to_bfloat(path, tmp_path / "b.onnx") == 0


def test_what_runtimes_say_of_it(product: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.onnx"
    to_bfloat(product, out)
    said = {name: lint(onnx.load(out), name) for name in ("cpu", "rtx", "trt10", "trt11")}  # type: ignore[arg-type]
    assert {name: [(f.severity, f.rule) for f in one] for name, one in said.items()} == {
        "cpu": [("error", "bfloat16")],
        **{name: [("note", "bfloat16")] for name in ("rtx", "trt10", "trt11")},
    }
    assert "compute capability 8.0" in said["rtx"][0].text
    with pytest.raises(BundleError) as caught:
        open_session(out)
    assert caught.value.code == "E412"


@pytest.fixture
def rtx() -> tensorrt_api.TensorRT:
    try:
        return tensorrt_api.load("tensorrt_rtx")
    except MissingDependencyError as err:
        pytest.skip(str(err))


@pytest.mark.rtx
def test_engines_are_built_of_it(rtx: tensorrt_api.TensorRT, run: Run, tmp_path: Path) -> None:
    graphs = write_graphs(torch_sessions(run.model_spec, run.network()), tmp_path)
    for path in graphs.values():
        assert to_bfloat(path, tmp_path / "b.onnx") > 0
        sidecar = build_engine(
            rtx, tmp_path / "b.onnx", tmp_path / "b.engine", NetworkOptions(), "bf16"
        )
        assert {one["dtype"] for one in sidecar["outputs"]} == {"float"}
    old = NetworkOptions(compute_capabilities=("7.5", "8.6"))
    with pytest.raises(BundleError, match=r"capability 8\.0 or newer, for bf16; got 7\.5") as found:
        build_engine(rtx, tmp_path / "b.onnx", tmp_path / "c.engine", old, "bf16")
    assert found.value.code == "E448"


INPUTS = {
    **{kind: ["t", "t"] for kind in ("Add", "Div", "Max", "Mean", "Min", "Mul", "Sub", "Sum")},
    "BatchNormalization": ["t", "ones", "ones", "ones", "ones"],
    "Clip": ["t", "one", "one"],
    "Concat": ["t", "t"],
    "Conv": ["t", "w"],
    "Einsum": ["t", "w"],
    "Expand": ["t", "sizes"],
    "Gather": ["t", "zero"],
    "GatherElements": ["t", "zeros"],
    "GatherND": ["t", "zero"],
    "Gemm": ["m", "tall"],
    "InstanceNormalization": ["t", "ones", "ones"],
    "LayerNormalization": ["t", "fours"],
    "MatMul": ["t", "square"],
    "PRelu": ["t", "fours"],
    "Pad": ["t", "pads"],
    "ReduceSum": ["t", "zero"],
    "Reshape": ["t", "sizes"],
    "Resize": ["t", "", "scales"],
    "Slice": ["t", "zero", "last", "zero"],
    "Squeeze": ["t", "zero"],
    "Tile": ["t", "sizes"],
    "Unsqueeze": ["t", "zero"],
    "Where": ["yes", "t", "t"],
}
"""Of the operators with more than the tensor t (1, 2, 4, 4)."""
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "AveragePool": {"kernel_shape": [1, 1]},
    "Concat": {"axis": 0},
    "DepthToSpace": {"blocksize": 1},
    "Einsum": {"equation": "abcd,befg->acd"},
    "MaxPool": {"kernel_shape": [1, 1]},
    "SpaceToDepth": {"blocksize": 2},
    "Split": {"axis": 0},
}


@pytest.mark.rtx
def test_all_kinds_are_built(rtx: tensorrt_api.TensorRT, tmp_path: Path) -> None:
    kinds = sorted((COMPUTING | MOVING) - {"Gelu"})  # ONNX has it from opset 20 on
    nodes = [make("Conv", ["x", "w"], ["t"]), make("Flatten", ["t"], ["m"])]
    nodes += [make(k, INPUTS.get(k, ["t"]), [k], **ATTRIBUTES.get(k, {})) for k in kinds]
    weights = {
        "w": np.ones((2, 2, 1, 1), np.float32),
        **{name: np.ones(n, np.float32) for name, n in (("ones", 2), ("fours", 4))},
        "square": np.ones((4, 4), np.float32),
        "tall": np.ones((32, 4), np.float32),
        "one": np.float32(1),
        "scales": np.float32([1, 1, 2, 2]),
        "zero": np.int64([0]),
        "last": np.int64([1]),
        "pads": np.int64([0] * 7 + [1]),
        "sizes": np.int64([1, 2, 4, 4]),
        "zeros": np.zeros((1, 2, 4, 4), np.int64),
        "yes": np.ones((1, 2, 4, 4), bool),
    }
    path = tmp_path / "a.onnx"
    write(path, nodes, [value("x", [1, 2, 4, 4])], [value(k, None) for k in kinds], **weights)
    to_bfloat(path, tmp_path / "b.onnx")
    low = types_of(tmp_path / "b.onnx")
    assert {kind for kind in kinds if low.get(f"{kind}_bf16") != BFLOAT} == set()
    build_engine(rtx, tmp_path / "b.onnx", tmp_path / "b.engine", NetworkOptions(), "bf16")
