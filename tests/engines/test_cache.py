"""The cache: what it takes for an engine to be loaded."""

import dataclasses
import hashlib
import json
import os
import shutil
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgedl.engines import cache, driver, tensorrt_api
from edgedl.engines.cache import check_engine, find_engine, sealed, store
from edgedl.engines.driver import Machine
from edgedl.engines.key import EngineKey, key_of
from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT
from edgedl.errors import BundleError, EdgedlError, IntegrityError, MachineError

ORIN = Machine(gpu="Orin", compute_capability="8.7", cuda="12.6", driver="540.3.0", l4t="36.4.3")
TRT = TensorRT(types.SimpleNamespace(), "tensorrt", "10.3.0")
KEY = key_of(TRT, "ab" * 32, "fp16", ORIN, NetworkOptions())
PLAN = b"a plain engine"


def sidecar(key: EngineKey = KEY, plan: bytes = PLAN, **changes: Any) -> dict[str, Any]:
    return {
        "package": key.package,
        "tensorrt": key.tensorrt,
        "compute_capabilities": [key.compute_capability],
        "engine_sha256": hashlib.sha256(plan).hexdigest(),
        "engine_size_bytes": len(plan),
        "key": dataclasses.asdict(key),
        **changes,
    }


def put(key: EngineKey = KEY, plan: bytes = PLAN, **changes: Any) -> Path:
    return store(key, sidecar(key, plan, **changes), plan)


def check(path: Path, **options: Any) -> cache.Entry:
    return check_engine(path, bundle="m.edge", **{"trt": TRT, "machine": ORIN, **options})


