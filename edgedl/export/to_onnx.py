"""A trained network as ONNX graphs, one for each of its parts.

The graphs keep inside what TensorRT 10.3 (JetPack 6) reads: opset 20 and IR 10 at most, one file
without external data, batch normalisation folded into the convolutions. Search stays outside, and
recurrent parts are single steps or unrolled over a fixed number of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from edgedl.export.graph_file import BATCH, OPSET, check_graph, graph_name
from edgedl.export.shapes import try_shapes
from edgedl.export.tools import keeping_quiet

if TYPE_CHECKING:
    from edgedl.spec import TensorSpec
    from edgedl.train.torch_session import TorchSession


def write_graphs(sessions: Mapping[str, TorchSession], folder: Path) -> dict[str, Path]:
    """Write ``ROLE.fp32.onnx`` for each part of a network.

    Args:
        sessions: Role to part, see ``train.torch_session.torch_sessions``.
        folder: Must exist.

    Returns:
        Role to file.

    Raises:
        BundleError: E413 a graph does not have the inputs, outputs and sizes of its part or does
            not run at them, E412 it needs more than TensorRT 10.3 reads.
    """
    paths = {role: folder / graph_name(role, "fp32") for role in sessions}
    for role, session in sessions.items():
        wanted = (session.inputs, session.outputs)
        _export(session.module, tuple(session.examples.values()), paths[role], wanted)
        check_graph(paths[role], *wanted)
        try_shapes(paths[role])
    return paths


def _export(
    module: nn.Module,
    feeds: tuple[Tensor, ...],
    path: Path,
    wanted: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
) -> None:
    """Run PyTorch's exporter.

    The tracing exporter (``dynamo=False``) is the one that treats recurrent parts with dynamic
    axes correctly in every PyTorch since 2.4, and it needs no extra package.
    """
    inputs, outputs = wanted
    dynamic: Mapping[str, dict[int, str]] = {s.name: {0: BATCH} for s in (*inputs, *outputs)}
    with keeping_quiet(), torch.inference_mode():
        torch.onnx.export(
            module,
            feeds,
            str(path),
            input_names=[s.name for s in inputs],
            output_names=[s.name for s in outputs],
            dynamic_axes=dynamic,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    _tidy(path, outputs)


def _tidy(path: Path, outputs: Sequence[TensorSpec]) -> None:
    """Compute at export time what does not depend on the input, and name all output sizes.

    A traced ``chunk`` leaves Shape-Gather-Add-Div chains of small integers in the step, which
    would be computed again for every word. Inference then holds the sizes against the graph.
    """
    with keeping_quiet():
        model = optimizer.optimize(onnx.load(path))
    for value, spec in zip(model.graph.output, outputs, strict=True):
        for axis, size in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
            if not axis.HasField("dim_value") and isinstance(size, int):
                axis.dim_value = size
    onnx.save(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True), path)
