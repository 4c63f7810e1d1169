"""Optimisers, and which parameters they treat how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edgedl.train.options import check_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions:
    """The section ``[optimizer]`` of a recipe.

    Three groups of parameters may have learning rates of their own: matrices and kernels, biases
    and norms, the head (the last layer). The product of learning rate and weight decay is the same
    in all that decay.

    Attributes:
        name: ``nesterov`` is ``sgd`` with Nesterov's momentum; ``muon`` orthogonalises the updates
            of matrices and kernels and leaves biases and the head to ``nesterov``.
        lr: Peak learning rate.
        bias_lr: That of biases and norms. 0: ``lr``.
        head_lr: That of the head. 0: ``lr``.
        weight_decay: Of matrices and kernels, not of embeddings.
        decay_biases: Biases and norms decay as well.
        momentum: Of ``sgd``, ``nesterov`` and ``muon``.
        rest_momentum: Of what ``muon`` leaves to ``nesterov``.
        betas: Of ``adam`` and ``adamw``.
    """

    name: Literal["sgd", "nesterov", "adam", "adamw", "muon"] = "adamw"
    lr: float = 1e-3
    bias_lr: float = 0.0
    head_lr: float = 0.0
    weight_decay: float = 0.02
    decay_biases: bool = False
    momentum: float = 0.9
    rest_momentum: float = 0.85
    betas: tuple[float, ...] = (0.9, 0.98)

    def __post_init__(self) -> None:
        check_ranges(
            "optimizer",
            self,
            lr=(0, 100),
            bias_lr=(0, 100),
            head_lr=(0, 100),
            weight_decay=(0, 10),
            momentum=(0, 0.9999),
            rest_momentum=(0, 0.9999),
        )
