"""Real TensorRT-RTX builds; they need no GPU."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgedl.engines.build import build_engine, target_name  # noqa: E402
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT, load  # noqa: E402
from edgedl.errors import BundleError, MissingDependencyError, UsageError  # noqa: E402

pytestmark = pytest.mark.rtx


@pytest.fixture
def rtx() -> Iterator[TensorRT]:
    try:
        yield load("tensorrt_rtx")
    except MissingDependencyError as err:
        pytest.skip(str(err))


def graph(folder: Path, axis: str | int = "N") -> Path:
    """Write y = relu(x @ W)."""
    weights = np.ones((4, 5), np.float32)
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("MatMul", ["x", "w"], ["m"]),
                helper.make_node("Relu", ["m"], ["y"]),
            ],
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [axis, 4])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [axis, 5])],
            [numpy_helper.from_array(weights, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = folder / "small.onnx"
    onnx.save(model, path)
    return path


def test_engine_and_sidecar(rtx: TensorRT, tmp_path: Path) -> None:
    source, out, done = graph(tmp_path), tmp_path / "small.engine", []
    options = NetworkOptions(batches=((1, 2, 4),))
    sidecar = build_engine(rtx, source, out, options, "fp32", done.append)
    assert sidecar["graph_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert sidecar["engine_sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert sidecar["profiles"] == [{"x": ((1, 4), (2, 4), (4, 4))}]
    assert sidecar["key"]["graph_sha256"] == sidecar["graph_sha256"]
    assert sidecar["key"]["gpu"] is None
    assert sidecar["peak_memory_mib"] > 0
    assert [io["shape"] for io in sidecar["inputs"] + sidecar["outputs"]] == [[-1, 4], [-1, 5]]
    assert sidecar["tensorrt"] == rtx.version
    assert sidecar["num_layers"] > 0
    json.dumps(sidecar)
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert target_name(rtx) == f"rtx-{rtx.short_version}"


def test_for_chosen_gpus(rtx: TensorRT, tmp_path: Path) -> None:
    options = NetworkOptions(compute_capabilities=("8.6", "8.9"))
    out = tmp_path / "e.engine"
    assert build_engine(rtx, graph(tmp_path, 3), out, options, "fp32")["profiles"] == []


def test_a_jetson_is_not_a_target_of_rtx(rtx: TensorRT, tmp_path: Path) -> None:
    options = NetworkOptions(compute_capabilities=("8.7",))
    with pytest.raises(UsageError, match=r"cannot build for compute capability 8\.7; it knows SM"):
        build_engine(rtx, graph(tmp_path), tmp_path / "e.engine", options, "fp32")


@pytest.mark.parametrize("content", [b"", b"x" * 50, b"<html>not a model</html>"])
def test_garbage_is_one_error(rtx: TensorRT, tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "bad.onnx"
    source.write_bytes(content)
    with pytest.raises(BundleError, match="TensorRT could not read the ONNX graph"):
        build_engine(rtx, source, tmp_path / "e.engine", NetworkOptions(), "fp32")
    assert not (tmp_path / "e.engine").exists()


def test_interrupting_the_progress_stops_the_build(rtx: TensorRT, tmp_path: Path) -> None:
    def interrupt(_done: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(
            rtx, graph(tmp_path), tmp_path / "e.engine", NetworkOptions(), "fp32", interrupt
        )
    assert not (tmp_path / "e.engine").exists()
