"""What a runtime will not take, or take wrongly, said before a long build says it badly.

``lint`` looks at an ONNX model and needs no runtime. Each rule names the node and the mend. What
is said of ``rtx`` was tried with TensorRT-RTX 1.7: an error is a graph that it refuses, or reads as
another one; a graph without errors was built. ``trt10`` is TensorRT 10.3 of JetPack 6 and rests on
its parser's documentation, ``trt11`` on both; neither has been run on a GPU yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto

from edgedl.errors import BundleError
from edgedl.export.graph_scope import Scope, scopes_of, shape_of, sides
from edgedl.export.lint_rules import (
    TARGETS,
    TENSORRT_TYPES,
    Finding,
    Severity,
    Target,
    of_node,
    rules_for,
    type_name,
)
from edgedl.export.model_file import parsed, read_file

if TYPE_CHECKING:
    from edgedl.engines.shapes import Profile, Shapes
    from edgedl.spec import TensorSpec

__all__ = ["TARGETS", "Finding", "Target", "check", "lint", "of_package", "read_model"]

MAX_OPSET, MAX_IR = 20, 10
"""The newest that TensorRT 10.3 reads."""


def lint(
    model: onnx.ModelProto,
    target: Target,
    profile: Profile | None = None,
    wanted: Sequence[TensorSpec] = (),
) -> tuple[Finding, ...]:
    """Return what a runtime will stumble over, errors first.

    Args:
        model: Any ONNX model; it is not changed.
        target: Which runtime.
        profile: Input name to its smallest, usual and largest shape. None: the first axis of each
            input may change its size, as builds of ours let it.
        wanted: Inputs and outputs that were asked for, their dynamic axes as names.
    """
    scopes = list(scopes_of(model))
    found = [*_versions(model, target), *_declared(model, wanted), *_double(scopes)]
    found += _bfloat(scopes, target)
    if target != "cpu":
        found += [*_inputs(model), *_constants(model), *_profile(model, profile)]
    for scope in scopes:
        for node in scope.nodes:
            for rule in rules_for(target):
                found += rule(node, scope, target)
    order = ("error", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def read_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file without opening any other file it names.

    Raises:
        BundleError: E403 it cannot be read, E410 it is no ONNX model, E450 it is a pickle, E451 it
            is too large for one.
    """
    model = parsed(read_file(path), path)
    if not model.graph.node:
        msg = f"{path} is not an ONNX model: no graph in it; export it again"
        raise BundleError("E410", msg)
    return model


def check(path: Path, target: Target, profiles: Sequence[Profile] = ()) -> None:
    """Raise when a runtime will refuse a model.

    Args:
        path: The ONNX file.
        target: The runtime.
        profiles: What sizes it will be built for, see ``lint``.

    Raises:
        BundleError: E448 naming the first node and its mend; E403, E410 as ``read_model``.
    """
    model = read_model(path)
    found = [finding for sizes in profiles or (None,) for finding in lint(model, target, sizes)]
    errors = list(dict.fromkeys(finding for finding in found if finding.severity == "error"))
    if errors:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        msg = (
            f"{path.name} is not for {TARGETS[target]}: {errors[0]}{more}; "
            f"see all: edgedl inspect MODEL.onnx --for {target}"
        )
        raise BundleError("E448", msg)


def part_in_training(model: onnx.ModelProto) -> Finding | None:
    """Return the first node that computes as in training, None if there is none."""
    return next((f for f in lint(model, "cpu") if f.rule == "training-mode"), None)


def of_package(package: str, version: str) -> Target:
    """Return the target of a package of TensorRT: ``trt10`` of ``tensorrt`` 10.13."""
    if package == "tensorrt_rtx":
        return "rtx"
    return "trt10" if version.startswith("10.") else "trt11"


# Rules about the model as a whole.


def _versions(model: onnx.ModelProto, target: Target) -> Iterator[Finding]:
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=1)
    if target == "trt10" and (opset > MAX_OPSET or model.ir_version > MAX_IR):
        text = (
            f"opset {opset} and IR {model.ir_version} are newer than TensorRT 10.3 reads; "
            f"export with opset {MAX_OPSET} and IR {MAX_IR} at most"
        )
        yield Finding("error", "too-new", "model", "", text)
    if target != "cpu" and opset < 9:
        text = f"opset {opset} is older than TensorRT promises to read; raise it to 17"
        yield Finding("warning", "too-old", "model", "", text)


