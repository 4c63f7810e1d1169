"""How good a trained network is: the evaluation that bundles have, through torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgedl.evaluate import open_evaluation, warn_if_changed
from edgedl.runtime.model import open_model
from edgedl.train.torch_session import torch_sessions

if TYPE_CHECKING:
    from edgedl.evaluate import Evaluation, Measurement
    from edgedl.runtime.model import Model
    from edgedl.train.task import Task


@dataclass(frozen=True, slots=True)
class Measured:
    """A split and what the network makes of it.

    Attributes:
        evaluation: The samples.
        measurement: Their outputs and what those are worth.
        model: The network behind the interface of its kind.
    """

    evaluation: Evaluation
    measurement: Measurement
    model: Model

    @property
    def metrics(self) -> dict[str, Any]:
        """The measurement's numbers, the main one first."""
        return dict(self.measurement.metrics)


def measure(task: Task, data: Mapping[str, Any], split: str) -> Measured | None:
    """Measure the kept network on a split; None where the data has no such split."""
    evaluation = open_evaluation(task.spec, data, split)
    if not len(evaluation):
        return None
    warn_if_changed(evaluation, task.facts)
    model = open_model(task.spec, torch_sessions(task.spec, task.kept))
    return Measured(evaluation, evaluation.measure(model), model)
