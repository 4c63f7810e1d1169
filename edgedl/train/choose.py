"""How a network trains fastest on this machine: measured, never guessed.

What was measured once is remembered in ``~/.cache/edgedl/manners.json`` for this network, batch
and machine: a second measurement might fall out otherwise, and the same recipe and seed would then
no longer give the same weights.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import itertools
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgedl.bundle.files import write_file
from edgedl.errors import EdgedlError

if TYPE_CHECKING:
    from edgedl.train.options import TrainOptions
    from edgedl.train.task import Batch

_ROUNDS = 5
_ENOUGH_S = 6.0  # slow steps differ clearly enough after fewer rounds
_HOPELESS = 1.5  # times as long as the best: not tried again where steps are slow


@dataclass(frozen=True, slots=True)
class Manner:
    """In what precision and memory layout to train."""

    precision: str
    is_channels_last: bool

    @property
    def name(self) -> str:
        """E.g. ``"bf16 channels-last"``."""
        return f"{self.precision} channels-last" if self.is_channels_last else self.precision


def choose_manner(
    network: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    batch: Batch,
    options: TrainOptions,
    *,
    remember: bool = True,
) -> tuple[Manner, dict[str, float]]:
    """Return what to train in; of what is left open, the fastest on a copy of the network.

    Args:
        network: Left as it is.
        loss: Of a network and a batch.
        batch: What to try with.
        options: ``precision`` and ``channels_last``, each perhaps ``auto``.
        remember: Write down what was measured.

    Returns:
        The manner, and the best time of a step in each manner tried, ms; none when only one was
        possible.
    """
    precisions = ("fp32", "bf16") if options.precision == "auto" else (options.precision,)
    has_pictures = any(p.ndim == 4 for p in network.parameters())
    layouts = {"auto": (True, False) if has_pictures else (False,), "yes": (True,), "no": (False,)}
    manners = [
        Manner(*pair) for pair in itertools.product(precisions, layouts[options.channels_last])
    ]
    if len(manners) == 1:
        return manners[0], {}
    key = _key(network, batch, manners)
    took_ms = _remembered().get(key)
    if took_ms is None or took_ms.keys() != {manner.name for manner in manners}:
        took_ms = _measure(network, loss, batch, manners)
        if remember:
            _remember(key, took_ms)
    return min(manners, key=lambda manner: took_ms[manner.name]), took_ms


def _measure(
    network: nn.Module,
    loss: Callable[[nn.Module, Batch], Tensor],
    batch: Batch,
    manners: Sequence[Manner],
) -> dict[str, float]:
    """Return the best time of a step in each manner, ms; they take turns."""
    copies = {is_last: copy.deepcopy(network).train() for is_last in (True, False)}
    lay_out(copies[True])
    took_ms: dict[str, float] = {}
    began_s = time.perf_counter()
    for tried in range(_ROUNDS):
        if tried and time.perf_counter() - began_s > _ENOUGH_S:
            if tried >= 2:
                break
            enough_ms = _HOPELESS * min(took_ms.values())
            manners = [manner for manner in manners if took_ms[manner.name] < enough_ms]
        for manner in manners:
            ms = _step_ms(copies[manner.is_channels_last], loss, batch, manner.precision)
            took_ms[manner.name] = min(ms, took_ms.get(manner.name, ms))
    return took_ms


def _key(network: nn.Module, batch: Batch, manners: Sequence[Manner]) -> str:
    """Return a digest of all that the times depend on."""
    shapes = [(name, tuple(p.shape), p.requires_grad) for name, p in network.named_parameters()]
    machine = (platform.processor(), platform.node(), torch.__version__, torch.get_num_threads())
    batches = [tuple(tensor.shape) for tensor in batch]
    facts = (str(network), shapes, batches, machine, [manner.name for manner in manners])
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _memory() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgedl" / "manners.json"


def _remembered() -> dict[str, dict[str, float]]:
    try:
        found = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(key: str, took_ms: dict[str, float]) -> None:
    """Note what was measured; a place that cannot be written is no reason not to train."""
    with contextlib.suppress(OSError, EdgedlError):
        _memory().parent.mkdir(parents=True, exist_ok=True)
        write_file(_memory(), json.dumps(_remembered() | {key: took_ms}, indent=1))


def lay_out(network: nn.Module) -> None:
    """Store a network's kernels channels-last; convolutions then do so with their outputs."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _step_ms(
    network: nn.Module, loss: Callable[[nn.Module, Batch], Tensor], batch: Batch, precision: str
) -> float:
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        value = loss(network, batch)
    value.backward()  # type: ignore[no-untyped-call]
    return (time.perf_counter() - start) * 1e3