def _declared(model: onnx.ModelProto, wanted: Sequence[TensorSpec]) -> Iterator[Finding]:
    """Compare what was asked for with what was exported: exporters fix axes without a word."""
    declared = {value.name: value for value in (*sides(model)[0], *model.graph.output)}
    for spec in wanted:
        if spec.name not in declared:
            text = "was asked for and is not in the model; look at the names given to the exporter"
            yield Finding("error", "declared-shape", spec.name, "", text)
            continue
        found = shape_of(declared[spec.name])
        if [_axis(size) for size in found] != [_axis(size) for size in spec.shape]:
            text = (
                f"has shape {_spell(found)}; asked for was {_spell(spec.shape)}: "
                "export again with its dynamic axes named"
            )
            yield Finding("error", "declared-shape", spec.name, "", text)


def _double(scopes: Sequence[Scope]) -> Iterator[Finding]:
    """Warn once: a single float64 constant makes all that follows it float64."""
    for scope in scopes:
        for node in scope.nodes:
            names = [*node.input, *node.output]
            name = next((n for n in names if scope.types.get(n) == TensorProto.DOUBLE), None)
            if name is not None:
                text = f"{name} is float64: slow, and float32 in TensorRT; export in float32"
                yield of_node("warning", "float64", node, text)
                return


def _bfloat(scopes: Sequence[Scope], target: Target) -> Iterator[Finding]:
    """Say once what bf16 needs."""
    for scope in scopes:
        for node in scope.nodes:
            given = (scope.types.get(name) for name in node.input)
            if node.op_type != "Cast" and TensorProto.BFLOAT16 in given:
                text = "computes in bfloat16, for which a GPU of compute capability 8.0 is needed"
                if target == "cpu":
                    text = (
                        "computes in bfloat16, which ONNX Runtime on a CPU cannot; use the "
                        "fp32 graph there"
                    )
                severity: Severity = "error" if target == "cpu" else "note"
                yield of_node(severity, "bfloat16", node, text)
                return


def _inputs(model: onnx.ModelProto) -> Iterator[Finding]:
    for value in sides(model)[0]:
        kind = value.type.tensor_type.elem_type
        if kind == TensorProto.INT64:
            text = "is int64, and so is the engine's binding: feed it int64, not int32"
            yield Finding("note", "int64-input", value.name, "", text)
        if kind not in TENSORRT_TYPES or not value.type.HasField("tensor_type"):
            text = f"is {type_name(kind)}, which TensorRT does not have; feed int32 or float32"
            yield Finding("error", "dtype", value.name, "", text)


def _constants(model: onnx.ModelProto) -> Iterator[Finding]:
    for tensor in model.graph.initializer:
        if tensor.data_type not in TENSORRT_TYPES:
            text = (
                f"is a constant of {type_name(tensor.data_type)}, which TensorRT does not have; "
                "write int8 for Q/DQ, int32 or float32 for everything else"
            )
            yield Finding("error", "dtype", tensor.name, "", text)


def _profile(model: onnx.ModelProto, profile: Profile | None) -> Iterator[Finding]:
    """Say which input of changing size has no range of sizes, or one that cannot be."""
    inputs = {value.name: shape_of(value) for value in sides(model)[0]}
    for name in sorted(set(profile or ()) - set(inputs)):
        text = f"the profile has it, the model does not; its inputs are {', '.join(inputs)}"
        yield Finding("error", "profile", name, "", text)
    for name, shape in inputs.items():
        sizes = (profile or {}).get(name)
        if sizes is None:
            free = [axis for axis, size in enumerate(shape) if not isinstance(size, int)]
            if free and (free != [0] or profile is not None):
                text = (
                    f"{_spell(shape)} changes its size and has no profile; fix all axes but "
                    "the first, or give its smallest, usual and largest shape"
                )
                yield Finding("error", "profile", name, "", text)
        elif problem := _profile_problem(shape, sizes):
            yield Finding("error", "profile", name, "", problem)


def _profile_problem(shape: Sequence[int | str], sizes: Shapes) -> str | None:
    if any(len(size) != len(shape) for size in sizes):
        return f"the profile's shapes must have {len(shape)} axes, as {_spell(shape)} has"
    low, usual, high = sizes
    for axis, (a, b, c) in enumerate(zip(low, usual, high, strict=True)):
        if not 0 <= a <= b <= c:
            return (
                f"axis {axis} of the profile must be smallest <= usual <= largest; got {a} {b} {c}"
            )
        if isinstance(shape[axis], int) and {a, b, c} != {shape[axis]}:
            return f"axis {axis} of the profile must be {shape[axis]}, as it is; got {a} {b} {c}"
    return None


def _axis(size: int | str) -> int | None:
    return size if isinstance(size, int) else None


def _spell(shape: Sequence[int | str]) -> str:
    return f"({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
