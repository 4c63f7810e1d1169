"""Half precision: what overflows is refused, what has units of its own is scaled in fp32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from edgedl.errors import BundleError  # noqa: E402
from edgedl.export.graph_file import check_graph  # noqa: E402
from edgedl.export.half import to_half  # noqa: E402
from edgedl.export.to_onnx import write_graphs  # noqa: E402
from edgedl.models.sequences import Regressor, RegressorOptions  # noqa: E402
from edgedl.runtime.session import open_session  # noqa: E402
from edgedl.spec import ModelSpec, SeriesSpec  # noqa: E402
from edgedl.train.torch_session import torch_sessions  # noqa: E402

HALF = onnx.TensorProto.FLOAT16


def write_graph(path: Path, factor: float) -> Path:
    """Write y = relu(x · factor) · w, x and y (N, 4)."""
    make = onnx.helper.make_node
    nodes = [
        make("Mul", ["x", "factor"], ["large"]),
        make("Relu", ["large"], ["kept"]),
        make("MatMul", ["kept", "w"], ["y"]),
    ]
    sides = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", 4])]
        for name in ("x", "y")
    ]
    weights = {"factor": np.float32(factor), "w": np.eye(4, dtype=np.float32) / 1024}
    made = [onnx.numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
    graph = onnx.helper.make_graph(nodes, "tiny", *sides, made)
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=opset), path)
    return path


def test_a_value_on_the_way_that_fp16_cannot_hold(tmp_path: Path) -> None:
    source, out = write_graph(tmp_path / "a.onnx", 1000), tmp_path / "half.onnx"
    feeds: Any = [{"x": np.float32([[1, 2, 3, 4]])}, {"x": np.float32([[0, 0, 70, 0]])}]
    with pytest.raises(BundleError, match="'large' has a value of 7e") as caught:
        to_half(source, out, feeds)
    assert caught.value.code == "E417"
    assert not out.exists()
    to_half(source, out, feeds[:1])
    np.testing.assert_allclose(
        open_session(out).run(feeds[0])["y"], open_session(source).run(feeds[0])["y"], rtol=1e-3
    )


def test_only_what_touches_a_large_value_stays_fp32(tmp_path: Path) -> None:
    source, out = write_graph(tmp_path / "a.onnx", 1000), tmp_path / "half.onnx"
    model = onnx.load(source)
    model.graph.node.append(onnx.helper.make_node("MatMul", ["y", "v"], ["z"]))
    values = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(values, "v"))
    model.graph.output[0].name = "z"
    onnx.save(model, source)
    feeds: Any = [{"x": np.float32([[1, 2, 3, 400]])}]
    assert to_half(source, out, feeds) == {"large": 4e5, "kept": 4e5}
    half = {t.name for t in onnx.load(out).graph.initializer if t.data_type == HALF}
    assert half == {"v"}
    np.testing.assert_allclose(
        open_session(out).run(feeds[0])["z"], open_session(source).run(feeds[0])["z"], rtol=2e-3
    )


def test_infinity_stays_infinity(tmp_path: Path) -> None:
    source = write_graph(tmp_path / "a.onnx", 1)
    to_half(source, tmp_path / "half.onnx", [{"x": np.float32([[1, 2, 3, np.inf]])}])


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, ModelSpec]:
    """Return the graph of a predictor of numbers around 50000, and windows of them."""
    torch.manual_seed(1)
    spec = ModelSpec(
        task="regression",
        series=SeriesSpec(inputs=("a", "b"), outputs=("a", "b"), window=4, horizon=1),
    )
    windows = np.random.default_rng(0).normal([50_000, 3], [29_000, 1], (64, 4, 2))
    windows[0, 0, 0] = 150_000
    windows = windows.astype(np.float32)
    network = Regressor(RegressorOptions(hidden=8), inputs=2, outputs=2, window=4).eval()
    network.set_scale(torch.from_numpy(windows), torch.from_numpy(windows[:, 0]))
    with torch.no_grad():
        network.reader.fc.weight *= 8  # so that some answers are beyond 65504
    paths = write_graphs(torch_sessions(spec, network), tmp_path_factory.mktemp("series"))
    return paths["model"], windows, spec


def test_units_of_their_own_are_scaled_in_fp32(series: Any, tmp_path: Path) -> None:
    source, windows, _ = series
    feeds = [{"window": windows}]
    assert "window" in to_half(source, tmp_path / "half.onnx", feeds)
    assert to_half(source, tmp_path / "half.onnx", feeds, raw_units=True) == {}
    fp32, half = (open_session(path) for path in (source, tmp_path / "half.onnx"))
    assert half.inputs == fp32.inputs
    check_graph(tmp_path / "half.onnx", fp32.inputs, fp32.outputs)
    expected = fp32.run(feeds[0])["values"]
    assert np.abs(expected).max() > 65504
    off = np.abs(half.run(feeds[0])["values"] - expected).max(axis=0) / expected.std(axis=0)
    assert off.max() < 2e-3


def test_nothing_is_rounded_around_what_stays_fp32(series: Any, tmp_path: Path) -> None:
    to_half(series[0], tmp_path / "half.onnx", [], raw_units=True)
    graph = onnx.load(tmp_path / "half.onnx").graph
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert len(casts) == 2  # behind the first scaling and before the last
    first, last = graph.node[0], graph.node[-1]
    assert (first.op_type, first.input[0]) == ("Sub", "window")
    assert (last.op_type, last.output[0]) == ("Add", "values")
    halved = {w.name for w in graph.initializer if w.data_type == HALF}
    assert halved.isdisjoint({"input_mean", "input_std", "output_mean", "output_std"})
    assert halved


def test_nothing_in_float32(tmp_path: Path) -> None:
    make = onnx.helper.make_node
    sides = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["N", 4])]
        for name in ("x", "y")
    ]
    graph = onnx.helper.make_graph([make("Relu", ["x"], ["y"])], "tiny", *sides)
    opset = [onnx.helper.make_opsetid("", 17)]
    source, out = tmp_path / "a.onnx", tmp_path / "half.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=opset), source)
    with pytest.raises(BundleError, match="nothing in the network is float32") as caught:
        to_half(source, out, [{"x": np.ones((1, 4))}])
    assert caught.value.code == "E445"
    assert not out.exists()


def test_a_large_square_stays_fp32(tmp_path: Path) -> None:
    make = onnx.helper.make_node
    nodes = [
        make("MatMul", ["x", "w"], ["h"]),
        make("Mul", ["h", "h"], ["square"]),
        make("ReduceSum", ["square"], ["sum"]),
        make("Sqrt", ["sum"], ["length"]),
        make("Div", ["h", "length"], ["y"]),
    ]
    sides = [
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])]
        for name in ("x", "y")
    ]
    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    graph = onnx.helper.make_graph(nodes, "norm", *sides, [weight])
    opset = [onnx.helper.make_opsetid("", 17)]
    source, out = tmp_path / "a.onnx", tmp_path / "half.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=9, opset_imports=opset), source)
    feeds: Any = {"x": np.float32([[300, 400, 0, 0]])}
    assert list(to_half(source, out, [feeds])) == ["square", "sum"]
    np.testing.assert_allclose(open_session(out).run(feeds)["y"], [[0.6, 0.8, 0, 0]], rtol=1e-3)
