"""Sessions over engines: on a GPU and a TensorRT that are made of NumPy and ONNX Runtime."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime.fake_cuda import (
    COMMON,
    VERSIONS,
    CudaArray,
    DlpackArray,
    Fake,
    FakeMemory,
    recorded,
)

from edgedl.engines.tensorrt_api import TensorRT
from edgedl.errors import BundleError, MachineError, UsageError
from edgedl.runtime import device_memory, trt_session
from edgedl.runtime.lots import any_rows
from edgedl.runtime.session import open_session
from edgedl.runtime.trt_session import API, TrtSession
from edgedl.spec import TensorSpec

onnx = pytest.importorskip("onnx")

Open = Callable[..., TrtSession]
NAME = "step.engine"


def model(axis: str | int = "N", half: bool = False) -> bytes:
    """y (N, 2) = x (N, 3) @ w + b[token], z (N, 3) = 2 x: two inputs, two outputs, two types."""
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    dtype = np.float16 if half else np.float32
    weights = {
        "w": np.arange(6).reshape(3, 2).astype(dtype),
        "b": np.arange(8).reshape(4, 2).astype(dtype),
    }
    graph = onnx.helper.make_graph(
        [
            node("MatMul", ["x", "w"], ["xw"]),
            node("Gather", ["b", "token"], ["row"]),
            node("Add", ["xw", "row"], ["y"]),
            node("Add", ["x", "x"], ["z"]),
        ],
        "small",
        [info("x", kind, [axis, 3]), info("token", onnx.TensorProto.INT64, [axis])],
        [info("y", kind, [axis, 2]), info("z", kind, [axis, 3])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    made = onnx.helper.make_model(graph, ir_version=9, opset_imports=opset)
    return bytes(made.SerializeToString())


def profile(low: int, usual: int, high: int) -> dict[str, Any]:
    sizes = (low, usual, high)
    return {"x": [(n, 3) for n in sizes], "token": [(n,) for n in sizes]}


def feeds(n: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(n, 3)).astype(np.float32), "token": rng.integers(0, 4, n)}


def assert_right(found: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> None:
    weights = np.arange(6).reshape(3, 2).astype(np.float32)
    rows = np.arange(8).reshape(4, 2)[given["token"]]
    np.testing.assert_allclose(found["y"], given["x"] @ weights + rows, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["z"], 2 * given["x"])
    assert {name: array.dtype.name for name, array in found.items()} == {
        "y": "float32",
        "z": "float32",
    }


@pytest.fixture
def memory() -> Iterator[FakeMemory]:
    made = FakeMemory()
    yield made
    gc.collect()
    assert made.live == {}, "memory was not given back"
    assert made.is_idle


@pytest.fixture
def fake(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake(memory)
    made.profiles = (profile(1, 1, 8),)
    monkeypatch.setattr(device_memory, "gpu_problem", lambda: None)
    flavour = TensorRT(made.module, "tensorrt", "10.3.0")
    monkeypatch.setattr(trt_session, "load", lambda _package: flavour)
    monkeypatch.setattr("edgedl.engines.trt_log._loggers", {})
    return made


@pytest.fixture
def opened(fake: Fake, memory: FakeMemory) -> Iterator[TrtSession]:
    assert fake.module
    session = TrtSession(model(), "tensorrt", NAME, memory)
    yield session
    session.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_used_exists(version: str) -> None:
    classes = recorded(version)
    for owner, names in API.items():
        assert set(names) <= classes[owner]


def test_the_table_lists_every_name_that_is_used(
    fake: Fake, memory: FakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, names in API.items():
        monkeypatch.setitem(COMMON, owner, set(names))
    fake.profiles = (profile(1, 1, 2), profile(3, 3, 8))
    session = TrtSession(model(), "tensorrt", NAME, memory)
    for n in (1, 4):
        session.run(feeds(n))
    session.close()


def test_specs(opened: TrtSession) -> None:
    assert opened.backend == "tensorrt"
    assert opened.inputs == (
        TensorSpec(name="x", dtype="float32", shape=("N", 3)),
        TensorSpec(name="token", dtype="int64", shape=("N",)),
    )
    assert [spec.name for spec in opened.outputs] == ["y", "z"]


def test_values_of_every_batch_size(opened: TrtSession) -> None:
    for index, n in enumerate((1, 8, 3, 3, 8, 1)):
        given = feeds(n, index)
        assert_right(opened.run(given), given)


def test_half_precision_and_inputs_that_are_not_contiguous(fake: Fake, memory: FakeMemory) -> None:
    fake.profiles = ({},)
    session = TrtSession(model(axis=2, half=True), "tensorrt", NAME, memory)
    x = np.arange(6, dtype=np.float16).reshape(3, 2).T
    found = session.run({"x": x, "token": np.array([0, 9, 3])[::2]})
    np.testing.assert_array_equal(found["z"], 2 * x)
    np.testing.assert_array_equal(found["y"], [[20, 27], [32, 42]])
    session.close()


def test_results_are_the_callers_own(opened: TrtSession) -> None:
    first, second = feeds(2, 1), feeds(2, 2)
    found = opened.run(first)
    opened.run(second)
    assert_right(found, first)
    found["y"][:] = 0


def test_memory_is_used_again(opened: TrtSession, memory: FakeMemory) -> None:
    opened.run(feeds(8))
    memory.events.clear()
    for n in (8, 1, 5, 8):
        opened.run(feeds(n))
    assert not [event for event in memory.events if event.startswith(("allocate", "free"))]
    assert not [event for event in memory.events if event.startswith("address")]


def test_the_order_of_a_call(opened: TrtSession, memory: FakeMemory) -> None:
    opened.run(feeds(2))
    memory.events.clear()
    opened.run(feeds(2))
    x, token, y = 2 * 3 * 4, 2 * 8, 2 * 2 * 4
    assert memory.events == [
        *(f"upload {size}" for size in (x, token)),
        "execute",
        *(f"download {size}" for size in (y, x)),
        "synchronize",
    ]


def test_the_profile_that_was_made_for_it(fake: Fake, memory: FakeMemory) -> None:
    fake.profiles = (profile(1, 1, 8), profile(1, 8, 8), profile(20, 20, 20))
    session = TrtSession(model(), "tensorrt", NAME, memory)
    for n in (1, 2, 7, 8, 1, 20):
        given = feeds(n)
        assert_right(session.run(given), given)
    assert [e for e in memory.events if e.startswith("profile")] == [
        "profile 1",
        "profile 0",
        "profile 2",
    ]
    with pytest.raises(BundleError) as caught:
        session.run(feeds(9))
    assert str(caught.value) == (
        "step.engine failed to run: the engine was built for x (1, 3) to (8, 3), token (1,) to "
        "(8,) or x (1, 3) to (8, 3), token (1,) to (8,) or x (20, 3) to (20, 3), token (20,) to "
        "(20,); got x (9, 3), token (9,); build another one: edgedl build X.edge, with --batch or "
        "--shapes"
    )
    assert caught.value.code == "E413"
    assert session.most_rows == 20
    session.close()


def test_any_number_of_rows(fake: Fake, memory: FakeMemory) -> None:
    fake.profiles = (profile(1, 1, 4), profile(1, 8, 8))
    session = any_rows(TrtSession(model(), "tensorrt", NAME, memory))
    for n in (1, 8, 9, 30):
        given = feeds(n)
        assert_right(session.run(given), given)
    session.close()
    session.close()


@pytest.mark.usefixtures("fake")
def test_everything_ends_in_order(memory: FakeMemory) -> None:
    session = TrtSession(model(), "tensorrt", NAME, memory)
    session.run(feeds(2))
    memory.events.clear()
    session.close()
    session.close()
    assert memory.events[:4] == [
        "synchronize",
        "delete IExecutionContext",
        "delete ICudaEngine",
        "delete Runtime",
    ]
    assert memory.events[4:] == ["free"] * 8  # two inputs, two outputs, on both sides
    assert not memory.is_closed, "the stream is the caller's"
    with pytest.raises(RuntimeError, match=r"step\.engine was closed"):
        session.run(feeds())


@pytest.mark.usefixtures("fake")
def test_memory_of_its_own_is_closed(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_session, "open_device_memory", lambda: memory)
    session = TrtSession(model(), "tensorrt", NAME)
    session.run(feeds())
    session.close()
    assert memory.events[-1] == "close"
    session.close()
    assert memory.events.count("close") == 1


@pytest.mark.parametrize(
    ("call", "what"),
    [
        ("Runtime", r"pybind11::init\(\): factory function returned nullptr"),
        ("Runtime.deserialize_cuda_engine", "it is no engine for this version and this GPU"),
        ("ICudaEngine.create_execution_context", "it gave no execution context"),
    ],
)
def test_a_none_is_an_error_with_the_log(
    call: str, what: str, fake: Fake, memory: FakeMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def log_and_fail() -> None:
        if fake.logger:
            fake.say("Version tag does not match")
            fake.say("at catchCudaError 35")
            fake.say("slow", "WARNING")

    fake.answers[call] = log_and_fail
    monkeypatch.setattr(trt_session, "open_device_memory", lambda: memory)
    with pytest.raises(BundleError, match=what) as caught:
        TrtSession(model(), "tensorrt", NAME)
    assert str(caught.value).startswith("step.engine cannot run on TensorRT 10.3.0: ")
    assert str(caught.value).endswith("; build it again on this machine: edgedl build")
    said = "; Version tag does not match; build" in str(caught.value)
    assert said == (call != "Runtime")
    assert caught.value.code == "E412"
    assert memory.is_closed


def test_what_numpy_and_edgedl_cannot_feed(fake: Fake, memory: FakeMemory) -> None:
    fake.dtypes["z"] = "BF16"
    with pytest.raises(BundleError, match="z is BF16, which NumPy has not"):
        TrtSession(model(), "tensorrt", NAME, memory)
    fake.dtypes.clear()
    fake.answers["is_shape_inference_io token"] = True
    with pytest.raises(BundleError, match="token holds sizes") as caught:
        TrtSession(model(), "tensorrt", NAME, memory)
    assert caught.value.code == "E412"
    assert memory.events.count("delete Runtime") == 2


@pytest.mark.parametrize(
    ("call", "answer", "code", "what"),
    [
        ("IExecutionContext.set_input_shape", False, "E413", r"x of shape \(2, 3\) was refused"),
        ("IExecutionContext.infer_shapes", ["y"], "E415", "the size of y is not known"),
        ("get_tensor_shape z", (2, -1), "E415", r"the size of z depends on the data: \(2, -1\)"),
        ("IExecutionContext.set_tensor_address", False, "E415", "the address of y was refused"),
        ("IExecutionContext.execute_async_v3", False, "E415", "it did not start"),
    ],
)
def test_a_call_that_fails_and_the_next_that_does_not(
    call: str, answer: Any, code: str, what: str, fake: Fake, opened: TrtSession
) -> None:
    def log_and_fail() -> Any:
        fake.say("because")
        return answer

    fake.answers[call] = log_and_fail
    with pytest.raises(
        BundleError, match=f"^step.engine failed to run: {what}; because$"
    ) as caught:
        opened.run(feeds(2))
    assert caught.value.code == code
    assert fake.memory.is_idle
    fake.answers.clear()
    given = feeds(2, 5)
    assert_right(opened.run(given), given)


def test_shapes_are_set_again_after_a_failure(fake: Fake, opened: TrtSession) -> None:
    given = feeds(2)
    opened.run(given)
    fake.answers["IExecutionContext.set_input_shape"] = False
    with pytest.raises(BundleError, match="was refused"):
        opened.run(feeds(3))
    fake.answers.clear()
    assert_right(opened.run(given), given)


def test_a_profile_that_cannot_be_chosen(fake: Fake, memory: FakeMemory) -> None:
    fake.profiles = (profile(1, 1, 1), profile(2, 2, 8))
    session = TrtSession(model(), "tensorrt", NAME, memory)
    fake.answers["IExecutionContext.set_optimization_profile_async"] = False
    with pytest.raises(BundleError, match="its profile 1 cannot be chosen") as caught:
        session.run(feeds(2))
    assert caught.value.code == "E415"
    fake.answers.clear()
    given = feeds(3)
    assert_right(session.run(given), given)
    session.close()


def test_a_gpu_that_is_full(opened: TrtSession, memory: FakeMemory) -> None:
    opened.run(feeds(1))
    memory.room_bytes = 40
    with pytest.raises(BundleError, match="failed to run: CUDA_ERROR_OUT_OF_MEMORY") as caught:
        opened.run(feeds(8))
    assert caught.value.code == "E415"
    memory.room_bytes = 1 << 20
    for n in (8, 1):
        given = feeds(n)
        assert_right(opened.run(given), given)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"x": None}, "expected inputs x, token; got token"),
        ({"w": np.zeros(1)}, "expected inputs x, token; got x, token, w"),
        ({"x": np.zeros((1, 4), np.float32)}, r"expected x \(N, 3\) float32; got \(1, 4\) float32"),
        ({"x": np.zeros((1, 3))}, r"expected x \(N, 3\) float32; got \(1, 3\) float64"),
        ({"x": np.zeros((1, 3), ">f4")}, r"expected x \(N, 3\) float32; got \(1, 3\) >f4"),
        ({"x": np.zeros(3, np.float32)}, r"expected x \(N, 3\) float32; got \(3,\) float32"),
        ({"token": "a"}, r"expected token \(N\) int64; got \(\) <U1"),
        ({"x": [[1, 2], [3]]}, "x cannot be read: "),
    ],
)
def test_inputs_that_do_not_fit(change: dict[str, Any], what: str, opened: TrtSession) -> None:
    given = {k: v for k, v in {**feeds(), **change}.items() if v is not None}
    with pytest.raises(BundleError, match=f"^step.engine failed to run: {what}") as caught:
        opened.run(given)
    assert caught.value.code == "E413"


def test_lists_and_zero_dimensional_things_are_arrays(opened: TrtSession) -> None:
    found = opened.run({"x": np.ones((1, 3), np.float32), "token": [2]})
    np.testing.assert_array_equal(found["y"], [[6 + 4, 9 + 5]])


def test_arrays_of_the_gpu_are_read_where_they_lie(opened: TrtSession, memory: FakeMemory) -> None:
    given = feeds(2)
    there = {name: CudaArray(memory, array) for name, array in given.items()}
    memory.events.clear()
    assert_right(opened.run(there), given)
    assert not [event for event in memory.events if event.startswith("upload")]
    assert memory.events.index("synchronize device") < memory.events.index("execute")
    assert_right(opened.run({**given, "x": there["x"]}), given)
    assert_right(opened.run(given), given)
    for array in there.values():
        memory.live.pop(array.__cuda_array_interface__["data"][0])


def test_dlpack_lets_our_stream_wait(opened: TrtSession, memory: FakeMemory) -> None:
    given = feeds(2)
    with memory.current():
        block = memory.allocate(given["x"].nbytes)
    x = memory.live[block.address].view(np.float32).reshape(2, 3)
    x[:] = given["x"]
    there = DlpackArray(x)
    memory.events.clear()
    assert_right(opened.run({**given, "x": there}), given)
    assert there.streams == [memory.stream]
    assert [e for e in memory.events if e.startswith("upload")] == ["upload 16"]
    assert "synchronize device" not in memory.events
    for wrong, what in (
        (DlpackArray(x.astype(np.float64)), r"expected x \(N, 3\) float32; got \(2, 3\) float64"),
        (DlpackArray(np.zeros((3, 2), np.float32).T), r"without gaps; call \.contiguous\(\)"),
    ):
        with pytest.raises(BundleError, match=what) as caught:
            opened.run({**given, "x": wrong})
        assert caught.value.code == "E413"
    memory.live.pop(block.address)


def test_an_array_on_another_gpu(opened: TrtSession, monkeypatch: pytest.MonkeyPatch) -> None:
    x = DlpackArray(np.zeros((1, 3), np.float32))
    monkeypatch.setattr(opened._memory, "device", 1)
    with pytest.raises(BundleError, match="expected x on GPU 1; got GPU 0"):
        opened.run({**feeds(), "x": x})


def test_threads_may_share_a_session(opened: TrtSession) -> None:
    wrong: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for n in (1, 4, 8, 2):
                given = feeds(n, seed)
                assert_right(opened.run(given), given)
        except BaseException as err:  # noqa: BLE001 - told to the main thread
            wrong.append(err)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert wrong == []


@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx"])
def test_without_a_driver_nothing_is_created(
    package: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unwanted(*_args: Any) -> None:
        pytest.fail("asked for before the driver")

    monkeypatch.setattr(device_memory, "gpu_problem", lambda: "no NVIDIA driver is installed")
    monkeypatch.setattr(trt_session, "load", unwanted)
    monkeypatch.setattr("edgedl.engines.tensorrt_api.load", unwanted)
    for engine in (b"engine", tmp_path / "x.engine"):
        with pytest.raises(MachineError, match="needs an NVIDIA GPU: no NVIDIA driver") as caught:
            open_session(engine, backend=package, name="x.engine")
        assert (caught.value.code, caught.value.exit_code) == ("E601", 5)
        assert "use: --backend onnxruntime" in str(caught.value)


@pytest.mark.usefixtures("fake")
def test_the_door(memory: FakeMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trt_session, "open_device_memory", lambda: memory)
    session = open_session(model(), backend="tensorrt", name=NAME)
    given = feeds(3)
    assert_right(session.run(given), given)
    session.close()
    with pytest.raises(UsageError, match=r"there are: auto, onnxruntime, tensorrt, tensorrt_rtx"):
        open_session(b"", backend="trt")
