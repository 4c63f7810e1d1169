"""What is in an ONNX file, and what runtimes will say of it, as plain values."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from edgedl.errors import BundleError
from edgedl.export.foreign import refusal
from edgedl.export.graph_scope import scopes_of, shape_of, sides
from edgedl.export.lint import TARGETS, Target, lint, read_model
from edgedl.export.lint_rules import type_name

if TYPE_CHECKING:
    from edgedl.bundle import Bundle

_ALIASES: Mapping[str, Target] = {"jetson-orin:jp6": "trt10"}
_ENGINES = ("fp32", "fp16", "bf16", "int8-trt")
_MADE_FOR: Mapping[str, tuple[str, ...]] = {"cpu": ("fp32", "fp16", "int8-cpu")}

Found = dict[str, str]


def facts_of_model(
    path: Path, targets: Sequence[str] = ()
) -> tuple[dict[str, Any], BundleError | None]:
    """Return what an ONNX file holds and what runtimes will say of it.

    Args:
        path: The file.
        targets: Runtimes that must take it; none: findings for all.

    Returns:
        Facts, ``findings``, and ``refusal``: why an export cannot begin with it, or None; and the
        error E448 if a runtime of ``targets`` will refuse it.

    Raises:
        BundleError: E403, E410, E450, E451 it cannot be read.
    """
    model = read_model(path)
    asked = _targets(targets)
    found = [one for target in asked or TARGETS for one in _findings(model, target, path.name)]
    facts = {"path": str(path), "size_bytes": path.stat().st_size, **_facts(model)}
    return {**facts, "findings": found, "refusal": refusal(model, path)}, _problem(found, asked)


def findings_of_bundle(
    bundle: Bundle, targets: Sequence[str]
) -> tuple[list[Found], BundleError | None]:
    """Return what runtimes will say of those graphs that are made for them.

    Returns:
        The findings, and the error E448 if one of them is one.
    """
    asked = _targets(targets)
    found: list[Found] = []
    for target in asked:
        for graph in bundle.manifest.graphs:
            if graph.precision in _MADE_FOR.get(target, _ENGINES):
                model = onnx.load_model_from_string(bundle.read(graph.file))
                found += _findings(model, target, graph.file)
    return found, _problem(found, asked)


def _targets(names: Sequence[str]) -> list[Target]:
    """Return targets without repetition."""
    return [t for t in TARGETS if t in {_ALIASES.get(name, name) for name in names}]


def _findings(model: onnx.ModelProto, target: Target, graph: str) -> Iterator[Found]:
    for finding in lint(model, target):
        yield {"target": target, "graph": graph, **dataclasses.asdict(finding)}


def _problem(found: Sequence[Found], asked: Sequence[Target]) -> BundleError | None:
    errors = [one for one in found if one["severity"] == "error" and one["target"] in asked]
    if not errors:
        return None
    first = errors[0]
    where = f"{first['operator']} {first['node']}".strip()
    more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
    name = TARGETS[next(t for t in asked if t == first["target"])]
    msg = f"{first['graph']} is not for {name}: {where}: {first['text']}{more}"
    return BundleError("E448", msg)


def _facts(model: onnx.ModelProto) -> dict[str, Any]:
    """Return what a model says about itself."""
    inputs, outputs = sides(model)
    operators = Counter(node.op_type for scope in scopes_of(model) for node in scope.nodes)
    return {
        "producer": f"{model.producer_name} {model.producer_version}".strip(),
        "ir_version": model.ir_version,
        "opsets": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "inputs": [_tensor(value) for value in inputs],
        "outputs": [_tensor(value) for value in outputs],
        "operators": dict(operators.most_common()),
    }


def _tensor(value: Any) -> dict[str, Any]:
    kind = type_name(value.type.tensor_type.elem_type)
    return {"name": value.name, "dtype": kind, "shape": list(shape_of(value))}
