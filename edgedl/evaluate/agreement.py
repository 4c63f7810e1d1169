"""Rates graphs of which nobody knows what is right: by how near they are to the original."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from edgedl.errors import BundleError
from edgedl.evaluate.measurement import Measurement

if TYPE_CHECKING:
    from edgedl.bundle import Given
    from edgedl.runtime.model import Model
    from edgedl.runtime.session import Array
    from edgedl.runtime.tensor_model import TensorModel


@dataclass(frozen=True)
class Agreement:
    """Samples with the original's outputs, see ``edgedl.evaluate.evaluation.Evaluation``.

    Attributes:
        given: Returns sample ``i`` as a user hands it in; pictures are too large to be kept.
        tensors: Of each the inputs of the graph by name.
        original: Returns the original's outputs by name for the inputs of one sample; asked when
            something is measured.
    """

    split: str
    given: Callable[[int], Given]
    tensors: Sequence[dict[str, Array]]
    original: Callable[[dict[str, Array]], Mapping[str, Array]]

    def __len__(self) -> int:
        return len(self.tensors)

    @cached_property
    def truths(self) -> list[Mapping[str, Array]]:
        """Return the original's outputs of each sample."""
        return [self.original(feeds) for feeds in self.tensors]

    def inputs(self, index: int) -> Given:
        """Return a sample as a user hands it in."""
        return self.given(index)

    def measure(self, model: Model) -> Measurement:
        """Rate a tensor model.

        What decides is ``max_deviation``: of each output the largest difference from the
        original's, in standard deviations of all its values; of several outputs the worst.

        Raises:
            BundleError: E414 an output is NaN or infinite.
        """
        session = cast("TensorModel", model).session
        largest: dict[str, float] = {}
        total: dict[str, float] = {}
        for feeds, truth in zip(self.tensors, self.truths, strict=True):
            found = session.run(feeds)
            for name, right in truth.items():
                apart = _apart(name, found[name], right)
                largest[name] = max(largest.get(name, 0.0), float(apart.max(initial=0.0)))
                total[name] = total.get(name, 0.0) + float(apart.sum())
        scales = {name: scale_of([t[name] for t in self.truths]) for name in largest}
        counts = {name: sum(t[name].size for t in self.truths) for name in largest}
        worst = {name: value / scales[name] for name, value in largest.items()}
        means = [total[name] / max(1, counts[name]) / scales[name] for name in total]
        metrics = {"max_deviation": max(worst.values()), "n": len(self)}
        metrics["mean_deviation"] = max(means)
        if len(worst) > 1:
            metrics |= {f"max_deviation_{name}": value for name, value in worst.items()}
        return Measurement("tensor", self.split, len(self), metrics, None)

    def hits(self, measurement: Measurement) -> list[bool]:  # noqa: ARG002 - of the protocol
        """Return nothing: a number is not right or wrong."""
        return []


def scale_of(arrays: Sequence[Array]) -> float:
    """Return the standard deviation of all values of some arrays.

    Of values that are all the same it is their magnitude, or 1 where that is 0.
    """
    count = sum(array.size for array in arrays)
    if not count:
        return 1.0
    mean = sum(float(array.sum(dtype=np.float64)) for array in arrays) / count
    square = sum(float(np.square(array - mean, dtype=np.float64).sum()) for array in arrays)
    return (square / count) ** 0.5 or abs(mean) or 1.0


def _apart(name: str, found: Array, right: Array) -> Any:
    """Return the differences, in float64.

    Raises:
        BundleError: E414 there is none that is a number, E413 the shapes differ.
    """
    if found.shape != right.shape:
        msg = f"output {name!r} has the shape {found.shape}; the original gives {right.shape}"
        raise BundleError("E413", msg)
    apart = np.abs(found.astype(np.float64) - right.astype(np.float64))
    if not np.isfinite(apart).all():
        msg = f"output {name!r} is NaN or infinite where the original gives a number"
        raise BundleError("E414", msg)
    return apart
