"""ONNX Runtime: its options, and its errors in our words."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnxruntime.quantization import quantize_dynamic

from edgedl.errors import BundleError
from edgedl.runtime import ort_session
from edgedl.runtime.lots import any_rows
from edgedl.runtime.session import open_session
from edgedl.spec import TensorSpec

onnx = pytest.importorskip("onnx")


def model(*nodes: Any, opset: int = 17, ir_version: int = 9, dtype: int = 1) -> bytes:
    x, y = (onnx.helper.make_tensor_value_info(name, dtype, ["N", 2]) for name in "xy")
    graph = onnx.helper.make_graph(list(nodes), "g", [x], [y])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    made.ir_version = ir_version
    return bytes(made.SerializeToString())


def relu() -> Any:
    return onnx.helper.make_node("Relu", ["x"], ["y"])


def test_specs_and_values() -> None:
    session = open_session(model(relu()))
    assert session.backend == "onnxruntime"
    assert session.inputs == (TensorSpec(name="x", dtype="float32", shape=("N", 2)),)
    assert session.outputs == (TensorSpec(name="y", dtype="float32", shape=("N", 2)),)
    out = session.run({"x": np.float32([[-1, 2]])})
    np.testing.assert_array_equal(out["y"], [[0, 2]])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x3a\x00", "E412"),
        (model(onnx.helper.make_node("Nonsense", ["x"], ["y"])), "E412"),
        (model(relu(), opset=999), "E412"),
        (model(relu(), ir_version=99), "E412"),
        (model(onnx.helper.make_node("Relu", ["y"], ["y"])), "E412"),
        (model(relu())[:40], "E410"),
        (model(relu()) + b"\x08", "E410"),
        (b"<html>", "E410"),
    ],
)
def test_what_cannot_be_opened(raw: bytes, code: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BundleError) as caught:
        open_session(raw, name="bad.onnx")
    assert caught.value.code == code
    assert str(caught.value).startswith("bad.onnx ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"z": np.zeros((1, 2), np.float32)},
        {"x": np.zeros((1, 3), np.float32)},
        {"x": np.zeros((1, 2), np.float64)},
        {"x": np.zeros(2, np.float32)},
    ],
)
def test_inputs_that_do_not_fit(feeds: Any, capfd: pytest.CaptureFixture[str]) -> None:
    session = open_session(model(relu()), name="x.onnx")
    with pytest.raises(BundleError, match=r"x\.onnx failed to run") as caught:
        session.run(feeds)
    assert caught.value.code == "E413"
    assert capfd.readouterr() == ("", "")


def test_more_memory_than_there_is() -> None:
    size = onnx.numpy_helper.from_array(np.array([1 << 40, 1 << 10]), "size")
    nodes = [
        onnx.helper.make_node("Constant", [], ["s"], value=size),
        onnx.helper.make_node("ConstantOfShape", ["s"], ["big"]),
        onnx.helper.make_node("Add", ["x", "big"], ["y"]),
    ]
    with pytest.raises(BundleError) as caught:
        open_session(model(*nodes)).run({"x": np.zeros((1, 2), np.float32)})
    assert caught.value.code in ("E412", "E415")


def test_options() -> None:
    level = ort_session.onnxruntime.GraphOptimizationLevel
    one, two = ort_session._options(1, False), ort_session._options(2, True)
    assert one.graph_optimization_level == level.ORT_ENABLE_ALL
    assert two.graph_optimization_level == level.ORT_ENABLE_EXTENDED
    assert (one.intra_op_num_threads, two.intra_op_num_threads) == (1, 2)
    assert one.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_half_precision_is_opened_carefully(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = ort_session._options
    monkeypatch.setattr(ort_session, "_options", lambda *args: seen.append(args) or real(*args))
    half = onnx.numpy_helper.from_array(np.float16([[1, 2]]), "half")
    nodes = (
        onnx.helper.make_node("Constant", [], ["w"], value=half),
        onnx.helper.make_node("Add", ["x", "w"], ["y"]),
    )
    session = open_session(model(*nodes, dtype=onnx.TensorProto.FLOAT16))
    assert seen == [(1, True)]
    assert session.inputs[0].dtype == "float16"
    out = session.run({"x": np.float16([[1, 1]])})["y"]
    np.testing.assert_array_equal(out, np.float16([[2, 3]]))


def test_closing_twice_is_fine_and_running_then_is_not() -> None:
    session = open_session(model(relu()))
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match="closed"):
        session.run({"x": np.zeros((1, 2), np.float32)})


def test_threads_may_share_a_session(tiny_bundle: Path) -> None:
    session = open_session(tiny_bundle / "graphs" / "encoder.fp32.onnx", threads=2)
    images = np.random.default_rng(0).normal(size=(4, 1, 3, 8, 8)).astype(np.float32)
    expected = [session.run({"image": image})["h"] for image in images]
    found: dict[int, Any] = {}

    def work(n: int) -> None:
        found[n] = [session.run({"image": images[n]})["h"] for _ in range(50)]

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    for n in range(4):
        for h in found[n]:
            np.testing.assert_array_equal(h, expected[n])


def test_samples_do_not_share_ranges_that_are_found_as_a_graph_runs(tmp_path: Path) -> None:

    rng = np.random.default_rng(0)
    weight = onnx.numpy_helper.from_array(rng.normal(size=(4, 3)).astype(np.float32), "w")
    make = onnx.helper
    graph = make.make_graph(
        [make.make_node("MatMul", ["tokens_", "w"], ["logits"], name="product")],
        "g",
        [make.make_tensor_value_info("tokens_", 1, ["N", 4])],
        [make.make_tensor_value_info("logits", 1, ["N", 3])],
        [weight],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "f.onnx")
    quantize_dynamic(tmp_path / "f.onnx", tmp_path / "q.onnx")
    x = rng.normal(size=(2, 4)).astype(np.float32) * np.array([[1], [1000]], np.float32)
    session = open_session(tmp_path / "q.onnx")
    alone = np.concatenate([session.run({"tokens_": row[None]})["logits"] for row in x])
    together = session.run({"tokens_": x})["logits"]
    assert not np.allclose(together, alone)
    np.testing.assert_array_equal(any_rows(session).run({"tokens_": x})["logits"], alone)
    float_session = open_session(tmp_path / "f.onnx")
    assert any_rows(float_session) is float_session


@pytest.mark.parametrize("in_float", [False, True])
def test_what_is_rounded_stays_rounded_in_float(in_float: bool) -> None:
    make, array = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes = [
        make("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        make("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        make("DequantizeLinear", ["w", "scale", "zero"], ["v"]),
        make("MatMul", ["d", "v"], ["y"]),
    ]
    made = onnx.load_from_string(model(*nodes))
    weights = np.int8([[3, -7], [11, 127]])
    made.graph.initializer.extend(
        [
            array(np.float32(0.5), "scale"),
            array(np.int8(0), "zero"),
            array(weights, "w"),
        ]
    )
    session = open_session(bytes(made.SerializeToString()), in_float=in_float)
    x = np.float32([[0.3, -1.9], [70, 0.26]])
    rounded = np.rint(x / 0.5).clip(-128, 127) * 0.5
    np.testing.assert_allclose(session.run({"x": x})["y"], rounded @ (weights * 0.5), rtol=1e-6)
