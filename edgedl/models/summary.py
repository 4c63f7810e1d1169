"""What a network costs: shapes, parameters, products, memory; for a training that is not begun."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgedl.models.recurrent import Joined


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a network.

    Attributes:
        name: Its path in the network.
        kind: Its class.
        shape: Of its output for one sample, batch axis left out; of the last call.
        parameters: Of this layer alone.
        macs: Multiply-accumulates for one sample, in all calls.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A network's layers and their sums.

    Attributes:
        layers: In the order they first ran.
        parameters: Of the whole network.
        macs: For one sample.
    """

    layers: tuple[Layer, ...]
    parameters: int
    macs: int

    def lines(self) -> list[str]:
        """Return the table to print, a line each, and below it the sums."""
        rows = [("layer", "kind", "output", "parameters", "MMAC")]
        for layer in self.layers:
            shape = " x ".join(map(str, layer.shape))
            macs = f"{layer.macs / 1e6:.3f}"
            rows.append((layer.name, layer.kind, shape, f"{layer.parameters:,}", macs))
        rows.append(("sum", "", "", f"{self.parameters:,}", f"{self.macs / 1e6:.3f}"))
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(
                text.rjust(width) if index > 2 else text.ljust(width)
                for index, (text, width) in enumerate(zip(row, wide, strict=True))
            ).rstrip()
            for row in rows
        ]


def summarize(network: nn.Module, inputs: Sequence[Tensor]) -> Summary:
    """Run ``network`` once on ``inputs``, a batch of any size, and say what each layer costs.

    Products of activations with each other, as in attention, are not counted.
    """
    ran: dict[str, Layer] = {}
    hooks = [
        module.register_forward_hook(_recorder(name, ran, len(inputs[0])))
        for name, module in network.named_modules()
        if not any(True for _ in module.children())
    ]
    training = network.training
    try:
        with torch.inference_mode():
            network.eval()(*inputs)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    layers = tuple(ran.values())
    return Summary(
        layers=layers,
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(layer.macs for layer in layers),
    )


def kept_bytes(network: nn.Module, forward: Callable[[], Tensor]) -> list[int]:
    """Run ``forward`` and return the size of each tensor that its result keeps for the way back.

    What several operations keep counts once, and the parameters of ``network`` do not count.
    """
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()  # while it lives, so do they all, each at a place of its own
    for parameter in network.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    del result
    return list(kept.values())


def _recorder(
    name: str, ran: dict[str, Layer], batch: int
) -> Callable[[nn.Module, object, object], None]:
    """Return a hook that adds one call of a layer to what ``ran``.

    A layer that sees every frame of a clip has a batch of N · T; that counts as T calls.
    """

    def record(module: nn.Module, _: object, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        before = ran.get(name)
        ran[name] = Layer(
            name=name,
            kind=type(module).__name__,
            shape=tuple(output.shape[1:]),
            parameters=sum(p.numel() for p in module.parameters(recurse=False)),
            macs=_macs(module, output) // batch + (before.macs if before else 0),
        )

    return record


def _macs(module: nn.Module, output: Tensor) -> int:
    """Count the multiply-accumulates of a convolution or linear layer; 0 for all others."""
    if isinstance(module, nn.Conv2d):
        kernel = math.prod(module.kernel_size) * module.in_channels // module.groups
        return output.numel() * kernel
    if isinstance(module, nn.Linear | Joined):
        return output.numel() * module.in_features
    return 0
