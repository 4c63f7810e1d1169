"""What an engine depends on: two engines with equal keys are interchangeable."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgedl.engines.tensorrt_api import NetworkOptions, TensorRT, package_name
from edgedl.errors import ConfigError
from edgedl.options import options_from

if TYPE_CHECKING:
    from edgedl.engines.driver import Machine

BUILDER = 1
"""Raised when edgedl builds differently, so that engines of older ones are built again."""

_NAMES = {
    "package": "package",
    "tensorrt": "version",
    "gpu": "GPU",
    "compute_capability": "compute capability",
    "l4t": "L4T",
    "cuda": "CUDA",
    "driver": "driver",
    "precision": "precision",
    "options": "shapes or builder options",
    "builder": "edgedl's builder",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKey:
    """What an engine was built from, with and for.

    Attributes:
        graph_sha256: Of the ONNX file.
        precision: Of that graph.
        package: ``tensorrt`` or ``tensorrt_rtx``.
        tensorrt: Its version; engines of another one do not load.
        gpu: Name of the GPU. This and the next four are None for engines that are bound to no
            machine, those of TensorRT-RTX.
        compute_capability: Of the GPU.
        l4t: Of a Jetson.
        cuda: Newest CUDA of the driver.
        driver: Its version.
        options: The ``NetworkOptions`` as plain JSON: shapes and limits. None when asking for an
            engine of any.
        builder: ``BUILDER`` of the edgedl that built it.
    """

    graph_sha256: str
    precision: str
    package: str
    tensorrt: str
    gpu: str | None = None
    compute_capability: str | None = None
    l4t: str | None = None
    cuda: str | None = None
    driver: str | None = None
    options: Mapping[str, Any] | None = None
    builder: int = BUILDER

    @property
    def digest(self) -> str:
        """Return 24 hex digits that stand for the key in names of files."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    def differences(self, found: EngineKey) -> list[str]:
        """Say for each field in which an engine differs from this key what both are.

        Returns:
            Such as ``version 10.3.0, wanted 10.4.0``; empty if the engine is what is wanted.
        """
        parts = []
        for field, name in _NAMES.items():
            theirs, ours = getattr(found, field), getattr(self, field)
            if theirs == ours or (field == "options" and ours is None):
                continue
            if field == "options":
                parts.append(f"other {name}")
            elif field == "package":
                parts.append(f"{package_name(theirs)}, wanted {package_name(ours)}")
            else:
                parts.append(f"{name} {theirs or 'unknown'}, wanted {ours or 'unknown'}")
        return parts

    @classmethod
    def parse(cls, table: object) -> EngineKey:
        """Read what ``dataclasses.asdict`` made of a key.

        Raises:
            ConfigError: E203, E204 it is none.
        """
        if not isinstance(table, dict):
            msg = f"key of an engine: expected a table, got {type(table).__name__}"
            raise ConfigError("E204", msg)
        return options_from(cls, table, "key of an engine")


def key_of(
    trt: TensorRT,
    graph_sha256: str,
    precision: str,
    machine: Machine,
    options: NetworkOptions | None = None,
) -> EngineKey:
    """Return the key of the engine that ``trt`` would build of a graph on ``machine``.

    Args:
        trt: From ``tensorrt_api.load``.
        graph_sha256: Of the ONNX file.
        precision: Of that graph.
        machine: Not a part of the key for TensorRT-RTX, whose engines are bound to no machine.
        options: How it is built; None for an engine of any shapes and limits.
    """
    return EngineKey(
        graph_sha256=graph_sha256,
        precision=precision,
        package=trt.package,
        tensorrt=trt.version,
        options=None if options is None else plain(options),
        **({} if trt.is_rtx else dataclasses.asdict(machine)),
    )


def plain(options: NetworkOptions) -> dict[str, Any]:
    """Return options as they come back from JSON."""
    table: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(options)))
    return table
