"""Real engines on a real GPU, against ONNX Runtime. Small whole numbers: exact in TF32 too."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import edgedl  # noqa: E402
from edgedl.bundle import Bundle  # noqa: E402
from edgedl.engines import cache, tensorrt_api  # noqa: E402
from edgedl.engines.bundle_engines import build_bundle, graphs_for  # noqa: E402
from edgedl.engines.driver import free_gpu_mib, this_machine  # noqa: E402
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT  # noqa: E402
from edgedl.errors import BundleError  # noqa: E402
from edgedl.runtime.session import open_session  # noqa: E402
from edgedl.runtime.trt_session import TrtSession  # noqa: E402
from edgedl.runtime.verify import verify  # noqa: E402

if TYPE_CHECKING:
    from edgedl.runtime.device_memory import DeviceMemory

pytestmark = pytest.mark.gpu


def graph() -> bytes:
    """y (N, 8) = relu(x (N, 3, 8, 8) convolved, pooled) + row of a table for token (N)."""
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    rng = np.random.default_rng(2)
    weights = {
        "w": rng.integers(-2, 3, (8, 3, 3, 3)).astype(np.float32),
        "rows": rng.integers(-9, 9, (5, 8)).astype(np.float32),
    }
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            [
                node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
                node("Relu", ["c"], ["r"]),
                node("GlobalMaxPool", ["r"], ["p"]),
                node("Flatten", ["p"], ["f"]),
                node("Gather", ["rows", "token"], ["row"]),
                node("Add", ["f", "row"], ["y"]),
            ],
            "small",
            [info("x", 1, ["N", 3, 8, 8]), info("token", onnx.TensorProto.INT64, ["N"])],
            [info("y", 1, ["N", 8])],
            [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        ir_version=8,
        opset_imports=[onnx.helper.make_opsetid("", 17)],
    )
    return bytes(made.SerializeToString())


def feeds(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-8, 9, (n, 3, 8, 8)).astype(np.float32)
    return {"x": x, "token": rng.integers(0, 5, n)}


@pytest.fixture(scope="module")
def expected() -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    session = open_session(graph(), "onnxruntime")
    return lambda given: session.run(given)["y"]


@pytest.fixture
def plan(trt: TensorRT) -> bytes:
    here = this_machine()
    if trt.is_rtx and here.compute_capability not in ("8.0", "8.6", "8.9", "12.0", "12.1"):
        pytest.skip(f"{trt} builds nothing for compute capability {here.compute_capability}")
    options = NetworkOptions(batches=((1, 1, 2), (3, 8, 16)))
    return tensorrt_api.build(trt, graph(), options).plan


def test_values(trt: TensorRT, plan: bytes, memory: DeviceMemory, expected: Any) -> None:
    session = TrtSession(plan, trt.package, "small.engine", memory)
    for seed, n in enumerate((1, 2, 3, 16, 8, 1, 4)):
        given = feeds(n, seed)
        np.testing.assert_array_equal(session.run(given)["y"], expected(given))
    with pytest.raises(BundleError, match="the engine was built for"):
        session.run(feeds(17))
    with pytest.raises(BundleError, match="expected x"):
        session.run({**feeds(1), "x": np.zeros((1, 3, 8, 8))})
    given = feeds(2)
    np.testing.assert_array_equal(session.run(given)["y"], expected(given))
    session.close()
    session.close()


def test_tensors_of_torch(trt: TensorRT, plan: bytes, expected: Any) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    session = TrtSession(plan, trt.package, "small.engine")
    for seed in range(20):
        given = feeds(8, seed)
        x = torch.from_numpy(given["x"]).cuda(non_blocking=True) * 2 - 3  # not waited for
        found = session.run({**given, "x": x})["y"]
        np.testing.assert_array_equal(found, expected({**given, "x": given["x"] * 2 - 3}))
    session.close()


def test_threads(trt: TensorRT, plan: bytes, expected: Any) -> None:
    session = TrtSession(plan, trt.package, "small.engine")
    wrong: list[object] = []

    def work(seed: int) -> None:
        for n in (1, 5, 16):
            given = feeds(n, seed)
            try:
                np.testing.assert_array_equal(session.run(given)["y"], expected(given))
            except Exception as err:  # noqa: BLE001 - told to the main thread
                wrong.append(err)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert wrong == []
    session.close()


def test_memory_comes_back(trt: TensorRT, plan: bytes) -> None:
    def once() -> None:
        session = TrtSession(plan, trt.package, "small.engine")
        session.run(feeds(16))
        session.close()

    once()
    before = free_gpu_mib()
    for _ in range(10):
        once()
    after = free_gpu_mib()
    assert before is not None
    assert after is not None
    assert before - after < 64


@pytest.mark.parametrize("damage", ["empty", "cut", "garbage"])
def test_what_is_no_engine(damage: str, trt: TensorRT, plan: bytes, memory: DeviceMemory) -> None:
    raw = {"empty": b"", "cut": plan[: len(plan) // 2], "garbage": b"\x5a" * 4096}[damage]
    with pytest.raises(BundleError, match=r"^bad\.engine cannot run on .*edgedl build") as caught:
        TrtSession(raw, trt.package, "bad.engine", memory)
    assert caught.value.code == "E412"


def test_a_bundle_proves_itself(
    trt: TensorRT,
    plan: bytes,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert plan
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bundle = Bundle.open(tiny_bundle)
    made = build_bundle(bundle, trt, graphs_for(bundle, "fp32"), NetworkOptions())
    rows = {(row.backend, row.precision): row for row in verify(tiny_bundle).rows}
    row = rows[trt.package, "fp32"]
    assert row.samples == 3
    assert all(error < 1e-2 for error in row.errors.values()), row  # TF32 has 10 bits
    with edgedl.load(tiny_bundle, trt.package, "fp32") as pipeline:
        assert pipeline(np.zeros((20, 20, 3), np.uint8)).backend == trt.package
    other = dataclasses.replace(this_machine(), gpu="another GPU", compute_capability="6.1")
    with pytest.raises(BundleError, match="was built for"):
        cache.check_engine(made["step"].path, trt=trt, machine=other)
