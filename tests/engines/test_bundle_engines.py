"""The engines of a bundle, built for real by TensorRT-RTX, which needs no GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgedl.bundle import Bundle
from edgedl.bundle.manifest import PrecisionRecord
from edgedl.engines import bundle_engines, tensorrt_api
from edgedl.engines.build import needed_mib
from edgedl.engines.bundle_engines import (
    Step,
    Watch,
    build_bundle,
    flavour_of,
    graphs_for,
    options_for,
    source_of,
)
from edgedl.engines.cache import check_engine, check_file, find_engine
from edgedl.engines.driver import Machine
from edgedl.engines.key import key_of
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import BundleError, MachineError, MissingDependencyError, UsageError

CARD = Machine(gpu="a card", compute_capability="8.6")
OPTIONS = NetworkOptions()

rtx_only = pytest.mark.rtx


@pytest.fixture
def rtx() -> Iterator[TensorRT]:
    try:
        yield tensorrt_api.load("tensorrt_rtx")
    except MissingDependencyError as err:
        pytest.skip(str(err))


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


@rtx_only
def test_every_role_is_built_and_passes_its_check(rtx: TensorRT, bundle: Bundle) -> None:
    told: list[str] = []
    steps: list[Step] = []
    graphs = graphs_for(bundle)
    made = build_bundle(bundle, rtx, graphs, OPTIONS, watch=Watch(told.append, steps.append))
    assert list(made) == ["encoder", "step"]
    for graph in graphs:
        one = made[graph.role]
        assert not one.from_cache
        assert one.sidecar["graph_sha256"] == bundle.manifest.files[graph.file].sha256
        assert check_engine(one.path, trt=rtx, machine=CARD).plan == one.path.read_bytes()
        key = key_of(rtx, one.sidecar["graph_sha256"], "fp32", CARD)
        assert find_engine(key) == one.path
    assert "building with TensorRT-RTX" in told[0]
    assert "needs about 250 MiB of memory" in told[0]
    assert [step.role for step in steps if step.done == 1.0] == ["encoder", "step"]
    assert all(step.left_s is None or step.left_s >= 0 for step in steps)


@rtx_only
def test_what_is_there_is_taken(rtx: TensorRT, bundle: Bundle) -> None:
    graphs, told = graphs_for(bundle), []
    first = build_bundle(bundle, rtx, graphs, OPTIONS)
    second = build_bundle(bundle, rtx, graphs, OPTIONS, watch=Watch(told.append))
    assert [one.from_cache for one in second.values()] == [True, True]
    assert [one.path for one in second.values()] == [one.path for one in first.values()]
    assert told == [f"{role}: taken from the cache, {one.path}" for role, one in first.items()]
    forced = build_bundle(bundle, rtx, graphs, OPTIONS, force=True)
    assert not any(one.from_cache for one in forced.values())
    other = build_bundle(bundle, rtx, graphs, NetworkOptions(batches=((1, 1, 2),)))
    assert not any(one.from_cache for one in other.values())


@rtx_only
@pytest.mark.parametrize("suffix", [".engine", ".json"])
def test_a_damaged_entry_is_built_again(rtx: TensorRT, bundle: Bundle, suffix: str) -> None:
    first = build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS)
    file = first["step"].path.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:-9])
    second = build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS)
    assert {role: one.from_cache for role, one in second.items()} == {
        "encoder": True,
        "step": False,
    }
    check_file(second["step"].path)


@rtx_only
def test_an_interrupted_build_goes_on_with_the_next_role(rtx: TensorRT, bundle: Bundle) -> None:
    def interrupt(step: Step) -> None:
        if step.role == "step":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS, watch=Watch(progress=interrupt))
    made = build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS)
    assert [one.from_cache for one in made.values()] == [True, False]


@rtx_only
def test_a_cache_that_cannot_be_used_is_said_before_the_build(
    rtx: TensorRT, bundle: Bundle, cache_of_its_own: Path
) -> None:
    build_bundle(bundle, rtx, graphs_for(bundle)[:1], OPTIONS)
    (cache_of_its_own / "key").chmod(0o644)
    steps: list[Step] = []
    with pytest.raises(MachineError, match="can be read by others"):
        build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS, watch=Watch(progress=steps.append))
    assert steps == []


BUILD = """
import sys
from edgedl.bundle import Bundle
from edgedl.engines import tensorrt_api
from edgedl.engines.bundle_engines import Watch, build_bundle, graphs_for
from edgedl.engines.tensorrt_api import NetworkOptions
bundle = Bundle.open(sys.argv[1])
tell = lambda _step: print("going", flush=True)
while True:
    build_bundle(bundle, tensorrt_api.load("tensorrt_rtx"), graphs_for(bundle), NetworkOptions(),
                 True, Watch(progress=tell))
    if len(sys.argv) == 2:
        break
