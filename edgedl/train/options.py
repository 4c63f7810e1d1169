"""The section ``[train]`` of every recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedl.errors import ConfigError
from edgedl.options import check_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How long to train, and how the loop goes about it.

    Attributes:
        epochs: Length in passes over the data, e.g. 7.5; either this or ``steps``.
        steps: Length in optimiser steps.
        minutes: Wall-clock budget, of each fold; the schedule is then completed in fewer steps.
            0: none.
        batch: Samples per step.
        clip: Largest norm of the gradient. 0: any.
        ema: Decay of the running mean of the weights that is measured and kept. 0: none.
        label_smoothing: Part of the truth that is spread over all classes.
        class_weights: ``balanced`` weighs a class by the inverse of its count.
        precision: ``bf16`` trains with autocast; ``auto`` takes the faster on this machine.
        channels_last: Memory layout of pictures; ``auto`` takes the faster on this machine.
        validations: How often the score is measured.
        keep: The weights of the ``best`` validation, or the ``last``.
        early_stop: End after so many validations without a better score. 0: never.
        checkpoint_s: Seconds between checkpoints.
        folds: Train so many times, another part of the training data held back each time, nothing
            else for choosing; for classification of pictures, clips and texts. 0: once.
    """

    epochs: float = 0.0
    steps: int = 0
    minutes: float = 0.0
    batch: int = 128
    clip: float = 0.0
    ema: float = 0.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    channels_last: Literal["auto", "yes", "no"] = "auto"
    validations: int = 10
    keep: Literal["best", "last"] = "best"
    early_stop: int = 0
    checkpoint_s: float = 60.0
    folds: int = 0

    def __post_init__(self) -> None:
        if (self.epochs > 0) == (self.steps > 0):
            msg = (
                "either train.epochs or train.steps must be above 0; "
                f"got epochs {self.epochs:g} and steps {self.steps}"
            )
            raise ConfigError("E205", msg)
        check_ranges(
            "train",
            self,
            epochs=(0, 1e6),
            steps=(0, 10_000_000),
            minutes=(0, 100_000),
            batch=(1, 65536),
            clip=(0, 1e6),
            ema=(0, 0.999999),
            label_smoothing=(0, 0.99),
            validations=(1, 100_000),
            early_stop=(0, 100_000),
            checkpoint_s=(0, 1e6),
            folds=(0, 100),
        )
        if self.folds == 1:
            msg = "train.folds must be 0 or at least 2; got 1"
            raise ConfigError("E205", msg)

    def refuse(self, task: str, *names: str) -> None:
        """Refuse options that mean nothing to a task.

        Raises:
            ConfigError: E205 one of them is set.
        """
        for name in names:
            value, default = getattr(self, name), self.__dataclass_fields__[name].default
            if value != default:
                msg = (
                    f"train.{name} has no effect on {task}; got {value!r}, leave it at {default!r}"
                )
                raise ConfigError("E205", msg)
