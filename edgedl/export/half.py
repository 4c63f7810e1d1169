"""Half precision, written into the graph: weights and arithmetic fp16, inputs and outputs fp32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from edgedl.errors import BundleError

LARGEST = float(np.finfo(np.float16).max)


def to_half(source: Path, out: Path) -> None:
    """Write the fp16 copy of an fp32 graph.

    Inputs and outputs stay fp32, so that every precision of a bundle takes and gives the same
    tensors.

    Raises:
        BundleError: E417 a weight does not fit into fp16.
    """
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and np.abs(values).max(initial=0) > LARGEST:
            msg = (
                f"{source.name}: weight {tensor.name!r} has a value of "
                f"{np.abs(values).max():.3g}, fp16 ends at {LARGEST:.0f}; export without fp16"
            )
            raise BundleError("E417", msg)
    half = convert_float_to_float16(model, keep_io_types=True)
    OnnxModel(half).topological_sort()  # the casts of the inputs were appended at the end
    onnx.checker.check_model(half)
    onnx.save(half, out)
