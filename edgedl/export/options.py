"""What an export is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgedl.errors import UsageError
from edgedl.export.gate import check_target, precisions_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What to write, and what it must be worth.

    Attributes:
        targets: What the bundle is for: ``cpu``, ``rtx`` (adds TensorRT-RTX engines), ``here``
            (adds engines of the TensorRT of this machine), ``jetson-orin:jp6``. All graphs are
            written for every target; engines are what differs.
        precision: ``auto``, or the family that must be there: ``fp32 fp16 bf16 int8``.
        max_drop: What a precision may lose against fp32: percentage points of exact match and
            accuracies, percent of every other metric.
        held_out: Samples the quality is measured on, at most.
        calibration: Samples the INT8 ranges are found on, at most.
        rounds: Timed answers per precision, at most; 662 or more give a p99.
        force: Replace a bundle that is there.
        spec: ``spec.toml`` of a model file, see ``model_origin.ModelNotes``.
        samples: Folder of a model file's samples, see ``model_origin.ModelOrigin``.
        search: Names of ``DecodeOptions`` to values: how the bundle is to search captions.
    """

    targets: tuple[str, ...] = ("cpu",)
    precision: str = "auto"
    max_drop: float = 1.0
    held_out: int = 10000
    calibration: int = 256
    rounds: int = 700
    force: bool = False
    spec: Path | None = None
    samples: Path | None = None
    search: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for target in self.targets:
            check_target(target)
        precisions_of(self.precision)
        if not 0 <= self.max_drop <= 100:
            msg = f"--max-drop must be in 0..100 ; got {self.max_drop}"
            raise UsageError("E124", msg)
        for name, least in (("held_out", 16), ("calibration", 1), ("rounds", 30)):
            if getattr(self, name) < least:
                msg = f"{name} must be {least} or more; got {getattr(self, name)}"
                raise UsageError("E125", msg)
