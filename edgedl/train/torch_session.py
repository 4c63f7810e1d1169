"""A trained network behind the interface of a session, so that one evaluation fits both."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from edgedl.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    from edgedl.models.build import Network
    from edgedl.runtime.session import Array

Examples = Mapping[str, Tensor]


class TorchSession:
    """Runs one part of a network.

    Args:
        module: Takes and returns the tensors of one graph.
        examples: Input name to a tensor (2, …), in the order of the arguments.
        outputs: Names of what it returns.

    Attributes:
        module: As given, in evaluation mode.
        examples: As given.
    """

    backend = "torch"

    def __init__(self, module: nn.Module, examples: Examples, outputs: tuple[str, ...]) -> None:
        self.module, self.examples = module.eval(), examples
        self.inputs = tuple(_spec(name, tensor) for name, tensor in examples.items())
        found = self._call(list(examples.values()))
        self.outputs = tuple(
            _spec(name, tensor) for name, tensor in zip(outputs, found, strict=True)
        )

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name, given all inputs by name."""
        found = self._call([torch.from_numpy(feeds[spec.name]) for spec in self.inputs])
        names = [spec.name for spec in self.outputs]
        return {name: tensor.numpy() for name, tensor in zip(names, found, strict=True)}

    def close(self) -> None:
        """Do nothing: memory is the network's."""

    @torch.no_grad()
    def _call(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        found = self.module(*tensors)
        return found if isinstance(found, tuple) else (found,)


def torch_sessions(spec: ModelSpec, network: nn.Module) -> dict[str, TorchSession]:
    """Return role -> session for a network of ``models.build``."""
    network.eval()
    parts = cast("Network", network).parts()
    sessions: dict[str, TorchSession] = {}
    for role in spec.roles:
        names = tuple(inspect.signature(parts[role].forward).parameters)
        known = _examples(spec, network, role, sessions)
        examples = {name: known[name] for name in names}
        sessions[role] = TorchSession(parts[role], examples, _outputs(spec, role, names))
    return sessions


def _examples(
    spec: ModelSpec, network: nn.Module, role: str, sessions: Mapping[str, TorchSession]
) -> Examples:
    """Return zeros (2, …) for all that a role may take."""
    if role == "encoder" or spec.task == "classification":
        assert spec.image is not None
        return {"image": torch.zeros(2, *spec.image.shape[1:])}
    if spec.task == "captioning":
        of_encoder = {s.name: torch.zeros(_two(s)) for s in sessions["encoder"].outputs}
        token = torch.zeros(2, dtype=torch.int64)
        made = {"token": token, "h_in": of_encoder["h"], "c_in": of_encoder["c"]}
        return {**made, "features": of_encoder["features"]}
    options = cast("Any", network).options
    if spec.task == "clip-classification":
        assert spec.clip is not None
        width = sessions["encoder"].outputs[0].shape[1]
        return {"features": torch.zeros(2, spec.clip.frames, int(width))}
    if spec.task == "text-generation":
        state = torch.zeros(2, options.layers, options.hidden)
        return {"token": torch.zeros(2, dtype=torch.int64), "h_in": state, "c_in": state}
    if spec.task == "text-classification":
        assert spec.text is not None
        return {"tokens": torch.ones(2, spec.text.length, dtype=torch.int64)}
    assert spec.series is not None
    return {"window": torch.zeros(2, spec.series.window, len(spec.series.inputs))}


def _outputs(spec: ModelSpec, role: str, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of what a role returns, given those of what it takes."""
    if role == "encoder":
        return ("features", "h", "c") if spec.task == "captioning" else ("features",)
    if role == "step":
        return ("logits", *(f"{name[0]}_out" for name in inputs if name.endswith("_in")))
    return ("values",) if spec.task == "regression" else ("logits",)


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorSpec(name=name, dtype=dtype, shape=("N", *tensor.shape[1:]))


def _two(spec: TensorSpec) -> tuple[int, ...]:
    return (2, *(int(size) for size in spec.shape[1:]))
