"""Everything of a bundle beside the graphs: golden set, report, and last of all the manifest."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl import timing
from edgedl.bundle import Given, GoldenSample, list_files, tensor_sha256, write_golden
from edgedl.bundle.files import MAX_FILES
from edgedl.bundle.manifest import (
    INT8,
    Calibration,
    Engine,
    Graph,
    LayerRecord,
    Manifest,
    PrecisionRecord,
    Quantization,
    Refused,
    TryRecord,
)
from edgedl.errors import BundleError
from edgedl.export.graph_file import read_facts
from edgedl.export.pack_step import packed_facts
from edgedl.export.replay import margin
from edgedl.export.report import ReportFacts, Sample, write_report
from edgedl.shrink import shrunk
from edgedl.vocab import Vocab, labels_json

if TYPE_CHECKING:
    from edgedl.evaluate import Measurement
    from edgedl.export.job import Candidate, Job
    from edgedl.export.quantize import Recipe
    from edgedl.export.search import Search
    from edgedl.spec import ModelSpec

GOLDEN = 8
SAMPLES = 12

_OTHER_FILES = 64  # graphs, engines and tables, with room to spare
_GOLDEN_FROM = 200  # held-out samples the golden ones are chosen from
_GOLDEN_PX = 1024  # longest side of a picture
_BACKEND = "onnxruntime"
# Arm and GPUs compute fp16 in fp16, x86 in fp32: 5.3e-3 was seen between the two.
_FLOORS = {"fp32": 1e-4, "fp16": 2e-2, "bf16": 5e-2, **dict.fromkeys(INT8, 2e-2)}
_TEXTS_EQUAL = {"fp32": 1.0, "fp16": 1.0, "bf16": 0.75, **dict.fromkeys(INT8, 0.75)}


def golden_count(spec: ModelSpec) -> int:
    """Return how many golden samples a bundle gets: fewer where they are long clips.

    Raises:
        BundleError: E406 not even one fits into a bundle.
    """
    pictures = spec.clip.frames if spec.clip else 1
    room = MAX_FILES - _OTHER_FILES
    count = min(GOLDEN, room // (pictures + 1))
    if not count:
        msg = (
            f"one golden sample would be {pictures} pictures, a bundle has room for {room - 1}; "
            "train on clips of fewer frames, e.g. --set data.frames=64"
        )
        raise BundleError("E406", msg)
    return count


def assemble(
    job: Job, candidates: Sequence[Candidate], engines: Sequence[Engine], name: str
) -> None:
    """Complete the bundle in ``job.folder``; the manifest is written last."""
    kept = [candidate for candidate in candidates if not candidate.problem]
    job.say("writing golden samples, the report and the manifest")
    write_golden(job.folder / "golden", _golden(job, [c.precision for c in kept]))
    if job.spec.tokens:
        text = Vocab(job.spec.tokens).to_json()
        (job.folder / "vocab.json").write_text(text, encoding="utf-8")
    if job.spec.labels:
        text = labels_json(job.spec.labels)
        (job.folder / "labels.json").write_text(text, encoding="utf-8")
    manifest = _manifest(job, candidates, engines, name)
    write_report(job.folder / "report.html", _report_facts(job, candidates, manifest))
    manifest = dataclasses.replace(manifest, files=list_files(job.folder))
    (job.folder / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")


def _golden(job: Job, precisions: Sequence[str]) -> list[GoldenSample]:
    """Choose samples whose answers hang on no tie in any precision, and answer them."""
    samples = job.reported
    count = min(_GOLDEN_FROM, len(samples))
    rows = [i * len(samples) // count for i in range(count)]  # files may be sorted by class
    with ExitStack() as stack:
        models = {p: stack.enter_context(job.open(p)) for p in precisions}
        first = next(iter(models.values()))
        tensors = [first.prepare(_small(samples.inputs(row))) for row in rows]
        clear = [min(margin(m, tensor) for m in models.values()) for tensor in tensors]
        best = sorted(range(count), key=clear.__getitem__)[-golden_count(job.spec) :]
        return [
            GoldenSample(
                name=f"{number:02}",
                given=_small(samples.inputs(rows[index])),
                input_sha256=tensor_sha256(tensors[index]),
                expected={p: model.expect(tensors[index]) for p, model in models.items()},
            )
            for number, index in enumerate(sorted(best))
        ]


def _small(given: Given) -> Given:
    """Return a sample whose pictures are no larger than need be: a bundle carries them as PNG."""
    small = tuple(shrunk(picture, _GOLDEN_PX) for picture in given.pictures)
    return dataclasses.replace(given, pictures=small)


def _manifest(
    job: Job, candidates: Sequence[Candidate], engines: Sequence[Engine], name: str
) -> Manifest:
    fp32 = candidates[0].quality
    assert fp32 is not None
    kept = [candidate for candidate in candidates if not candidate.problem]
    machine = timing.machine_facts()
    return Manifest(
        name=name,
        task=job.spec.task,
        image_spec=job.spec.image,
        clip=job.spec.clip,
        text=job.spec.text,
        series=job.spec.series,
        data=_plain(job.origin.data),
        graphs=tuple(_graph(job, role, c.precision) for c in kept for role in job.spec.roles),
        precisions={c.precision: _record(job, c, fp32) for c in kept},
        files=list_files(job.folder),
        parent=job.origin.parent,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        decode=job.decode,
        refused=tuple(_refusal(c) for c in candidates if c.problem),
        calibration=_calibration(job, candidates),
        quantization={c.precision: _quantization(c.search) for c in candidates if c.search},
        engines=tuple(engines),
        missing_engines=job.missing_engines,
        versions=machine["packages"],
        machine=machine,
        licences=job.origin.licences,
    )


def _graph(job: Job, role: str, precision: str) -> Graph:
    path = job.path(role, precision)
    facts = read_facts(path) if path.suffix == ".onnx" else packed_facts(path)
    return Graph(
        role=role,
        precision=precision,
        file=path.relative_to(job.folder).as_posix(),
        inputs=facts.inputs,
        outputs=facts.outputs,
        operators=facts.operators,
    )


def _record(job: Job, candidate: Candidate, fp32: Measurement) -> PrecisionRecord:
    """Return what the manifest says of a precision that is written.

    Another processor rounds otherwise. It may differ from this machine by at most twice what this
    precision differs from fp32: that much was just measured to be harmless.
    """
    assert candidate.quality is not None
    floor = _FLOORS[candidate.precision]
    return PrecisionRecord(
        quality=dict(candidate.quality.metrics),
        drop_points=job.metric.drop(candidate.quality.main, fp32.main),
        latency_ms=_latency(candidate),
        error_bounds={name: max(floor, 2 * error) for name, error in candidate.errors.items()},
        texts_equal=_TEXTS_EQUAL[candidate.precision],
    )


def _refusal(candidate: Candidate) -> Refused:
    return Refused(
        precision=candidate.precision,
        reason=str(candidate.problem),
        quality=dict(candidate.quality.metrics) if candidate.quality else {},
        latency_ms=_latency(candidate),
    )


def _latency(candidate: Candidate) -> dict[str, float]:
    return {_BACKEND: statistics.median(candidate.times_ms)} if candidate.times_ms else {}


def _calibration(job: Job, candidates: Sequence[Candidate]) -> Calibration | None:
    used = {c.precision: c.search.recipe for c in candidates if c.search}
    if not used:
        return None
    made_up = "" if job.origin.is_sampled else "made up of random numbers; "
    return Calibration(
        method=made_up + "; ".join(f"{p}: {_method(job, p, recipe)}" for p, recipe in used.items()),
        n=len(job.calibration.tensors),
        sha256=job.calibration.sha256,
    )


def _quantization(search: Search) -> Quantization:
    """Return what was looked at as the manifest has it."""
    tries = [
        TryRecord(recipe=str(t.recipe), error=t.error, lost=t.lost, speedup=t.speedup)
        for t in search.tries
    ]
    layers = [
        LayerRecord(
            role=layer.place[0],
            node=layer.place[1],
            operator=layer.operator,
            error=layer.error,
            extent=layer.extent or (),
            bulk=layer.bulk or (),
            in_float=layer.place in search.recipe.in_float,
        )
        for layer in search.layers
    ]
    return Quantization(recipe=str(search.recipe), tries=tuple(tries), layers=tuple(layers))


def _method(job: Job, precision: str, recipe: Recipe) -> str:
    """Return a recipe in words, and which graphs it found no ranges for."""
    graphs = job.prepared.items()
    roles = [role for role, graph in graphs if graph.finds_ranges_as_it_runs(precision)]
    rest = [] if recipe.method == "weights only" else [f"{role}: weights only" for role in roles]
    return ", ".join([str(recipe), *rest])


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's section as JSON has it."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in table.items()}


def _report_facts(job: Job, candidates: Sequence[Candidate], manifest: Manifest) -> ReportFacts:
    return ReportFacts(
        manifest=manifest,
        times_ms={c.precision: c.times_ms for c in candidates if c.times_ms},
        sizes_bytes={c.precision: c.size_bytes for c in candidates},
        samples=_samples(job, candidates),
        warnings=_warnings(job, manifest),
        curves_png=job.origin.curves_png,
        max_drop=job.options.max_drop,
        origin_errors=job.origin_errors,
    )


def _warnings(job: Job, manifest: Manifest) -> list[str]:
    """Return what a reader should know first."""
    missing = [f"no engine for {target}: {why}" for target, why in manifest.missing_engines.items()]
    return [*missing, *(job.calibration.warnings if manifest.calibration else ())]


def _samples(job: Job, candidates: Sequence[Candidate]) -> list[Sample]:
    """Return the first samples and then, if there are any, some where precisions disagree."""
    shown = ("fp32", "int8-cpu", "int8-packed", "int8-trt")
    told = {c.precision: c.quality for c in candidates if c.quality and c.precision in shown}
    right = {name: job.reported.hits(quality) for name, quality in told.items()}
    if not right["fp32"]:
        return []
    count = len(job.reported)
    every = max(1, count // SAMPLES)
    spread = list(range(0, count, every))[: SAMPLES - 3]
    unlike = [i for i in range(count) if len({hits[i] for hits in right.values()}) > 1]
    rows = spread + [i for i in unlike if i not in spread][: SAMPLES - len(spread)]
    return [
        Sample(
            given=job.reported.inputs(row),
            answers={
                name: (_answer(job, quality.outputs[row]), right[name][row])
                for name, quality in told.items()
            },
        )
        for row in rows
    ]


def _answer(job: Job, output: object) -> str:
    """Return an output in words."""
    if isinstance(output, int | np.integer):
        return job.spec.labels[int(output)]
    return str(output)
