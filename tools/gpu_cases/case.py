"""What one measurement of a CUDA kernel is: inputs, what is right, which bytes must move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
SECTOR_BYTES = 32
HD_HW = (1080, 1920)


class Device:
    """Where a case runs: arrays there and back, and the stream that work is queued on."""

    def __init__(self, torch: Any, name: str) -> None:
        self.torch = torch
        self.name = name
        self.stream = torch.cuda.current_stream() if name == "cuda" else 0

    def upload(self, array: Array) -> Any:
        return self.torch.tensor(array, device=self.name)

    def zeros(self, shape: Sequence[int], dtype: str) -> Any:
        return self.torch.zeros(tuple(shape), dtype=getattr(self.torch, dtype), device=self.name)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A case made ready, with its memory.

    Attributes:
        ours: Queues our kernels.
        results: What they write, on the device.
        expected: What must be in there, bit for bit: what the CPU's code makes.
        bytes: Sectors that must be read, and what must be written.
        torch: The same by torch's operators; returns the first of the results, or all. None: torch
            has nothing of the kind here.
        distance: How far its values may be from ours.
        restore: Makes the inputs again what they were, for what draws into them.
    """

    ours: Callable[[], object]
    results: Sequence[Any]
    expected: Sequence[Array]
    bytes: int
    torch: Callable[[], Sequence[Any]] | None = None
    distance: float = 0.0
    restore: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Case:
    """One row of the table: a name, and what makes it ready on a device."""

    name: str
    make: Callable[[Device], Trial]


def waves(height: int, width: int, channels: int, seed: int) -> Array:
    """Return a uint8 picture without sharp edges, in which ways to resize agree."""
    y, x, c = np.ogrid[:height, :width, :channels]
    value = 128 + 60 * np.sin(x / 97 + c + seed) + 60 * np.cos(y / 71 - c)
    return np.asarray(value + 0.5, np.uint8)


def sector_bytes(touched: Array) -> int:
    """Return the size of the 32-byte sectors of packed memory in which a byte is touched.

    Args:
        touched: bool, one for each byte; the first one lies at the beginning of a sector.
    """
    flat = touched.reshape(-1)
    padded = np.zeros(-(-flat.size // SECTOR_BYTES) * SECTOR_BYTES, bool)
    padded[: flat.size] = flat
    return SECTOR_BYTES * int(padded.reshape(-1, SECTOR_BYTES).any(axis=1).sum())
