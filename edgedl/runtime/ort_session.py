"""Runs ONNX models on the CPU with ONNX Runtime 1.18 and newer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import onnxruntime

from edgedl.bundle.onnx_bytes import scan_onnx
from edgedl.errors import BundleError, EdgedlError
from edgedl.spec import TensorSpec

if TYPE_CHECKING:
    from edgedl.runtime.session import Array

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
    "tensor(bool)": "bool",
}
_SILENT = 4  # fatal errors only; everything else reaches us as an exception


class OrtSession:
    """One ONNX model on ONNX Runtime's CPU provider; ``run`` may be called from any thread.

    Attributes:
        most_rows: 1 where the graph finds the range of activations anew in each call, which would
            then be that of all samples of the call; None for any number.
    """

    backend = "onnxruntime"

    def __init__(self, raw: bytes, threads: int, name: str, *, in_float: bool = False) -> None:
        """Open a model from its bytes.

        Args:
            raw: The ONNX file, at most 2 GiB.
            threads: Threads of one call.
            name: Of the model, for errors.
            in_float: See ``open_session``.

        Raises:
            BundleError: E410 no ONNX model, E412 a model this runtime cannot run.
            IntegrityError: E411 it wants other files.
        """
        has_float16 = scan_onnx(raw, name).has_float16
        self.most_rows = 1 if b"DynamicQuantizeLinear" in raw else None
        self._name = name
        self._session: Any = None
        options = _options(threads, has_float16)
        options.add_session_config_entry("session.disable_quant_qdq", str(int(in_float)))
        try:
            self._session = onnxruntime.InferenceSession(
                raw, options, providers=["CPUExecutionProvider"]
            )
        except Exception as err:  # ONNX Runtime's exceptions share no base
            raise _load_error(name, err) from err
        self.inputs = tuple(map(_tensor_spec, self._session.get_inputs()))
        self.outputs = tuple(map(_tensor_spec, self._session.get_outputs()))
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name.

        Raises:
            BundleError: E413 inputs do not fit the model, E415 running it failed.
        """
        if self._session is None:
            msg = f"{self._name} was closed"
            raise RuntimeError(msg)
        try:
            arrays = self._session.run(self._output_names, dict(feeds))
        except Exception as err:  # ONNX Runtime's exceptions share no base
            code = "E413" if isinstance(err, ValueError) or "INVALID_ARG" in str(err) else "E415"
            msg = f"{self._name} failed to run: {_one_line(err)}"
            raise BundleError(code, msg) from err
        return dict(zip(self._output_names, arrays, strict=True))

    def close(self) -> None:
        """Give back memory and threads; calling it twice is fine."""
        self._session = None


def _options(threads: int, has_float16: bool) -> Any:
    """Return what was measured to be fastest for one camera."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    level = onnxruntime.GraphOptimizationLevel
    # The last level has crashed on half precision recurrent graphs (ONNX Runtime 1.31).
    options.graph_optimization_level = (
        level.ORT_ENABLE_EXTENDED if has_float16 else level.ORT_ENABLE_ALL
    )
    if threads == 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _tensor_spec(node: Any) -> TensorSpec:
    shape = tuple(side if isinstance(side, int) else str(side or "?") for side in node.shape)
    return TensorSpec(name=node.name, dtype=_DTYPES.get(node.type, node.type), shape=shape)


def _load_error(name: str, err: Exception) -> EdgedlError:
    text = _one_line(err)
    if "INVALID_PROTOBUF" in text or "No graph was found" in text:
        return BundleError("E410", f"{name} is not an ONNX model: {text}")
    version = onnxruntime.__version__
    return BundleError("E412", f"{name} cannot run on ONNX Runtime {version}: {text}")


def _one_line(err: Exception) -> str:
    text = " ".join(str(err).split())
    return text if len(text) <= 400 else text[:400] + "…"
