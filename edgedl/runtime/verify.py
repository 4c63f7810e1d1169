"""The self-test of a bundle on this machine: its golden set, replayed through the real code."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgedl.bundle import Bundle, Expected, GoldenSample, tensor_sha256
from edgedl.bundle.manifest import INT8
from edgedl.errors import BundleError, EdgedlError
from edgedl.printable import escaped
from edgedl.runtime.engine_file import NOT_BUILT, cached_engines
from edgedl.runtime.pipeline import Pipeline, load
from edgedl.runtime.session import BACKENDS, ENGINE_BACKENDS, Array, check_backend, relative_error
from edgedl.version import VERSION

Status = Literal["PASS", "FAIL", "NOT RUN"]
PASS: Status = "PASS"
FAIL: Status = "FAIL"
NOT_RUN: Status = "NOT RUN"
_CANNOT_RUN = ("E412", "E419", "E600", "E601", "E602", *NOT_BUILT)
PREPARE = "prepare"

FP32_BOUND = 1e-4
"""Largest difference of fp32 outputs between two machines, relative to the largest output."""
BOUNDS = {"fp32": FP32_BOUND, "fp16": 2e-2, "bf16": 1e-1, **dict.fromkeys(INT8, 1e-1)}
"""Bounds for outputs to which the manifest gives none."""


@dataclass(frozen=True, slots=True)
class VerifyRow:
    """One thing that was tried.

    Attributes:
        backend: ``PREPARE`` for the input tensors, else the runtime.
        precision: Which graphs; empty for the input tensors.
        status: PASS, FAIL, or NOT RUN: this machine could not try it.
        samples: Golden samples that were tried.
        texts_equal: How many answers in words were the expected ones.
        errors: Output to its largest error, relative to the largest expected magnitude.
        bounds: Output to the largest error allowed.
        reason: Why it failed or was not run; empty on PASS.
    """

    backend: str
    precision: str
    status: Status
    samples: int = 0
    texts_equal: int = 0
    errors: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a bundle proved on this machine.

    Attributes:
        bundle: Its path.
        digest: Of its manifest.
        rows: One per thing tried.
        machine: Where this was.
    """

    bundle: str
    digest: str
    rows: tuple[VerifyRow, ...]
    machine: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Nothing failed, and at least one precision ran."""
        ran = [row for row in self.rows if row.status == PASS and row.precision]
        return bool(ran) and not self.failures

    @property
    def failures(self) -> tuple[VerifyRow, ...]:
        """The rows that failed."""
        return tuple(row for row in self.rows if row.status == FAIL)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values; an infinite error is null."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["errors"] = {k: v if np.isfinite(v) else None for k, v in row["errors"].items()}
        head = {"bundle": self.bundle, "digest": self.digest, "passed": self.passed}
        return {**head, "rows": rows, "machine": dict(self.machine), "edgedl": VERSION}

    def check(self) -> None:
        """Raise unless the bundle passed.

        Raises:
            BundleError: E414 what failed first.
        """
        if not self.passed:
            first = self.failures[0].reason if self.failures else "no precision could be run here"
            reasons = [row.reason for row in self.rows if row.reason]
            if not self.failures and reasons:
                first += f": {reasons[0]}"
            msg = f"self-test failed: {first}; do not use {self.bundle} on this machine"
            raise BundleError("E414", msg)


def verify(
    path: Path | str,
    threads: int = 1,
    allow_prebuilt_engine: bool = False,
    backend: str = "auto",
) -> VerifyReport:
    """Replay a bundle's golden set on every runtime of this machine.

    The samples are prepared as a user's are, and what the network gets must match bit for bit; the
    outputs and answers of each precision are compared with what the export computed with the same
    graphs.

    Args:
        path: The bundle's folder.
        threads: CPU threads of one inference.
        allow_prebuilt_engine: Where none was built here, run the engines that came inside the
            bundle. They are code: only from somebody you trust.
        backend: The only runtime to try; ``"auto"`` for all.

    Raises:
        UsageError: E120 there is no such runtime.
        EdgedlError: The bundle cannot be opened, or is wrong; what it computes wrongly, and which
            graphs this machine's runtimes cannot run, is in the report.
    """
    only = BACKENDS if backend == "auto" else (check_backend(backend),)
    bundle = Bundle.open(path)
    golden = bundle.golden()
    rows: list[VerifyRow] = []
    for backend, precision in _to_try(bundle, only):
        try:
            pipeline = load(
                bundle,
                backend,
                precision,
                threads=threads,
                allow_prebuilt_engine=allow_prebuilt_engine,
            )
        except EdgedlError as err:
            if err.code not in _CANNOT_RUN:
                raise
            rows.append(VerifyRow(backend, precision, NOT_RUN, reason=str(err)))
            continue
        with pipeline:
            if not any(row.backend == PREPARE for row in rows):
                rows.insert(0, _verify_tensors(pipeline, golden))
            rows.append(verify_graphs(pipeline, golden))
    machine = {"platform": platform.platform(), "machine": platform.machine()}
    return VerifyReport(str(path), bundle.manifest.digest, tuple(rows), machine)


def _to_try(bundle: Bundle, only: Sequence[str]) -> list[tuple[str, str]]:
    """Return backend and precision of what is there for some runtimes.

    Of a single one that has nothing, ``auto``, so that the reason is told.
    """
    pairs = [*_graphs_to_try(bundle), *_engines_to_try(bundle)]
    return [pair for pair in pairs if pair[0] in only] or [(name, "auto") for name in only]


def _graphs_to_try(bundle: Bundle) -> list[tuple[str, str]]:
    backends = [backend for backend in BACKENDS if backend not in ENGINE_BACKENDS]
    return [(backend, precision) for backend in backends for precision in bundle.precisions]


def _engines_to_try(bundle: Bundle) -> list[tuple[str, str]]:
    """Return backend and precision of the engines that came with a bundle or were built here."""
    found = [
        ("tensorrt_rtx" if engine.target.startswith("rtx-") else "tensorrt", engine.precision)
        for engine in bundle.manifest.engines
    ]
    found += [(str(s.get("package")), str(s.get("precision"))) for _, s in cached_engines(bundle)]
    return [
        (backend, precision)
        for backend, precision in dict.fromkeys(found)
        if backend in ENGINE_BACKENDS
    ]


def _verify_tensors(pipeline: Pipeline, golden: Sequence[GoldenSample]) -> VerifyRow:
    """Compare what the network gets bit for bit."""
    wrong = [
        sample.name
        for sample in golden
        if tensor_sha256(pipeline.model.prepare(sample.given)) != sample.input_sha256
    ]
    if not wrong:
        return VerifyRow(PREPARE, "", PASS, len(golden))
    reason = f"expected the tensor of the export, got other bits for {', '.join(wrong)}"
    return VerifyRow(PREPARE, "", FAIL, len(golden), reason=reason)


def verify_graphs(pipeline: Pipeline, golden: Sequence[GoldenSample]) -> VerifyRow:
    """Compare one precision with what the export computed."""
    backend, precision = pipeline.backend, pipeline.precision
    compared = pipeline.model.compared
    known = [sample for sample in golden if precision in sample.expected]
    if not known:
        reason = "the golden set has nothing for it"
        return VerifyRow(backend, precision, NOT_RUN, reason=reason)
    for sample in known:
        for name in compared:
            if name not in sample.expected[precision].arrays:
                msg = f"golden set: {sample.name}.npz has no {precision}.{name}; export again"
                raise BundleError("E418", msg)
    record = pipeline.bundle.manifest.precisions[precision]
    bounds = {name: float(record.error_bounds.get(name, BOUNDS[precision])) for name in compared}
    answers: list[Expected] = []
    reason = ""
    try:
        for sample in known:
            answers.append(pipeline.model.expect(pipeline.model.prepare(sample.given)))
    except BundleError as err:
        reason = str(err)
    pairs = [(a, s.expected[precision]) for a, s in zip(answers, known, strict=False)]
    differing = [
        f'expected "{escaped(expected.text)}", got "{escaped(found.text)}"'
        for found, expected in pairs
        if found.text != expected.text
    ]
    errors = {
        name: _largest_error(name, [(f.arrays[name], e.arrays[name]) for f, e in pairs])
        for name in compared
    }
    equal = len(pairs) - len(differing)
    beyond = [name for name in compared if not errors[name] <= bounds[name]]
    if not reason and equal < record.texts_equal * len(known):
        reason = differing[0]
    elif not reason and beyond:
        name = beyond[0]
        reason = f"expected {name} within {bounds[name]:.2g} of theirs, got {errors[name]:.2g}"
    if not reason:
        return VerifyRow(backend, precision, PASS, len(known), equal, errors, bounds)
    reason += f" ({precision} on {backend})"
    return VerifyRow(backend, precision, FAIL, len(known), equal, errors, bounds, reason)


def _largest_error(name: str, pairs: Sequence[tuple[Array, Array]]) -> float:
    """Return the largest relative error of an output, found and expected of each sample.

    Predicted values have units: each column is held against its own largest magnitude, or one of
    small numbers would never be checked beside one of large ones.
    """
    if name == "values" and pairs and all(f.shape == e.shape for f, e in pairs):
        found, expected = (np.stack(side, axis=-1) for side in zip(*pairs, strict=True))
        pairs = list(zip(found, expected, strict=True))
    return max((relative_error(*pair) for pair in pairs), default=0.0)
