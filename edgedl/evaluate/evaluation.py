"""What every evaluation offers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from edgedl.bundle import Given
    from edgedl.evaluate.measurement import Measurement
    from edgedl.runtime.model import Model


class Evaluation(Protocol):
    """Held-out samples, prepared once, and what is right about them."""

    @property
    def split(self) -> str:
        """Which part of the data they are."""
        ...

    @property
    def tensors(self) -> Any:
        """What the network gets: an array (n, …), of tensor models n tables of arrays."""
        ...

    @property
    def truths(self) -> Any:
        """What is right: label numbers (n,), values (n, O), scenes, or the next tokens."""
        ...

    def __len__(self) -> int: ...

    def inputs(self, index: int) -> Given:
        """Return a sample as a user would hand it in."""
        ...

    def measure(self, model: Model) -> Measurement:
        """Put all samples through a model of the task and rate what comes out."""
        ...

    def hits(self, measurement: Measurement) -> list[bool]:
        """Return for each sample whether the answer was right; empty where that means nothing."""
        ...
