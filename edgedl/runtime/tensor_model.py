"""Runs a network of any inputs and outputs: arrays in, arrays out, no meaning given to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.errors import BundleError, UsageError
from edgedl.options import suggest
from edgedl.runtime.base import Pipeline, Result
from edgedl.runtime.stages import timed

if TYPE_CHECKING:
    from edgedl.frame import Frame
    from edgedl.runtime.preprocess import FramePreprocessor
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec, TensorSpec


_BECOME = {"f": "fiub", "i": "iub", "u": "iub", "b": "b"}
"""Kind of an input to kinds of arrays that may become it, if each value can be held."""


class TensorModel:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a tensor model.
        sessions: ``model``.
        preprocess: Makes a picture the one input, where it is one.
    """

    def __init__(
        self,
        spec: ModelSpec,
        sessions: Mapping[str, Session],
        preprocess: FramePreprocessor | None = None,
    ) -> None:
        self.spec, self.session = spec, sessions["model"]
        self.compared = tuple(output.name for output in self.session.outputs)
        self.preprocess = preprocess

    def prepare(self, given: Given) -> Mapping[str, Array]:
        """Return input name to array."""
        if self.preprocess is not None:
            return {self.session.inputs[0].name: self.preprocess(given.pictures[0])}
        return {spec.name: given.arrays[spec.name] for spec in self.session.inputs}

    def expect(self, tensor: Mapping[str, Array]) -> Expected:
        """Return all outputs as the graph gives them; there is no answer in words."""
        return Expected({}, self.session.run(tensor))


def fitted(arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """Return arrays as a graph takes them: its types, its order, a batch axis of 1 where it lacks.

    Args:
        arrays: Input name to array; of a graph with one input the name may be empty.
        inputs: What the graph takes.

    Raises:
        UsageError: E110 a name is missing or unknown, or an array has another rank, size, or a
            type whose values do not fit.
    """
    names = [spec.name for spec in inputs]
    if len(names) == 1 and list(arrays) == [""]:
        arrays = {names[0]: arrays[""]}
    for name in [*(set(arrays) - set(names)), *(set(names) - set(arrays))]:
        what = f"has no input {name!r}" if name in arrays else f"needs input {name!r}"
        hint = suggest(name, names) if name in arrays else ""
        msg = f"the model {what}{hint}; it takes {_listed(inputs)}"
        raise UsageError("E110", msg)
    return {spec.name: _fitted(np.asarray(arrays[spec.name]), spec) for spec in inputs}


def _fitted(array: Array, spec: TensorSpec) -> Array:
    found = array
    if array.ndim == len(spec.shape) - 1 and not (spec.shape[0] != 1 and _is_size(spec.shape[0])):
        found = array[None]
    sizes_fit = found.ndim == len(spec.shape) and all(
        size == wanted or not _is_size(wanted)
        for size, wanted in zip(found.shape, spec.shape, strict=True)
    )
    wanted_type = np.dtype(spec.dtype)
    if not sizes_fit or array.dtype.kind not in _BECOME[wanted_type.kind]:
        msg = f"input {_spelled(spec)} is expected; got {array.shape} {array.dtype}"
        raise UsageError("E110", msg)
    with np.errstate(over="ignore"):
        cast = np.asarray(found, wanted_type, order="C")
    is_kept = np.isfinite(cast).all() if wanted_type.kind == "f" else np.array_equal(cast, found)
    if not is_kept:
        msg = f"input {spec.name!r} has values that {spec.dtype} cannot hold: up to {array.max()}"
        raise UsageError("E110", msg)
    return cast


def _is_size(size: int | str) -> bool:
    return isinstance(size, int)


def _spelled(spec: TensorSpec) -> str:
    return f"{spec.name!r} ({', '.join(map(str, spec.shape))}) {spec.dtype}"


def _listed(inputs: Sequence[TensorSpec]) -> str:
    return ", ".join(map(_spelled, inputs))


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorResult(Result):
    """What came out.

    Attributes:
        outputs: Name to array, as the graph gives them.
    """

    outputs: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values, arrays as nested lists."""
        table = {"text": self.text, "outputs": {k: v.tolist() for k, v in self.outputs.items()}}
        stages = {stage: round(ms, 3) for stage, ms in self.stage_ms.items()}
        ran_by = {name: getattr(self, name) for name in ("backend", "precision", "model_hash")}
        return {**table, "stage_ms": stages, **ran_by}


class TensorPipeline(Pipeline):
    """Runs one network of any inputs and outputs. Made by ``load``; a context manager."""

    model: TensorModel

    def __call__(self, given: Mapping[str, Array] | Array | Frame) -> TensorResult:
        """Run the network once.

        Args:
            given: Input name to array; the bare array where there is one input; a picture where
                the bundle says how one becomes the input.

        Raises:
            UsageError: E110 the arrays do not fit the network, or the pixels their format.
            BundleError: E414 an output is not finite.
        """
        stage_ms: dict[str, float] = {}
        if self.model.preprocess is not None and not isinstance(given, Mapping):
            with timed(stage_ms, "preprocess"):
                feeds = self.model.prepare(Given((given,)))  # type: ignore[arg-type]
        else:
            named = given if isinstance(given, Mapping) else {"": np.asarray(given)}
            feeds = fitted(named, self.model.session.inputs)
        with timed(stage_ms, "infer"):
            outputs = self.model.session.run(feeds)
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                msg = f"output {name!r} is NaN or infinite; look at the input, or run fp32"
                raise BundleError("E414", msg)
        text = "; ".join(_summary(name, array) for name, array in outputs.items())
        return TensorResult(text=text, outputs=outputs, stage_ms=stage_ms, **self.ran_by)

    def check_fit(self) -> None:
        """Compare the graph's input with the image spec, where there is one."""
        if self.model.preprocess is not None:
            if len(self.model.session.inputs) != 1:
                names = ", ".join(spec.name for spec in self.model.session.inputs)
                msg = f"{self.bundle.path}: a picture is one input; got a graph for {names}"
                raise BundleError("E413", msg)
            self.check_image(self.model.session)


def _summary(name: str, array: Array) -> str:
    """Return an output on one line: a few values, or the shape and the ends of many."""
    if array.size <= 8:
        values = ", ".join(f"{value:.6g}" for value in array.ravel().astype(float))
        return f"{name} {values}"
    low, high = float(array.min()), float(array.max())
    return f"{name} {array.shape} {array.dtype} {low:.6g} to {high:.6g}"
