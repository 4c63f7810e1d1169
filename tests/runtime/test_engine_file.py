"""Which engine is run: one from this machine's cache, one from the bundle if the user trusts it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runtime.fake_cuda import Fake, FakeMemory

import edgedl
from edgedl.bundle import Bundle
from edgedl.bundle.manifest import Engine
from edgedl.cli import main
from edgedl.engines import cache
from edgedl.engines.driver import Machine
from edgedl.engines.key import key_of
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import BundleError, IntegrityError, MissingDependencyError
from edgedl.runtime.engine_file import cached_engines, engine_of
from edgedl.runtime.session import open_session
from edgedl.runtime.verify import verify

Relist = Callable[..., None]
HERE = Machine(gpu="NVIDIA GeForce RTX 4090", compute_capability="8.9")
TARGET = "engines/rtx-1.7"
SHAPES = {
    "image": (3, 8, 8),
    "token": (),
    "h_in": (5,),
    "c_in": (5,),
    "features": (4, 3),
}


@pytest.fixture
def rtx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TensorRT:
    """TensorRT-RTX on a machine with a GPU; its engines are ONNX files."""
    memory = FakeMemory()
    fake = Fake(memory)
    fake.profiles = ({k: [(1, *v), (1, *v), (8, *v)] for k, v in SHAPES.items()},)
    flavour = TensorRT(fake.module, "tensorrt_rtx", "1.7.1.116")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("edgedl.runtime.device_memory.gpu_problem", lambda: None)
    monkeypatch.setattr("edgedl.runtime.trt_session.open_device_memory", lambda: memory)
    monkeypatch.setattr("edgedl.runtime.trt_session.load", lambda _package: flavour)
    monkeypatch.setattr("edgedl.engines.tensorrt_api.load", lambda _package: flavour)
    monkeypatch.setattr("edgedl.runtime.engine_file.this_machine", lambda: HERE)
    monkeypatch.setattr("edgedl.engines.cache.driver.gpu_problem", lambda: None)
    monkeypatch.setattr("edgedl.engines.cache.driver.this_machine", lambda: HERE)
    monkeypatch.setattr("edgedl.engines.trt_log._loggers", {})
    monkeypatch.setattr(memory, "close", lambda: None)  # both sessions of a bundle share it
    return flavour


def sidecar_of(bundle: Bundle, role: str, plan: bytes, trt: TensorRT, **changes: Any) -> Any:
    digest = bundle.manifest.files[f"graphs/{role}.fp32.onnx"].sha256
    key = key_of(trt, digest, "fp32", HERE, NetworkOptions())
    sidecar = {
        "package": trt.package,
        "tensorrt": trt.version,
        "precision": "fp32",
        "graph_sha256": digest,
        "engine_sha256": hashlib.sha256(plan).hexdigest(),
        "engine_size_bytes": len(plan),
        "compute_capabilities": ["8.0", "8.6", "8.9", "12.0+"],
        "key": asdict(key),
    }
    return key, {**sidecar, **changes}


def build(path: Path, trt: TensorRT, **changes: Any) -> dict[str, Path]:
    """Put engines of the fp32 graphs into the cache."""
    bundle, found = Bundle.open(path), {}
    for role in ("encoder", "step"):
        plan = bundle.read(f"graphs/{role}.fp32.onnx")
        found[role] = cache.store(*sidecar_of(bundle, role, plan, trt, **changes), plan)
    return found


def enclose(path: Path, trt: TensorRT, relist: Relist, **changes: Any) -> None:
    """Put them into the bundle instead."""
    bundle, engines = Bundle.open(path), []
    (path / TARGET).mkdir(parents=True)
    for role in ("encoder", "step"):
        plan = bundle.read(f"graphs/{role}.fp32.onnx")
        _, sidecar = sidecar_of(bundle, role, plan, trt, **changes)
        file = f"{TARGET}/{role}.engine"
        (path / file).write_bytes(plan)
        (path / TARGET / f"{role}.json").write_text(json.dumps(sidecar))
        engines.append(Engine(target="rtx-1.7", role=role, file=file, precision="fp32"))
    relist(path, engines=tuple(engines))


def caption(path: Path, backend: str, **options: Any) -> Any:
    picture = np.random.default_rng(3).integers(0, 256, (20, 20, 3), np.uint8)
    with edgedl.load(path, backend, "fp32", **options) as pipeline:
        return pipeline(picture)


def test_a_bundle_runs_on_engines_that_were_built_here(tiny_bundle: Path, rtx: TensorRT) -> None:
    paths = build(tiny_bundle, rtx)
    found = caption(tiny_bundle, "tensorrt_rtx")
    expected = caption(tiny_bundle, "onnxruntime")
    assert (found.text, found.backend, found.precision) == (expected.text, "tensorrt_rtx", "fp32")
    assert found.log_prob == pytest.approx(expected.log_prob)
    session = open_session(paths["step"], "tensorrt_rtx")
    assert [spec.name for spec in session.inputs] == ["token", "h_in", "c_in", "features"]
    session.close()


def test_more_pictures_than_the_engines_take_at_once(tiny_bundle: Path, rtx: TensorRT) -> None:
    build(tiny_bundle, rtx)
    found = {}
    for backend in ("tensorrt_rtx", "onnxruntime"):
        with edgedl.load(tiny_bundle, backend, "fp32") as pipeline:
            shape = pipeline.sessions["encoder"].inputs[0].shape[1:]
            pictures = np.random.default_rng(4).normal(size=(19, *shape)).astype(np.float32)
            found[backend] = [one.text for one in pipeline.model.captions(pictures)]
    assert found["tensorrt_rtx"] == found["onnxruntime"]
    assert len(found["onnxruntime"]) == 19


def test_verify_and_inspect_know_them(
    tiny_bundle: Path, rtx: TensorRT, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = build(tiny_bundle, rtx)
    report = verify(tiny_bundle)
    rows = {(row.backend, row.precision): row for row in report.rows}
    assert rows["tensorrt_rtx", "fp32"].status == "PASS"
    assert rows["tensorrt_rtx", "fp32"].samples == 3
    assert ("tensorrt_rtx", "int8-cpu") not in rows
    assert {path for path, _ in cached_engines(Bundle.open(tiny_bundle))} == set(paths.values())
    assert main(["inspect", str(tiny_bundle)]) == 0
    shown = capsys.readouterr().out.replace("\n", "")
    assert str(paths["step"]) in shown
    assert "fp32 with tensorrt_rtx 1.7.1.116" in shown


def test_an_engine_that_computes_something_else_fails(tiny_bundle: Path, rtx: TensorRT) -> None:
    bundle = Bundle.open(tiny_bundle)
    for role, precision in (("encoder", "fp32"), ("step", "int8-cpu")):
        plan = bundle.read(f"graphs/{role}.{precision}.onnx")
        cache.store(*sidecar_of(bundle, role, plan, rtx), plan)
    rows = {(row.backend, row.precision): row for row in verify(tiny_bundle).rows}
    assert rows["tensorrt_rtx", "fp32"].status == "FAIL"


def test_automatic_precision_is_what_build_builds(tiny_bundle: Path, rtx: TensorRT) -> None:
    build(tiny_bundle, rtx)
    with edgedl.load(tiny_bundle, "tensorrt_rtx") as pipeline:
        assert pipeline.precision == "fp32"
    with pytest.raises(BundleError, match="the bundle has no int8-trt") as caught:
        edgedl.load(tiny_bundle, "tensorrt_rtx", "int8")
    assert caught.value.code == "E419"


def test_none_was_built(tiny_bundle: Path, rtx: TensorRT) -> None:
    assert rtx
    with pytest.raises(BundleError, match=r"was built on this machine; .*edgedl build") as caught:
        edgedl.load(tiny_bundle, "tensorrt_rtx", "fp32")
    assert caught.value.code == "E427"
    assert "--allow-prebuilt-engine" not in str(caught.value)


def test_one_for_another_version(tiny_bundle: Path, rtx: TensorRT) -> None:
    build(tiny_bundle, TensorRT(rtx.module, "tensorrt_rtx", "1.6.0.1"))
    with pytest.raises(BundleError, match=r"version 1\.6\.0\.1, wanted 1\.7\.1\.116") as caught:
        edgedl.load(tiny_bundle, "tensorrt_rtx", "fp32")
    assert caught.value.code == "E426"


def test_one_that_came_with_the_bundle_is_asked_for(
    tiny_bundle: Path, rtx: TensorRT, relist: Relist
) -> None:
    enclose(tiny_bundle, rtx, relist)
    with pytest.raises(BundleError, match="trust the one that came with it: --allow-prebuilt"):
        caption(tiny_bundle, "tensorrt_rtx")
    found = caption(tiny_bundle, "tensorrt_rtx", allow_prebuilt_engine=True)
    assert found.text == caption(tiny_bundle, "onnxruntime").text
    words = ["eval", str(tiny_bundle), "--backend", "tensorrt_rtx", "--precision", "fp32"]
    words += ["--split", "val", "--limit", "20"]
    assert main(words) == 4
    assert main([*words, "--allow-prebuilt-engine"]) == 0
    rows = {(row.backend, row.precision): row.status for row in verify(tiny_bundle).rows}
    assert rows["tensorrt_rtx", "fp32"] == "NOT RUN"
    report = verify(tiny_bundle, allow_prebuilt_engine=True)
    rows = {(row.backend, row.precision): row.status for row in report.rows}
    assert rows["tensorrt_rtx", "fp32"] == "PASS"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"graph_sha256": "0" * 64}, "was built from another graph"),
        ({"tensorrt": "1.6.0.1"}, r"with TensorRT-RTX 1\.6\.0\.1, this machine has TensorRT-RTX 1"),
        ({"compute_capabilities": ["8.6"]}, r"for compute capability 8\.6, NVIDIA GeForce RTX"),
        ({"compute_capabilities": None}, "for compute capability unknown ones"),
    ],
)
def test_one_that_came_with_the_bundle_and_does_not_fit(
    changes: Any, what: str, tiny_bundle: Path, rtx: TensorRT, relist: Relist
) -> None:
    enclose(tiny_bundle, rtx, relist, **changes)
    with pytest.raises(BundleError, match=what) as caught:
        caption(tiny_bundle, "tensorrt_rtx", allow_prebuilt_engine=True)
    assert caught.value.code == "E426"
    assert f"build it here: edgedl build {tiny_bundle}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"package": 3}', "\x00"])
def test_a_sidecar_that_is_none(
    text: str, tiny_bundle: Path, rtx: TensorRT, relist: Relist
) -> None:
    enclose(tiny_bundle, rtx, relist)
    (tiny_bundle / TARGET / "encoder.json").write_text(text)
    relist(tiny_bundle)
    with pytest.raises(BundleError) as caught:
        engine_of(Bundle.open(tiny_bundle), "encoder", "fp32", "tensorrt_rtx", True)
    assert caught.value.code == "E426"


def test_one_of_the_cache_that_was_changed(tiny_bundle: Path, rtx: TensorRT) -> None:
    path = build(tiny_bundle, rtx)["encoder"]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError) as caught:
        edgedl.load(tiny_bundle, "tensorrt_rtx", "fp32")
    assert (caught.value.code, caught.value.exit_code) == ("E428", 6)
    with pytest.raises(IntegrityError):
        open_session(path, "tensorrt_rtx")


def test_tensorrt_is_not_installed(
    tiny_bundle: Path, rtx: TensorRT, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_package: str) -> None:
        raise MissingDependencyError("E600", "running needs tensorrt_rtx")

    build(tiny_bundle, rtx)
    monkeypatch.setattr("edgedl.engines.tensorrt_api.load", missing)
    rows = {(row.backend, row.precision): row for row in verify(tiny_bundle).rows}
    assert rows["tensorrt_rtx", "fp32"].status == "NOT RUN"
    assert "needs tensorrt_rtx" in rows["tensorrt_rtx", "fp32"].reason


@pytest.mark.parametrize("command", ["run", "bench", "eval", "serve", "verify"])
def test_every_command_says_that_there_is_no_gpu(
    command: str,
    tiny_bundle: Path,
    rtx: TensorRT,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    build(tiny_bundle, rtx)
    monkeypatch.setattr("edgedl.runtime.device_memory.gpu_problem", lambda: "no NVIDIA driver")
    words = {
        "run": ["run", str(tiny_bundle), "test://scenes?count=1"],
        "bench": ["bench", str(tiny_bundle), "--quick"],
        "eval": ["eval", str(tiny_bundle)],
        "serve": ["serve", str(tiny_bundle), "--source", "test://scenes", "--port", "0"],
        "verify": ["verify", str(tiny_bundle), "--json", "-"],
    }[command]
    if command == "verify":
        assert main(words) == 0
        rows = json.loads(capsys.readouterr().out)["rows"]
        assert "needs an NVIDIA GPU: no NVIDIA driver" in rows[-1]["reason"]
        return
    assert main([*words, "--backend", "tensorrt_rtx"]) == 5
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error[E601] running ")
    assert "needs an NVIDIA GPU: no NVIDIA driver; without one use: --backend onnxr" in lines[0]


def test_a_user_without_a_home(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", none)
    for command in ("verify", "inspect"):
        assert main([command, str(tiny_bundle)]) == 0
    capsys.readouterr()
    with pytest.raises(BundleError, match=r"user \d+ has no home; set XDG_CACHE_HOME") as caught:
        cache.prepare()
    assert caught.value.code == "E431"
