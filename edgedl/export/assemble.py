"""Everything of a bundle beside the graphs: golden set, report, and last of all the manifest."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edgedl import timing
from edgedl.bundle import Given, GoldenSample, list_files, sha256_file, tensor_sha256, write_golden
from edgedl.bundle.manifest import (
    Calibration,
    DecodeOptions,
    Engine,
    Graph,
    Manifest,
    Parent,
    PrecisionRecord,
    Refused,
)
from edgedl.export import gate
from edgedl.export.evaluate import HeldOut, expect, margin
from edgedl.export.report import ReportFacts, Sample, write_report
from edgedl.export.to_onnx import ROLES, read_facts

if TYPE_CHECKING:
    from edgedl.export.job import Candidate, Job

GOLDEN = 8
COMPARED = ("features", "logits")
SAMPLES = 12

_GOLDEN_FROM = 200  # held-out pictures the golden ones are chosen from
_BACKEND = "onnxruntime"
_FLOORS = {"fp32": 1e-4, "fp16": 5e-3, "int8-cpu": 2e-2, "int8-trt": 2e-2}
_TEXTS_EQUAL = {"fp32": 1.0, "fp16": 1.0, "int8-cpu": 0.75, "int8-trt": 0.75}


def assemble(
    job: Job, candidates: Sequence[Candidate], engines: Sequence[Engine], name: str
) -> None:
    """Complete the bundle in ``job.folder``; the manifest is written last."""
    kept = [candidate for candidate in candidates if not candidate.problem]
    job.say(f"writing {GOLDEN} golden pictures, the report and the manifest")
    write_golden(job.folder / "golden", _golden(job, [c.precision for c in kept]))
    (job.folder / "vocab.json").write_text(job.run.vocab.to_json(), encoding="utf-8")
    manifest = _manifest(job, candidates, engines, name)
    write_report(job.folder / "report.html", _report_facts(job, candidates, manifest))
    manifest = dataclasses.replace(manifest, files=list_files(job.folder))
    (job.folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")


def _golden(job: Job, precisions: Sequence[str]) -> list[GoldenSample]:
    """Choose pictures whose captions hang on no tie in any precision, and caption them."""
    pictures = job.reported
    tensors = [tensor[None] for tensor in pictures.tensors[:_GOLDEN_FROM]]
    with ExitStack() as stack:
        sessions = {p: stack.enter_context(job.open(p)) for p in precisions}
        clear = [min(margin(s, tensor) for s in sessions.values()) for tensor in tensors]
        best = sorted(range(len(tensors)), key=clear.__getitem__)[-GOLDEN:]
        return [
            GoldenSample(
                name=f"{number:02}",
                given=Given((pictures.frames[index],)),
                input_sha256=tensor_sha256(tensors[index]),
                expected={p: expect(s, tensors[index]) for p, s in sessions.items()},
            )
            for number, index in enumerate(sorted(best))
        ]


def _manifest(
    job: Job, candidates: Sequence[Candidate], engines: Sequence[Engine], name: str
) -> Manifest:
    fp32 = candidates[0].quality
    assert fp32 is not None
    kept = [candidate for candidate in candidates if not candidate.problem]
    machine = timing.machine_facts()
    return Manifest(
        name=name,
        task="captioning",
        image_spec=job.run.spec,
        data=job.run.recipe.get("data", {}),
        graphs=tuple(_graph(job, role, c.precision) for c in kept for role in ROLES),
        precisions={c.precision: _record(c, fp32.exact) for c in kept},
        files=list_files(job.folder),
        parent=Parent(kind="run", sha256=sha256_file(job.run.path / "weights.safetensors")),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        decode=DecodeOptions(max_tokens=job.max_tokens),
        refused=tuple(_refusal(c) for c in candidates if c.problem),
        calibration=_calibration(job, candidates),
        engines=tuple(engines),
        versions=machine["packages"],
        machine=machine,
        licences=tuple(job.run.data.get("licences", ())),
    )


def _graph(job: Job, role: str, precision: str) -> Graph:
    path = job.path(role, precision)
    facts = read_facts(path)
    return Graph(
        role=role,
        precision=precision,
        file=path.relative_to(job.folder).as_posix(),
        inputs=facts.inputs,
        outputs=facts.outputs,
        operators=facts.operators,
    )


def _record(candidate: Candidate, of_fp32: float) -> PrecisionRecord:
    """Return what the manifest says of a precision that is written.

    Another processor rounds otherwise. It may differ from this machine by at most twice what this
    precision differs from fp32: that much was just measured to be harmless.
    """
    assert candidate.quality is not None
    floor = _FLOORS[candidate.precision]
    return PrecisionRecord(
        quality=candidate.quality.to_dict(),
        drop_points=gate.drop_points(candidate.quality.exact, of_fp32),
        latency_ms=_latency(candidate),
        error_bounds={name: max(floor, 2 * candidate.errors[name]) for name in COMPARED},
        texts_equal=_TEXTS_EQUAL[candidate.precision],
    )


def _refusal(candidate: Candidate) -> Refused:
    return Refused(
        precision=candidate.precision,
        reason=str(candidate.problem),
        quality=candidate.quality.to_dict() if candidate.quality else {},
        latency_ms=_latency(candidate),
    )


def _latency(candidate: Candidate) -> dict[str, float]:
    return {_BACKEND: statistics.median(candidate.times_ms)} if candidate.times_ms else {}


def _calibration(job: Job, candidates: Sequence[Candidate]) -> Calibration | None:
    used = {c.precision: str(c.recipe) for c in candidates if c.recipe}
    if not used:
        return None
    return Calibration(
        method="; ".join(f"{precision}: {recipe}" for precision, recipe in used.items()),
        n=len(job.calibration.tensors),
        sha256=job.calibration.sha256,
    )


def _report_facts(job: Job, candidates: Sequence[Candidate], manifest: Manifest) -> ReportFacts:
    curves = job.run.path / "curves.png"
    texts = {c.precision: c.quality.texts for c in candidates if c.quality}
    return ReportFacts(
        manifest=manifest,
        times_ms={c.precision: c.times_ms for c in candidates if c.times_ms},
        sizes_bytes={c.precision: c.size_bytes for c in candidates},
        samples=_samples(job.reported, texts),
        warnings=job.calibration.warnings if manifest.calibration else (),
        curves_png=curves.read_bytes() if curves.is_file() else None,
        max_drop_points=job.options.max_drop_points,
        torch_errors=job.torch_errors,
    )


def _samples(pictures: HeldOut, texts: dict[str, tuple[str, ...]]) -> list[Sample]:
    """Return the first pictures and then, if there are any, some where precisions disagree."""
    names = [name for name in ("fp32", "int8-cpu", "int8-trt") if name in texts]
    right = {name: pictures.hits(texts[name]) for name in names}
    first = list(range(min(SAMPLES - 3, len(pictures))))
    rest = range(len(first), len(pictures))
    unlike = [i for i in rest if len({right[name][i] for name in names}) > 1][:3]
    shown = first + unlike + [i for i in rest if i not in unlike][: SAMPLES - len(first + unlike)]
    return [
        Sample(
            picture=pictures.frames[index],
            captions={name: (texts[name][index], right[name][index]) for name in names},
        )
        for index in shown
    ]
