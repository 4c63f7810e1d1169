"""Decides which precisions are written. Pure: numbers in, a sentence or None out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgedl.bundle.manifest import PRECISIONS
from edgedl.errors import UsageError
from edgedl.options import suggest

if TYPE_CHECKING:
    from edgedl.evaluate import Metric

FAMILIES: Mapping[str, tuple[str, ...]] = {
    "auto": tuple(name for name in PRECISIONS if name != "bf16"),
    "fp32": ("fp32",),
    "fp16": ("fp32", "fp16"),
    "bf16": ("fp32", "bf16"),
    "int8": ("fp32", "int8-cpu", "int8-packed", "int8-trt"),
}
"""What ``--precision`` asks for; fp32 is always there, it is what the others are measured by.

``auto`` leaves bf16 out: where its values fit fp16 has three more bits, and older GPUs have it.
"""

JETSON = "jetson-orin:jp6"
TARGETS = ("cpu", "rtx", "here", JETSON)


def precisions_of(family: str) -> tuple[str, ...]:
    """Return the precisions a ``--precision`` means.

    Raises:
        UsageError: E121 it means none.
    """
    if family not in FAMILIES:
        near = suggest(family, FAMILIES)
        msg = f"unknown precision {family!r}; there are: {', '.join(FAMILIES)}{near}"
        raise UsageError("E121", msg)
    return FAMILIES[family]


def check_target(target: str) -> str:
    """Return ``target`` if there is such a one.

    Raises:
        UsageError: E123 there is not.
    """
    if target not in TARGETS:
        near = suggest(target, TARGETS)
        msg = f"unknown target {target!r}; there are: {', '.join(TARGETS)}{near}"
        raise UsageError("E123", msg)
    return target


def quality_problem(
    precision: str,
    metric: Metric,
    value: float,
    of_fp32: float,
    max_drop: float,
    samples: str = "the held-out samples",
) -> str | None:
    """Return why a precision loses too much, or None.

    Args:
        precision: Its name.
        metric: What decides.
        value: Its value for the precision.
        of_fp32: That of fp32 on the same samples.
        max_drop: Percentage points, or percent, that may be lost; see ``Metric.unit``.
        samples: What they were measured on, in words.
    """
    lost = metric.drop(value, of_fp32)
    if lost <= max_drop + 1e-9:
        return None
    allowed = metric.show_drop(max_drop)
    return (
        f"{precision} has {metric.name} {metric.show(value)} on {samples}, fp32 "
        f"{metric.show(of_fp32)}: it loses {metric.show_drop(lost)}, {allowed} are allowed"
    )


def made_up_problem(precision: str, metric: Metric, value: float) -> str:
    """Return why INT8 from made up samples is not written, whatever it does on them."""
    return (
        f"{precision} has {metric.name} {metric.show(value)} on made up samples; its ranges come "
        "from such samples too, so on real ones it may be anything: give some with --calib DIR"
    )


def speed_problem(
    precision: str, median_ms: float, other_ms: float, other: str = "fp32"
) -> str | None:
    """Return why a precision is not worth having on this machine beside another, or None."""
    if median_ms < other_ms:
        return None
    return (
        f"{precision} takes {median_ms:.3f} ms on this machine, {other} takes "
        f"{other_ms:.3f} ms: nothing is won"
    )


def percent(text: str) -> float:
    """Read ``1%``, ``0.5 %`` or ``1`` as percentage points.

    Raises:
        UsageError: E124 it is no number in 0..100.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%?\s*", text)
    if found is None or float(found[1]) > 100:
        msg = f"--max-drop must be percentage points in 0..100, such as 1%; got {text!r}"
        raise UsageError("E124", msg)
    return float(found[1])
