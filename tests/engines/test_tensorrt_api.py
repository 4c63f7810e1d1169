"""The adapter against recorded versions, and every way TensorRT says no."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedl.engines import tensorrt_api, trt_log
from edgedl.engines.tensorrt_api import API, RTX_API, TRT_API, NetworkOptions, TensorRT
from edgedl.errors import BundleError, MachineError, MissingDependencyError, UsageError

SURFACES = Path(__file__).parent / "surfaces"
VERSIONS = ("10.3", "10.13", "11.4", "rtx_1.7")
Make = Callable[..., Any]


def flavour(version: str, made: Any) -> TensorRT:
    package = "tensorrt_rtx" if version.startswith("rtx") else "tensorrt"
    return TensorRT(made.module, package, made.module.__version__)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_used_exists(version: str) -> None:
    classes = json.loads((SURFACES / f"{version}.json").read_text())["classes"]
    tables = (API, RTX_API if version.startswith("rtx") else TRT_API)
    wanted = {f"{owner}.{name}" for table in tables for owner in table for name in table[owner]}
    assert wanted <= {f"{owner}.{name}" for owner in classes for name in classes[owner]}


@pytest.mark.parametrize("version", VERSIONS)
def test_builds_with_the_names_of_this_version_only(version: str, fake: Make) -> None:
    trt = tensorrt_api.checked(flavour(version, fake(version)))
    options = NetworkOptions(workspace_mib=64, optimization_level=3)
    built = tensorrt_api.build(trt, b"onnx", options, progress=lambda _done: None)
    assert built.plan == b"plan"
    assert built.profiles == ({"image": ((1, 3, 8, 8), (1, 3, 8, 8), (8, 3, 8, 8))},)
    assert built.workspace_mib == 64
    assert built.timing_cache == (b"" if version.startswith("rtx") else b"timing")
    assert built.inputs == [{"name": "image", "dtype": "float", "shape": [-1, 3, 8, 8]}]


@pytest.mark.parametrize("version", ["11.4", "rtx_1.7"])
def test_the_tables_list_every_name_the_build_uses(version: str, fake: Make) -> None:
    made = fake(version)
    trt = flavour(version, made)
    names: dict[str, list[str]] = {}
    for table in trt.api:
        for owner in table:
            names.setdefault(owner, []).extend(table[owner])
    for owner in names:
        setattr(made.module, owner, made._class(owner, names[owner]))
    gpus = ("8.6",) if trt.is_rtx else ()
    options = NetworkOptions(compute_capabilities=gpus, workspace_mib=1, optimization_level=0)
    made.answers["IBuilderConfig.set_compute_capability"] = True
    tensorrt_api.build(trt, b"onnx", options, progress=lambda _done: None)


@pytest.mark.parametrize(
    ("call", "doing"),
    [
        ("Builder__create_network", "create a network"),
        ("Builder__create_builder_config", "create a builder config"),
        ("Builder__create_optimization_profile", "create a profile"),
        ("Builder__build_serialized_network", "build the engine"),
    ],
)
def test_a_none_is_an_error_with_the_log(call: str, doing: str, fake: Make) -> None:
    def log_and_fail() -> None:
        logger = trt_log._loggers["tensorrt"]
        for name, text in (
            ("ERROR", "out of scratch memory"),
            ("ERROR", "at catchCudaError 35"),
            ("WARNING", "slow"),
        ):
            logger.log(type("Severity", (), {"name": name})(), text)

    trt = flavour("rtx_1.7", fake("rtx_1.7", **{call: log_and_fail}))
    with pytest.raises(BundleError, match=f"could not {doing}: out of scratch memory$") as caught:
        tensorrt_api.build(trt, b"onnx", NetworkOptions())
    assert caught.value.code == "E425"
    assert str(caught.value.__cause__) == "ERROR out of scratch memory\nWARNING slow"


def test_a_refused_profile_is_an_error(fake: Make) -> None:
    made = fake("rtx_1.7", IBuilderConfig__add_optimization_profile=-1)
    with pytest.raises(BundleError, match="could not use the profile"):
        tensorrt_api.build(flavour("rtx_1.7", made), b"onnx", NetworkOptions())


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"OnnxParser__parse": False}, "graph is empty"),
        ({"INetworkDefinition": {"num_layers": 0}}, "graph is empty"),
        ({"INetworkDefinition": {"num_outputs": 0, "num_layers": 1}}, "graph is empty"),
    ],
)
def test_an_empty_parse_is_an_error(answers: dict[str, Any], reason: str, fake: Make) -> None:
    trt = flavour("10.3", fake("10.3", **answers))
    with pytest.raises(BundleError, match=reason):
        tensorrt_api.build(trt, b"onnx", NetworkOptions())


@pytest.mark.parametrize(
    ("owner", "doing"), [("Builder", "create a builder"), ("OnnxParser", "create an ONNX parser")]
)
def test_a_constructor_that_gives_nothing_is_an_error(
    owner: str, doing: str, fake: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def null(*_args: Any) -> None:
        msg = "pybind11::init(): factory function returned nullptr"
        raise TypeError(msg)

    made = fake("11.4")
    monkeypatch.setattr(getattr(made.module, owner), "__init__", null)
    with pytest.raises(BundleError, match=f"could not {doing}: pybind11") as caught:
        tensorrt_api.build(flavour("11.4", made), b"onnx", NetworkOptions())
    assert caught.value.code == "E425"


def test_an_engine_without_bytes_is_an_error(fake: Make) -> None:
    made = fake("10.3", Builder__build_serialized_network=b"")
    with pytest.raises(BundleError, match="could not write the engine"):
        tensorrt_api.build(flavour("10.3", made), b"onnx", NetworkOptions())


def test_a_second_dynamic_axis_needs_shapes(fake: Make) -> None:
    trt = flavour("10.3", fake("10.3", ITensor={"name": "x", "shape": (-1, -1)}))
    with pytest.raises(UsageError, match=r"input x of shape \(-1, -1\) .*--shapes x=MIN:OPT:MAX"):
        tensorrt_api.build(trt, b"onnx", NetworkOptions())
    sizes = {"x": ((1, 2), (3, 4), (5, 6))}
    built = tensorrt_api.build(trt, b"onnx", NetworkOptions(profiles=(sizes,)))
    assert built.profiles == (sizes,)


def test_an_input_that_holds_sizes_is_an_error(fake: Make) -> None:
    trt = flavour("10.3", fake("10.3", ITensor={"name": "sizes", "is_shape_tensor": True}))
    with pytest.raises(BundleError, match="values for input sizes: it holds the sizes of other"):
        tensorrt_api.build(trt, b"onnx", NetworkOptions())


def test_a_profile_for_each_batch(fake: Make) -> None:
    made = fake("11.4")
    options = NetworkOptions(batches=((1, 1, 1), (2, 4, 8)))
    built = tensorrt_api.build(flavour("11.4", made), b"onnx", options)
    assert [profile["image"][2][0] for profile in built.profiles] == [1, 8]
    assert made.calls.count("IOptimizationProfile.set_shape") == 2
    assert made.calls.count("IBuilderConfig.add_optimization_profile") == 2


def test_half_of_the_free_memory_is_the_limit(fake: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake("11.4")
    monkeypatch.setattr(tensorrt_api, "free_gpu_mib", lambda: 3000)
    built = tensorrt_api.build(flavour("11.4", made), b"onnx", NetworkOptions())
    assert built.workspace_mib == 1500
    assert "IBuilderConfig.set_memory_pool_limit" in made.calls
    asked = NetworkOptions(workspace_mib=7)
    assert tensorrt_api.build(flavour("11.4", made), b"onnx", asked).workspace_mib == 7


def test_without_a_gpu_the_limit_is_tensorrts_own(fake: Make) -> None:
    made = fake("rtx_1.7")
    built = tensorrt_api.build(flavour("rtx_1.7", made), b"onnx", NetworkOptions())
    assert built.workspace_mib is None
    assert "IBuilderConfig.set_memory_pool_limit" not in made.calls


def test_rtx_keeps_no_timing_cache(fake: Make) -> None:
    made = fake("rtx_1.7")
    tensorrt_api.build(flavour("rtx_1.7", made), b"onnx", NetworkOptions(), None, b"old")
    assert not [call for call in made.calls if "timing" in call]


def test_a_timing_cache_of_another_gpu_is_begun_anew(fake: Make) -> None:
    answers = iter([False, True])
    made = fake("11.4", IBuilderConfig__set_timing_cache=lambda: next(answers))
    tensorrt_api.build(flavour("11.4", made), b"onnx", NetworkOptions(), None, b"old")
    assert made.calls.count("IBuilderConfig.create_timing_cache") == 2


def test_no_timing_cache_at_all_is_an_error(fake: Make) -> None:
    made = fake("11.4", IBuilderConfig__create_timing_cache=None)
    with pytest.raises(BundleError, match="could not use a timing cache"):
        tensorrt_api.build(flavour("11.4", made), b"onnx", NetworkOptions())


def test_one_logger_for_all_builds(fake: Make) -> None:
    made = fake("11.4")
    for _ in range(2):
        tensorrt_api.build(flavour("11.4", made), b"onnx", NetworkOptions())
    assert made.calls.count("ILogger") == 1


def test_without_a_gpu_nothing_is_created(fake: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake("10.3")
    monkeypatch.setattr(tensorrt_api, "gpu_problem", lambda: "no driver")
    with pytest.raises(MachineError, match="needs the GPU it will run on: no driver") as caught:
        tensorrt_api.build(flavour("10.3", made), b"onnx", NetworkOptions())
    assert caught.value.code == "E601"
    assert made.calls == []


@pytest.mark.parametrize(
    ("package", "how"), [("tensorrt_rtx", "edgedl\\[rtx\\]"), ("tensorrt", "edgedl\\[tensorrt\\]")]
)
def test_not_installed(package: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"pip install '{how}'") as caught:
        tensorrt_api.load(package)
    assert caught.value.code == "E600"
    assert str(caught.value).startswith("an engine of TensorRT")  # to build it or to run it


def test_versions_we_do_not_know(fake: Make) -> None:
    made = fake("10.3")
    for version in ("8.6.1", "12.0"):
        with pytest.raises(MachineError, match="TensorRT 10 or 11 is needed; " + version):
            tensorrt_api.checked(TensorRT(made.module, "tensorrt", version))


def test_a_missing_name_is_told(fake: Make) -> None:
    made = fake("10.3")
    del made.module.OnnxParser.get_error
    with pytest.raises(MachineError, match=r"TensorRT 10\.3\.0 has no OnnxParser\.get_error"):
        tensorrt_api.checked(flavour("10.3", made))


def test_compute_capabilities_belong_to_rtx(fake: Make) -> None:
    options = NetworkOptions(compute_capabilities=("8.7",))
    with pytest.raises(UsageError, match="builds for the GPU that is present"):
        tensorrt_api.build(flavour("10.3", fake("10.3")), b"onnx", options)
    with pytest.raises(UsageError, match=r"cannot build for compute capability 8\.7"):
        tensorrt_api.build(flavour("rtx_1.7", fake("rtx_1.7")), b"onnx", options)


@pytest.mark.parametrize("batch", [(1, 2), (0, 1, 2), (2, 1, 4), (1, 8, 4)])
def test_impossible_batches(batch: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="1 <= min <= opt <= max"):
        NetworkOptions(batches=(batch,))


def test_impossible_level() -> None:
    with pytest.raises(UsageError, match=r"optimization_level must be in 0\.\.5; got 6"):
        NetworkOptions(optimization_level=6)