def refused(path: Path, kind: type[EdgedlError], code: str, text: str, **options: Any) -> None:
    with pytest.raises(kind, match=text) as caught:
        check(path, **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def rewrite(path: Path, **changes: Any) -> None:
    """Change a sidecar and leave its HMAC as it was."""
    file = path.with_suffix(".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_what_is_stored_is_found_and_passes() -> None:
    path = put()
    assert find_engine(KEY) == path
    entry = check(path)
    assert (entry.path, entry.plan) == (path, PLAN)
    assert entry.sidecar["tensorrt"] == "10.3.0"
    assert path.read_bytes() == PLAN  # nothing is glued on


def test_nobody_else_can_read_the_key(cache_of_its_own: Path) -> None:
    put()
    secret = cache_of_its_own / "key"
    assert (secret.stat().st_mode & 0o777, secret.stat().st_size) == (0o600, 32)
    assert cache_of_its_own.stat().st_mode & 0o777 == 0o700


def test_no_engine_of_this_graph() -> None:
    put(dataclasses.replace(KEY, graph_sha256="cd" * 32))
    with pytest.raises(BundleError, match=r"no fp16 engine of m\.edge was built.*: edgedl build m"):
        find_engine(KEY, "m.edge")


def test_the_field_that_differs_is_named() -> None:
    put(dataclasses.replace(KEY, tensorrt="10.1.0", driver="1.2", l4t=None))
    put(dataclasses.replace(KEY, driver="535.1"))
    with pytest.raises(BundleError) as caught:
        find_engine(KEY, "m.edge")
    assert caught.value.code == "E426"
    assert str(caught.value) == (
        "the fp16 engine of m.edge is another one: driver 535.1, wanted 540.3.0; "
        "build it for this machine: edgedl build m.edge"
    )


def test_the_newest_is_taken() -> None:
    old, new = put(plan=b"old"), put(plan=b"new")
    os.utime(old.with_suffix(".json"), (1e9, 1e9))
    assert find_engine(KEY) == new
    os.utime(new.with_suffix(".json"), (1e8, 1e8))
    assert find_engine(KEY) == old


def test_what_is_no_sidecar_is_passed_over(cache_of_its_own: Path) -> None:
    path = put()
    for name, text in (("a-1.json", "{"), ("b-1.json", "[]"), ("c-1.json", '{"key": 1}')):
        (cache_of_its_own / name).write_text(text)
    assert find_engine(KEY) == path


@pytest.mark.parametrize("cut", [0, 1, len(PLAN) - 1])
def test_a_truncated_engine(cut: int) -> None:
    path = put()
    path.write_bytes(PLAN[:cut])
    text = f"it has {cut} bytes instead of {len(PLAN)}; remove both and build it .*edgedl build m"
    refused(path, IntegrityError, "E428", text)


def test_any_flipped_byte_of_the_engine() -> None:
    path = put()
    for at in range(len(PLAN)):
        path.write_bytes(PLAN[:at] + bytes([PLAN[at] ^ 1]) + PLAN[at + 1 :])
        refused(path, IntegrityError, "E428", "its sha256 differs")


@pytest.mark.parametrize(
    "changes",
    [
        {"tensorrt": "10.4.0"},
        {"compute_capabilities": ["8.7", "8.9"]},
        {"unknown": 1},
        {"hmac": "0" * 64},
        {"hmac": "ä"},
        {"engine_sha256": hashlib.sha256(b"evil").hexdigest(), "engine_size_bytes": 4},
    ],
)
def test_any_change_of_the_sidecar(changes: dict[str, Any]) -> None:
    path = put()
    rewrite(path, **changes)
    if "engine_sha256" in changes:
        path.write_bytes(b"evil")
    refused(path, IntegrityError, "E428", "its sidecar was changed, or made on another machine")


def test_an_engine_that_was_not_built_here(tmp_path: Path) -> None:
    """A key beside the engine proves nothing: whoever brings an engine can bring that, too."""
    put()
    path = tmp_path / "model.engine"
    path.write_bytes(PLAN)
    path.with_suffix(".json").write_text(json.dumps(sidecar()))
    (tmp_path / "key").write_bytes(b"k" * 32)
    text = "was not built on this machine, and an engine is code; build it for this machine: edgedl"
    refused(path, IntegrityError, "E428", text)
    assert check(path, trusted=True).plan == PLAN
    path.write_bytes(b"other")
    refused(path, IntegrityError, "E428", "5 bytes instead of", trusted=True)


def test_an_engine_of_a_cache_that_is_gone(cache_of_its_own: Path, tmp_path: Path) -> None:
    path = put().rename(tmp_path / "m.engine")
    (cache_of_its_own / f"{find_engine(KEY).stem}.json").rename(tmp_path / "m.json")
    shutil.rmtree(cache_of_its_own)
    refused(path, IntegrityError, "E428", "was not built on this machine")
    assert not cache_of_its_own.exists()


def test_a_cache_that_came_from_another_machine(cache_of_its_own: Path) -> None:
    path = put()
    (cache_of_its_own / "key").write_bytes(b"k" * 32)
    refused(path, IntegrityError, "E428", "made on another machine")


def test_missing_files() -> None:
    path = put()
    path.unlink()
    refused(path, BundleError, "E427", r"\.engine cannot be read: No such file.*edgedl build m")
    path.with_suffix(".json").unlink()
    refused(path, BundleError, "E427", r"\.json of the engine .*\.engine cannot be read: No such")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"engine_sha256": 1}', "[" * 100_000])
def test_what_is_no_sidecar(text: str) -> None:
    path = put()
    path.with_suffix(".json").write_text(text)
    refused(path, IntegrityError, "E428", "is no sidecar of an engine; build it")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tensorrt": "10.1.0"}, r"with TensorRT 10\.1\.0, this machine has TensorRT 10\.3\.0; b"),
        ({"package": "tensorrt_rtx"}, r"with TensorRT-RTX 10\.3\.0, this machine has TensorRT 10"),
        ({"package": "tpu"}, "is for 'tpu', which edgedl does not know"),
        ({"compute_capabilities": ["8.6"]}, r"for compute capability 8\.6, Orin has 8\.7; build"),
        ({"compute_capabilities": []}, "for compute capability"),
        ({"compute_capabilities": "8.7"}, "for compute capability unknown ones"),
        ({"compute_capabilities": ["12.0+", "x+"]}, r"12\.0\+, x\+, Orin has 8\.7"),
    ],
)
def test_another_version_or_gpu(changes: dict[str, Any], text: str) -> None:
    refused(put(**changes), BundleError, "E426", text)


def test_another_gpu_of_the_same_kind() -> None:
    nano = dataclasses.replace(ORIN, gpu="Orin Nano")
    refused(
        put(), BundleError, "E426", "for the GPU Orin, this machine has Orin Nano", machine=nano
    )


