"""A saved ``torch.export`` program: read without running code of its own, turned into ONNX, run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.export.graph_signature import ConstantArgument, InputKind
from torch.utils import _pytree as pytree

from edgedl.errors import BundleError
from edgedl.export.graph_file import OPSET
from edgedl.export.tools import failing_as, keeping_quiet, one_line, pickled

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

    from edgedl.runtime.session import Array
    from edgedl.spec import TensorSpec


def read_program(raw: bytes, path: Path) -> ExportedProgram:
    """Read a saved ``torch.export`` program.

    Raises:
        BundleError: E410 it is none, E450 it holds pickles or compiled code, E451 it was exported
            in training mode.
    """
    try:
        _check_program(raw, path)
        program = torch.export.load(io.BytesIO(raw))
    except BundleError:
        raise
    except Exception as err:
        msg = (
            f"{path} is no program that torch {torch.__version__} reads: {one_line(err)}; write "
            "it with torch.export.save"
        )
        raise BundleError("E410", msg) from err
    if trained := next(_in_training(program), None):
        msg = f"{path} was exported in training mode ({trained}); call network.eval() before"
        raise BundleError("E451", msg)
    return program


def _in_training(program: ExportedProgram) -> Iterator[str]:
    """Yield the operators that do something else in training: dropout, norms of the batch's own."""
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            schema: Any = getattr(node.target, "_schema", None)
            if schema is None:
                continue
            names = [argument.name for argument in schema.arguments]
            given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
            is_training = given.get("train") is True or given.get("training") is True
            if is_training and given.get("p", given.get("dropout", 1)) != 0:
                yield str(schema.name)


def onnx_of(program: ExportedProgram, path: Path) -> ModelProto:
    """Turn a program into ONNX.

    Raises:
        BundleError: E451 PyTorch cannot do that.
    """
    try:
        with keeping_quiet():
            made = torch.onnx.export(program, dynamo=True, opset_version=OPSET + 1, verbose=False)
            assert made is not None
            model: ModelProto = made.model_proto
    except Exception as err:
        msg = (
            f"{path}: torch cannot turn it into ONNX: {one_line(err)}; make model.onnx of it "
            "yourself and export that"
        )
        raise BundleError("E451", msg) from err
    return model


def _check_program(raw: bytes, path: Path) -> None:
    """Raise when reading a program would run code: torch falls back on pickles in many places."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        for name in archive.namelist():
            inside = name.partition("/")[2]
            if inside == "data.pkl":
                raise pickled(path, "is a pickle")
            if inside.startswith("data/aotinductor/") or "custom_obj" in inside:
                raise pickled(path, f"holds {inside}")
            if inside.startswith("data/sample_inputs/") and archive.read(name):
                try:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                except Exception as err:
                    raise pickled(path, f"holds {inside} with more than tensors") from err
            elif inside.startswith("data/") and inside.endswith(".pt"):
                raise pickled(path, f"holds the pickle {inside}")
            elif inside.endswith("_config.json"):
                table = json.loads(archive.read(name))["config"]
                if any(entry.get("use_pickle") for entry in table.values()):
                    raise pickled(path, f"holds pickled tensors ({inside})")


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
