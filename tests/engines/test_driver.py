"""What the driver is asked, with a driver whose answers are chosen."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest

from edgedl.engines import driver
from edgedl.engines.driver import Machine

PC = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023
GCC version:  gcc version 12.3.0
"""
JETSON = """NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  540.3.0  Release Build
"""
L4T = "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n"


class Cuda:
    """A driver library with chosen answers; ``failing`` names calls that fail."""

    def __init__(self, init: int = 0, count: int = 1, integrated: int = 0) -> None:
        attributes = {18: integrated, 75: 8, 76: 7}
        self.failing: tuple[str, ...] = ()
        self.calls: list[str] = []
        self.answers: dict[str, Callable[..., int]] = {
            "cuInit": lambda _flags: init,
            "cuDeviceGetCount": lambda out: put(out, count),
            "cuDeviceGetName": lambda name, _size, _device: name.__setattr__("value", b"Orin") or 0,
            "cuDriverGetVersion": lambda out: put(out, 12060),
            "cuDeviceGetAttribute": lambda out, which, _device: put(out, attributes[which]),
            "cuMemGetInfo_v2": lambda free, total: put(free, 3 << 30) or put(total, 8 << 30),
        }

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*args: Any) -> int:
            self.calls.append(name)
            answer = self.answers.get(name, lambda *_: 0)(*args)
            return 999 if name in self.failing else answer

        return call


def put(out: Any, value: int) -> int:
    out._obj.value = value
    return 0


def use(cuda: Cuda, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Cuda:
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: cuda)
    monkeypatch.setattr(driver, "_text", lambda path: files.get(path, ""))
    return cuda


@pytest.mark.parametrize(
    ("init", "count", "expected"),
    [(35, 0, "does not start (cuInit answered 35)"), (0, 0, "sees no GPU"), (0, 1, None)],
)
def test_gpu_problem(
    init: int, count: int, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Cuda(init, count), {}, monkeypatch)
    problem = driver.gpu_problem()
    assert problem is None if expected is None else expected in str(problem)


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(driver, "_text", lambda _path: "")
    assert "no NVIDIA driver" in str(driver.gpu_problem())
    assert driver.this_machine() == Machine()
    assert driver.free_gpu_mib() is None


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"/proc/driver/nvidia/version": JETSON, "/etc/nv_tegra_release": L4T}
    use(Cuda(), files, monkeypatch)
    assert driver.this_machine() == Machine(
        gpu="Orin", compute_capability="8.7", cuda="12.6", driver="540.3.0", l4t="36.4.3"
    )


@pytest.mark.parametrize(
    ("failing", "lost"),
    [
        ("cuDeviceGetName", "gpu"),
        ("cuDriverGetVersion", "cuda"),
        ("cuDeviceGetAttribute", "compute_capability"),
    ],
)
def test_what_the_driver_does_not_say_is_none(
    failing: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Cuda(), {}, monkeypatch).failing = (failing,)
    found = driver.this_machine()
    known = {name for name in ("gpu", "cuda", "compute_capability") if getattr(found, name)}
    assert known == {"gpu", "cuda", "compute_capability"} - {lost}


@pytest.mark.parametrize(("text", "version"), [(PC, "535.104.05"), (JETSON, "540.3.0"), ("", None)])
def test_driver_version(text: str, version: str | None) -> None:
    assert driver.driver_version(text) == version


def test_l4t_version() -> None:
    assert driver.l4t_version(L4T) == "36.4.3"
    assert driver.l4t_version("something else") is None


def test_a_card_gives_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = use(Cuda(), {}, monkeypatch)
    assert driver.free_gpu_mib() == 3072
    asked = [call for call in cuda.calls if "Ctx" in call or "Mem" in call]
    assert asked == [
        "cuDevicePrimaryCtxRetain",
        "cuCtxPushCurrent_v2",
        "cuMemGetInfo_v2",
        "cuCtxPopCurrent_v2",
        "cuDevicePrimaryCtxRelease_v2",
    ]


@pytest.mark.parametrize(
    ("failing", "given_back"),
    [
        ("cuDevicePrimaryCtxRetain", []),
        ("cuCtxPushCurrent_v2", ["cuDevicePrimaryCtxRelease_v2"]),
        ("cuMemGetInfo_v2", ["cuCtxPopCurrent_v2", "cuDevicePrimaryCtxRelease_v2"]),
    ],
)
def test_what_was_taken_is_given_back(
    failing: str, given_back: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cuda = use(Cuda(), {}, monkeypatch)
    cuda.failing = (failing,)
    assert driver.free_gpu_mib() is None
    assert [call for call in cuda.calls if "Pop" in call or "Release" in call] == given_back


def test_a_jetson_shares_the_memory_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    meminfo = "MemTotal:  8000000 kB\nMemAvailable:    2097152 kB\n"
    cuda = use(Cuda(integrated=1), {"/proc/meminfo": meminfo}, monkeypatch)
    assert driver.free_gpu_mib() == driver.available_mib() == 2048
    assert "cuMemGetInfo_v2" not in cuda.calls