@pytest.mark.parametrize(
    ("capability", "fits"), [("8.7", True), ("12.0", True), ("12.1", True), ("9.0", False)]
)
def test_rtx_engines_run_on_every_gpu_they_list(capability: str, fits: bool) -> None:
    rtx = TensorRT(types.SimpleNamespace(), "tensorrt_rtx", "1.7")
    key = key_of(rtx, "ab" * 32, "fp16", ORIN, NetworkOptions())
    said = sidecar(key, compute_capabilities=["8.7", "12.0+"])
    machine = Machine(gpu="card", compute_capability=capability)
    assert (cache.mismatch(said, rtx, machine) is None) == fits


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "gpu_problem", lambda: "no NVIDIA driver is installed")
    path = put()
    text = "needs an NVIDIA GPU: no NVIDIA driver is installed; run m.edge on the CPU instead"
    refused(path, MachineError, "E601", text, machine=None)


def test_tensorrt_is_asked_for_only_after_the_files_are_proved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(_package: str) -> None:
        raise AssertionError

    monkeypatch.setattr(tensorrt_api, "load", load)
    path = put()
    path.write_bytes(b"")
    refused(path, IntegrityError, "E428", "has 0 bytes", trt=None)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda key: key.chmod(0o644), "can be read by others"),
        (lambda key: key.write_bytes(b"short"), "has not 32 bytes"),
        (lambda key: (key.unlink(), key.mkdir()), "cannot be read"),
    ],
)
def test_a_key_that_cannot_be_used(
    damage: Callable[[Path], Any], text: str, cache_of_its_own: Path
) -> None:
    path = put()
    damage(cache_of_its_own / "key")
    text += r".*; remove .*engines and build the engines again"
    refused(path, MachineError, "E603", text)
    with pytest.raises(MachineError, match=text):
        put()


def test_a_cache_that_cannot_be_made(cache_of_its_own: Path) -> None:
    cache_of_its_own.parent.write_text("a file")
    with pytest.raises(BundleError, match="set XDG_CACHE_HOME to another place") as caught:
        cache.prepare()
    assert caught.value.code == "E431"


def test_one_key_wins_when_several_begin_at_once(cache_of_its_own: Path) -> None:
    def seal() -> None:
        found.append(sealed({"a": 1})["hmac"])

    found: list[str] = []
    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in cache_of_its_own.iterdir()] == ["key"]


def test_a_key_that_is_there_stays(cache_of_its_own: Path) -> None:
    before = sealed({"a": 1})
    cache._make_secret(cache_of_its_own / "key")
    assert sealed({"a": 1}) == before


def test_replaced_engines_and_leftovers_go_after_an_hour(cache_of_its_own: Path) -> None:
    other = put(dataclasses.replace(KEY, graph_sha256="cd" * 32))
    first, second = put(plan=b"first"), put(plan=b"second")
    leftover = cache_of_its_own / ".x.engine.partial-0011"
    leftover.write_bytes(b"half")
    assert find_engine(KEY) == second
    for path in cache_of_its_own.iterdir():
        if path.name != "key":
            os.utime(path, (time.time() - 3700,) * 2)
    third = put(plan=b"third")
    assert not any(path.exists() for path in (first, second, leftover))
    assert not first.with_suffix(".json").exists()
    assert check(third).plan == b"third"
    assert other.exists()


def test_timing_is_kept_for_the_same_gpu_and_version() -> None:
    assert cache.read_timing(TRT, ORIN) == b""
    cache.write_timing(TRT, ORIN, b"measured")
    assert cache.read_timing(TRT, ORIN) == b"measured"
    assert cache.read_timing(TRT, dataclasses.replace(ORIN, gpu="Thor")) == b""
    newer = dataclasses.replace(TRT, version="10.4.0")
    assert cache.read_timing(newer, ORIN) == b""


def test_timing_that_was_changed_is_not_used(cache_of_its_own: Path) -> None:
    cache.write_timing(TRT, ORIN, b"measured")
    (file,) = cache_of_its_own.glob("*.timing")
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert cache.read_timing(TRT, ORIN) == b""
    file.write_bytes(b"")
    assert cache.read_timing(TRT, ORIN) == b""
