"""What lint says for ONNX Runtime on a CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from lint_graphs import (
    boxes,
    chain,
    dropped,
    half_and,
    node,
    normalised,
    one,
    quantised,
    recurrent,
    said,
)
from onnx import TensorProto as T


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (quantised, "warning s8s8"),
        (lambda: quantised(np.uint8(128)), ""),
        (lambda: quantised(np.uint8(128), bias=True), ""),
        (lambda: quantised(np.uint8(128), op="ConvTranspose"), "warning slow-convtranspose"),
        (
            lambda: quantised(np.uint8(128), scale=np.float16, opset=19, ir=9),
            "warning half-scale",
        ),
        (lambda: quantised(np.int16(0), opset=21, ir=10), ""),
        (lambda: half_and("Add"), "error mixed-types"),
        (lambda: dropped(True), "error training-mode"),
        (lambda: normalised(1), "error training-mode"),
        (
            lambda: one("Relu", ("y", T.DOUBLE, (4,)), ("x", T.DOUBLE, (4,))),
            "warning float64",
        ),
        (
            lambda: chain(node("FooBar", ["x"], ["y"], domain="com.example")),
            "error custom-domain",
        ),
        (lambda: chain(node("Gelu", ["x"], ["y"], domain="com.microsoft")), ""),
        (boxes, ""),
        (lambda: recurrent(layout=1), ""),
    ],
)
def test_what_is_said_for_a_cpu(graph: Callable[[], onnx.ModelProto], expected: str) -> None:
    assert said(graph(), "cpu") == expected