"""


def start(bundle: Bundle, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILD, str(bundle.path), *more]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)


@rtx_only
def test_sigkill_leaves_whole_entries(
    rtx: TensorRT, bundle: Bundle, cache_of_its_own: Path
) -> None:
    builder = start(bundle, "again and again")
    try:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "going\n"
        for pause_s in (0.0, 0.11, 0.23):
            time.sleep(pause_s)
            builder.kill()
            builder.communicate()
            for sidecar in cache_of_its_own.glob("*.json"):
                check_file(sidecar.with_suffix(".engine"))
            builder = start(bundle, "again and again")
            assert builder.stdout is not None
            assert builder.stdout.readline() == "going\n"
    finally:
        builder.kill()
        builder.communicate()
    made = build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS)
    for one in made.values():
        check_file(one.path)


@rtx_only
def test_two_builders_of_one_engine_do_not_disturb_each_other(
    rtx: TensorRT, bundle: Bundle, cache_of_its_own: Path
) -> None:
    builders = [start(bundle), start(bundle)]
    for builder in builders:
        _, err = builder.communicate(timeout=120)
        assert (builder.returncode, err) == (0, "")
    for sidecar in cache_of_its_own.glob("*.json"):
        check_file(sidecar.with_suffix(".engine"))
    made = build_bundle(bundle, rtx, graphs_for(bundle), OPTIONS)
    assert all(one.from_cache for one in made.values())


@rtx_only
def test_ctrl_c_ends_the_command(rtx: TensorRT, bundle: Bundle, cache_of_its_own: Path) -> None:
    assert rtx.is_rtx
    builder = start(bundle, "again and again")
    assert builder.stdout is not None
    assert builder.stdout.readline() == "going\n"
    os.kill(builder.pid, signal.SIGINT)
    _, err = builder.communicate(timeout=60)
    assert builder.returncode != 0
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "Exception caught" not in err  # nothing travelled through TensorRT
    for sidecar in cache_of_its_own.glob("*.json"):
        check_file(sidecar.with_suffix(".engine"))


def test_auto_takes_the_first_that_kept_its_quality() -> None:
    kept = PrecisionRecord(quality={"exact": 0.9, "n": 1})
    lost = PrecisionRecord(quality={"exact": 0.1, "n": 1}, kept_quality=False)
    records = {"fp32": kept, "int8-cpu": kept, "fp16": lost, "int8-trt": kept}
    graphs = tuple(SimpleNamespace(role="model", precision=name) for name in records)
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(precisions=records, graphs=graphs))
    assert [g.precision for g in graphs_for(bundle)] == ["int8-trt"]
    assert [g.precision for g in graphs_for(bundle, "fp16")] == ["fp16"]
    assert [g.precision for g in graphs_for(bundle, "int8")] == ["int8-trt"]
    records["int8-trt"] = lost
    assert [g.precision for g in graphs_for(bundle)] == ["fp32"]


def test_a_precision_that_is_not_there(bundle: Bundle) -> None:
    with pytest.raises(
        BundleError, match="has no int8-trt encoder; it has fp32, int8-cpu"
    ) as found:
        graphs_for(bundle, "int8")
    assert found.value.code == "E419"
    with pytest.raises(UsageError, match=r"unknown precision 'fp61'.*did you mean 'fp16'") as found:
        graphs_for(bundle, "fp61")
    assert found.value.code == "E121"


def test_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_engines.tensorrt_api, "gpu_problem", lambda: "no driver")
    with pytest.raises(MachineError, match=r"no driver; .*edgedl build m\.edge --for rtx") as found:
        flavour_of("here", "m.edge")
    assert found.value.code == "E601"
    with pytest.raises(UsageError, match=r"unknown target 'her'; .*did you mean 'here'") as found:
        flavour_of("her")
    assert found.value.code == "E123"


def test_here_is_the_tensorrt_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_engines.tensorrt_api, "gpu_problem", lambda: None)
    monkeypatch.setattr(bundle_engines.tensorrt_api, "load", lambda package: package)
    assert flavour_of("here") == "tensorrt"
    assert flavour_of("rtx") == "tensorrt_rtx"


def test_shapes_go_to_the_graph_that_has_the_input(bundle: Bundle) -> None:
    image, token = {"image": ((1,),) * 3}, {"token": ((2,),) * 3}
    options = NetworkOptions(profiles=({**image, **token}, image))  # type: ignore[arg-type]
    found = options_for(graphs_for(bundle), options)
    assert found["encoder"].profiles == (image, image)
    assert found["step"].profiles == (token,)
    wrong = NetworkOptions(profiles=({"imag": ((1,),) * 3},))  # type: ignore[dict-item]
    with pytest.raises(UsageError, match=r"'imag'; the inputs are: .*did you mean 'image'"):
        options_for(graphs_for(bundle), wrong)


def test_a_graph_that_was_changed_is_not_built(bundle: Bundle) -> None:
    source = source_of(bundle, graphs_for(bundle)[0])
    file = bundle.path / source.name
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    with pytest.raises(Exception, match="is not what the manifest says"):
        source.read()


def test_memory_grows_with_the_graph() -> None:
    assert needed_mib(0, is_rtx=True) == 250
    assert needed_mib(47 << 20, is_rtx=True) == 438  # 397 were measured
    assert needed_mib(0, is_rtx=False) > 1000


def test_the_time_left_is_of_all_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(bundle_engines.time, "monotonic", lambda: now[0])
    clock = bundle_engines._Clock({"small": 100, "large": 300})
    seen: list[Step] = []
    now[0] = 110.0
    clock.for_role("small", seen.append)(0.0)
    clock.for_role("small", seen.append)(1.0)
    now[0] = 120.0
    clock.for_role("large", seen.append)(1 / 3)
    assert [step.left_s for step in seen] == [None, 30.0, 20.0]
    assert [step.elapsed_s for step in seen] == [10.0, 10.0, 20.0]
    assert [step.role for step in seen] == ["small", "small", "large"]
