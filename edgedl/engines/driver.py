"""What NVIDIA's driver says about this machine, asked without any CUDA package.

Everything here is None where there is no driver or no GPU: most machines that edgedl runs on have
neither. Questions about a GPU go to the first one that CUDA shows.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_INTEGRATED, _MAJOR, _MINOR = 18, 75, 76  # CU_DEVICE_ATTRIBUTE_… of cuda.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What an engine that was built for one GPU depends on.

    Attributes:
        gpu: As the driver names it: ``NVIDIA GeForce RTX 4090``, ``Orin``.
        compute_capability: ``8.7``.
        cuda: Newest CUDA the driver runs: ``12.6``.
        driver: Version of the driver: ``540.3.0``.
        l4t: Of a Jetson, its Linux for Tegra: ``36.4.3``.
    """

    gpu: str | None = None
    compute_capability: str | None = None
    cuda: str | None = None
    driver: str | None = None
    l4t: str | None = None


def gpu_problem() -> str | None:
    """Return why no CUDA GPU can be used here, or None where one can.

    Asked before anything of TensorRT is created: without a driver some versions crash the process
    instead of failing.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver is installed (libcuda.so.1 was not found)"
    if (status := cuda.cuInit(0)) != 0:
        return f"the NVIDIA driver does not start (cuInit answered {status})"
    count = ctypes.c_int(0)
    if (status := cuda.cuDeviceGetCount(ctypes.byref(count))) != 0 or count.value == 0:
        return f"the NVIDIA driver sees no GPU (cuDeviceGetCount answered {status})"
    return None


def this_machine() -> Machine:
    """Return what this machine is; only ``l4t`` and ``driver`` can be known without a GPU."""
    here = {
        "driver": driver_version(_text("/proc/driver/nvidia/version")),
        "l4t": l4t_version(_text("/etc/nv_tegra_release")),
    }
    if gpu_problem():
        return Machine(**here)
    cuda = ctypes.CDLL("libcuda.so.1")
    name, version = ctypes.create_string_buffer(256), ctypes.c_int(0)
    named = cuda.cuDeviceGetName(name, len(name), _device(cuda)) == 0
    dated = cuda.cuDriverGetVersion(ctypes.byref(version)) == 0
    capability = [_attribute(cuda, which) for which in (_MAJOR, _MINOR)]
    return Machine(
        gpu=name.value.decode(errors="replace") if named else None,
        compute_capability=None if None in capability else ".".join(map(str, capability)),
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}" if dated else None,
        **here,
    )


def driver_version(text: str) -> str | None:
    """Return the version that ``/proc/driver/nvidia/version`` tells: ``535.104.05``."""
    found = re.search(r"^NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    return found[1] if found else None


def l4t_version(text: str) -> str | None:
    """Return the version that ``/etc/nv_tegra_release`` tells: ``36.4.3``."""
    found = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text)
    return f"{found[1]}.{found[2]}" if found else None


def available_mib() -> int | None:
    """Return the main memory that can be had without swapping, in MiB."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) >> 10 if found else None


def free_gpu_mib() -> int | None:
    """Return the memory a GPU can give, in MiB; None without a GPU.

    An integrated GPU, a Jetson's, has no memory of its own: it is the machine's that counts.
    """
    if gpu_problem():
        return None
    cuda = ctypes.CDLL("libcuda.so.1")
    if _attribute(cuda, _INTEGRATED):
        return available_mib()
    free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
    with _primary_context(cuda) as made:
        known = made and cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
    return free.value >> 20 if known else None


@contextmanager
def _primary_context(cuda: Any) -> Iterator[bool]:
    """Hold the context that TensorRT will use too, without which memory cannot be asked for."""
    context, device = ctypes.c_void_p(), _device(cuda)
    if cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) != 0:
        yield False
        return
    try:
        pushed = cuda.cuCtxPushCurrent_v2(context) == 0
        try:
            yield pushed
        finally:
            if pushed:
                cuda.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    finally:
        cuda.cuDevicePrimaryCtxRelease_v2(device)


def _device(cuda: Any) -> ctypes.c_int:
    device = ctypes.c_int(0)
    cuda.cuDeviceGet(ctypes.byref(device), 0)
    return device


def _attribute(cuda: Any, which: int) -> int | None:
    value = ctypes.c_int(0)
    status = cuda.cuDeviceGetAttribute(ctypes.byref(value), which, _device(cuda))
    return value.value if status == 0 else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
