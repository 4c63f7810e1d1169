"""Runs a saved ``torch.export`` program behind the interface of a session, as it came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from edgedl.errors import BundleError
from edgedl.export.tools import failing_as

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgedl.runtime.session import Array
    from edgedl.spec import TensorSpec


class ProgramSession:
    """The program that an ONNX model was made of, with the names that the model has.

    Args:
        program: As ``torch.export.load`` gives it.
        inputs: Of the ONNX model, in order.
        outputs: Of the ONNX model, in order.

    Attributes:
        inputs: As given.
        outputs: As given.
    """

    backend = "torch"

    def __init__(
        self,
        program: ExportedProgram,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._program = program

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name, given all inputs by name.

        Raises:
            BundleError: E446 torch cannot run it, E451 it has other outputs than the model.
        """
        with failing_as("running the program with torch"), torch.no_grad():
            args, kwargs = self._arguments([torch.from_numpy(feeds[s.name]) for s in self.inputs])
            found = pytree.tree_leaves(self._program.module()(*args, **kwargs))
        tensors = [one for one in found if isinstance(one, torch.Tensor)]
        if len(tensors) != len(self.outputs):
            msg = f"the program gives {len(tensors)} tensors, its ONNX model {len(self.outputs)}"
            raise BundleError("E451", msg)
        pairs = zip(self.outputs, tensors, strict=True)
        return {spec.name: tensor.numpy() for spec, tensor in pairs}

    def close(self) -> None:
        """Do nothing: memory is the program's."""

    def _arguments(self, tensors: Sequence[torch.Tensor]) -> Any:
        """Return tensors as the program's arguments, its own constants in between."""
        left = list(tensors)
        kinds = [
            s for s in self._program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT
        ]
        given = [s.arg.value if isinstance(s.arg, ConstantArgument) else left.pop(0) for s in kinds]
        return pytree.tree_unflatten(given, self._program.call_spec.in_spec)
