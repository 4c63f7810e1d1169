"""Many samples through a network, a lot at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from edgedl.runtime.session import Array

LOT = 64


def in_lots(call: Callable[[Array], Array], samples: Array, lot: int = LOT) -> Array:
    """Return ``call`` of all samples (n, ...), which sees at most ``lot`` of them at once."""
    if len(samples) <= lot:
        return call(samples)
    return np.concatenate([call(samples[i : i + lot]) for i in range(0, len(samples), lot)])
