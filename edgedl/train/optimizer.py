"""Optimisers, and which parameters they treat how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgedl.errors import ConfigError
from edgedl.options import check_ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerOptions:
    """The section ``[optimizer]`` of a recipe.

    Three groups of parameters may have learning rates of their own: matrices and kernels, biases
    and norms, the head (the last layer, unless it is the embedding again). The product of learning
    rate and weight decay is the same in all that decay.

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
        normalize: ``muon`` scales each kernel to the norm sqrt(rows) instead of decaying it.
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
    normalize: bool = True
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
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            msg = f"optimizer.betas must be two numbers in [0, 1); got {self.betas}"
            raise ConfigError("E205", msg)
        if self.name == "nesterov" and not self.momentum:
            msg = "optimizer.momentum must be above 0 for nesterov; got 0: sgd does without"
            raise ConfigError("E205", msg)


def make_optimizer(network: nn.Module, options: OptimizerOptions) -> torch.optim.Optimizer:
    """Return the optimiser of all parameters that are not frozen; each group knows its ``peak``.

    Raises:
        ConfigError: E205 all parameters are frozen.
    """
    groups = [group for group in _groups(network, options) if group["params"]]
    if not groups:
        msg = "all parameters are frozen, so there is nothing to train; set model.freeze = false"
        raise ConfigError("E205", msg)
    if options.name == "muon":
        return Muon(groups)
    if options.name in ("sgd", "nesterov"):
        nesterov = options.name == "nesterov"
        return torch.optim.SGD(groups, momentum=options.momentum, nesterov=nesterov)
    adam = torch.optim.AdamW if options.name == "adamw" else torch.optim.Adam
    first, second = options.betas
    return adam(groups, betas=(first, second), fused=True)


def set_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's learning rate to ``factor`` of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


class Muon(torch.optim.Optimizer):
    """Momentum whose updates of matrices and kernels are made orthogonal.

    After Keller Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024):
    an update of the shape (rows, everything else) is replaced by the nearest matrix all of whose
    singular values are about 1, so that no direction is learnt slower than another. As in his
    CIFAR-10 speed runs, a kernel that a normalisation follows may be scaled to the norm
    sqrt(rows) before each step; then the learning rate alone says how far it turns.

    Groups with ``orthogonal`` false are treated by Nesterov's momentum as in ``torch.optim.SGD``.

    Args:
        groups: Each with ``params``, ``lr``, ``momentum``, ``weight_decay``, ``orthogonal`` and
            ``normalize``.
    """

    def __init__(self, groups: list[dict[str, Any]]) -> None:
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the parameters by their gradients."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, momentum = parameter.grad, group["momentum"]
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        if group["normalize"]:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        elif group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        mean = state["momentum"].mul_(momentum).add_(gradient)
        update = gradient.add(mean, alpha=momentum)
        if group["orthogonal"]:
            update = orthogonal(update)
        parameter.add_(update, alpha=-group["lr"])


def orthogonal(update: Tensor, steps: int = 3) -> Tensor:
    """Return ``update`` (rows, …) with all singular values moved to about 0.7..1.2.

    Newton and Schulz's iteration with the coefficients of the source above, in bfloat16, which
    is exact enough for the direction of a step.
    """
    x: Tensor = update.reshape(len(update), -1).bfloat16()
    x = x / (x.norm() + 1e-7)
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    x = x.T if is_tall else x
    return x.reshape(update.shape).to(update.dtype)


def _groups(network: nn.Module, options: OptimizerOptions) -> list[dict[str, Any]]:
    """Sort the parameters; see ``OptimizerOptions``."""
    head = _head(network)
    kinds: dict[str, list[nn.Parameter]] = {k: [] for k in ("matrix", "head", "bias", "embedding")}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            kinds[_kind(name, parameter, head)].append(parameter)
    is_muon = options.name == "muon"
    made = []
    for kind, parameters in kinds.items():
        own = {"bias": options.bias_lr, "head": options.head_lr}.get(kind, 0.0)
        lr = own or options.lr
        decays = kind in ("matrix", "head") or (kind == "bias" and options.decay_biases)
        decay = options.weight_decay * options.lr / lr if decays and lr else 0.0
        group = {"params": parameters, "lr": lr, "peak": lr, "weight_decay": decay}
        if is_muon:
            turns = kind == "matrix"
            group["momentum"] = options.momentum if turns else options.rest_momentum
            group["orthogonal"] = turns
            group["normalize"] = turns and options.normalize
        made.append(group)
    return made


def _head(network: nn.Module) -> Tensor | None:
    """Return the matrix of what a network calls its ``head``: a layer, or the path of one."""
    head = getattr(network, "head", None)
    if isinstance(head, str):
        head = network.get_submodule(head)
    return head.weight if isinstance(head, nn.Linear) else None


def _kind(name: str, parameter: Tensor, head: Tensor | None) -> str:
    if parameter is head:
        return "head"
    if parameter.ndim < 2:
        return "bias"
    return "embedding" if "embedding" in name or "position" in name else "matrix"
