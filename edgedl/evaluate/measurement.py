"""What a model was found to be worth, and which of its numbers decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgedl.spec import Task


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that decides.

    Attributes:
        name: Its key among the metrics.
        better: Whether more or less of it is better.
        unit: How a loss is counted: in percentage ``points`` of a part; ``relative``, in percent
            of the value; or ``std``, in percent of the standard deviation the value counts in.
    """

    name: str
    better: Literal["higher", "lower"]
    unit: Literal["points", "relative", "std"]

    def drop(self, value: float, of: float) -> float:
        """Return what ``value`` has lost against ``of``: points or percent; negative if won."""
        lost = of - value if self.better == "higher" else value - of
        if self.unit != "relative":
            return 100.0 * lost
        return 100.0 * lost / abs(of) if of else (0.0 if lost == 0 else float("inf"))

    def show(self, value: float) -> str:
        """Return the value for people, e.g. ``98.40 %`` or ``1.532``."""
        return f"{100 * value:.2f} %" if self.unit == "points" else f"{value:.4g}"

    def show_drop(self, drop: float) -> str:
        """Return a loss for people, e.g. ``0.35 points``."""
        unit = {"points": "points", "relative": "%", "std": "% of the std"}[self.unit]
        return f"{drop:.2f} {unit}"


def main_metric(task: Task) -> Metric:
    """Return the metric that decides for a task."""
    table: Mapping[Task, Metric] = {
        "captioning": Metric("exact", "higher", "points"),
        "classification": Metric("accuracy", "higher", "points"),
        "clip-classification": Metric("accuracy", "higher", "points"),
        "text-classification": Metric("accuracy", "higher", "points"),
        "text-generation": Metric("nats_per_char", "lower", "relative"),
        "regression": Metric("relative_mae", "lower", "relative"),
        "tensor": Metric("max_deviation", "lower", "std"),
    }
    return table[task]


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a model gave on some samples.

    Attributes:
        task: What it does.
        split: Which part of the data.
        n: Number of samples; of characters for generated text.
        metrics: Name to value, the main one first, with ``NAME_low`` and ``NAME_high``, the ends
            of its 95 % interval where it has one, and ``n``.
        outputs: What came out for each sample: a text, the number of a label, or values.
        scores: Probabilities (n, K) of classifiers.
    """

    task: Task
    split: str
    n: int
    metrics: Mapping[str, float]
    outputs: Any
    scores: npt.NDArray[Any] | None = None

    @property
    def main(self) -> float:
        """The value of the main metric."""
        return self.metrics[main_metric(self.task).name]

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {
            "task": self.task,
            "split": self.split,
            "n": self.n,
            "metrics": dict(self.metrics),
        }


def with_interval(name: str, value: float, ends: tuple[float, float], n: int) -> dict[str, float]:
    """Return the metrics of a main value: itself, its interval, and ``n``."""
    return {name: value, f"{name}_low": ends[0], f"{name}_high": ends[1], "n": n}
