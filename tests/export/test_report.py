"""The page: nothing from the network, nothing unescaped, refusals told."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from edgedl.bundle import FileRecord, Given
from edgedl.bundle.manifest import Graph, Manifest, Parent, PrecisionRecord, Refused
from edgedl.export.report import EXTRA_MARK, ReportFacts, Sample, write_demo_report, write_report
from edgedl.spec import ImageSpec, TensorSpec
from edgedl.timing import machine_facts

QUALITY = {
    "exact": 0.9, "exact_low": 0.88, "exact_high": 0.92, "bleu4": 0.7, "cider_d": 4.0, "n": 2000,
}  # fmt: skip


def manifest() -> Manifest:
    io = (TensorSpec(name="x", dtype="float32", shape=("N", 1)),)
    files = {f"graphs/{role}.fp32.onnx" for role in ("encoder", "step")}
    return Manifest(
        name="<b>x</b>",
        task="captioning",
        image_spec=ImageSpec(size_hw=(8, 8)),
        graphs=tuple(
            Graph(
                role=role,
                precision="fp32",
                file=f"graphs/{role}.fp32.onnx",
                inputs=io,
                outputs=io,
                operators={"Conv": 1},
            )
            for role in ("encoder", "step")
        ),
        precisions={"fp32": PrecisionRecord(quality=QUALITY, latency_ms={"onnxruntime": 2.0})},
        files={
            name: FileRecord(sha256="0" * 64, size_bytes=1)
            for name in (*files, "vocab.json", "golden/golden.json")
        },
        parent=Parent(kind="run", sha256="0" * 64),
        created="2026-01-01T00:00:00+00:00",
        refused=(
            Refused(
                precision="int8-cpu", reason="int8-cpu is <slow>", quality={**QUALITY, "exact": 0.8}
            ),
            Refused(precision="fp16", reason="fp16 cannot be made"),
        ),
        machine=machine_facts(),
    )


def facts(rounds: int = 300) -> ReportFacts:
    picture = np.zeros((8, 8, 3), np.uint8)
    return ReportFacts(
        manifest=manifest(),
        times_ms={"fp32": [2.0] * rounds, "int8-cpu": [4.0] * rounds},
        sizes_bytes={"fp32": 3_000_000, "int8-cpu": 1_000_000},
        samples=[
            Sample(
                Given((picture,)), {"fp32": ("a red ring", True), "int8-cpu": ("a <red>", False)}
            )
        ],
        warnings=["only 3 calibration samples"],
        curves_png=b"png",
        max_drop=1.0,
        origin_errors={"logits": 1e-7},
    )


@pytest.fixture
def page(tmp_path: Path) -> str:
    write_report(tmp_path / "report.html", facts())
    return (tmp_path / "report.html").read_text()


def test_needs_no_network(page: str) -> None:
    for word in ("http", "<script", "<link", "@import", "url("):
        assert word not in page


def test_text_is_escaped(page: str) -> None:
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page
    assert "a &lt;red&gt;" in page


def test_refusals_and_warnings_are_told(page: str) -> None:
    assert "int8-cpu is &lt;slow&gt;" in page
    assert "fp16 cannot be made" in page
    assert "only 3 calibration samples" in page
    assert "10.00 points" in page
    assert "1 of 3" in page
    assert "smaller" not in page


def test_numbers_say_n_and_machine(page: str) -> None:
    assert "2000 held-out samples" in page
    assert "88.00 % – 92.00 %" in page
    assert "a p99 needs 662" in page
    assert f"Python {machine_facts()['python']}" in page
    assert "✗" in page


def test_p99_with_enough_samples(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", facts(rounds=662))
    assert "a p99 needs" not in (tmp_path / "report.html").read_text()


def test_demo_report_adds_what_bench_measured(tmp_path: Path, page: str) -> None:
    (tmp_path / "scenes.edge").mkdir()
    (tmp_path / "scenes.edge" / "report.html").write_text(page)
    case = {
        "precision": "int8-cpu",
        "n": 2000,
        "stage_ms": {"decode": 1.0, "preprocess": 0.1, "encode": 0.3, "decode_text": 0.7},
        "latency_ms": {"p50": 2.22, "p90": 2.5, "p99": None},
        "throughput_hz": 441.0,
    }
    latency = {"machine": machine_facts(), "cases": [case]}
    (tmp_path / "latency.json").write_text(json.dumps(latency))
    write_demo_report(tmp_path)
    demo = (tmp_path / "report.html").read_text()
    assert "Frame to caption" in demo
    assert "2.22 ms" in demo
    assert EXTRA_MARK not in demo


def test_what_has_no_interval_shows_none(tmp_path: Path) -> None:
    told = manifest()
    bare = {
        name: dataclasses.replace(
            record, quality={k: v for k, v in record.quality.items() if k in ("exact", "n")}
        )
        for name, record in told.precisions.items()
    }
    told = dataclasses.replace(told, precisions=bare, refused=())
    write_report(tmp_path / "r.html", dataclasses.replace(facts(), manifest=told))
    shown = f"{100 * bare['fp32'].quality['exact']:.2f} %"
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert shown in page
    assert f"{shown} – {shown}" not in page


def test_numbers_of_every_size_can_be_read(tmp_path: Path) -> None:
    """Columns of a table have units of their own."""
    told = manifest()
    record = PrecisionRecord(quality={**QUALITY, "mae_leak": 4.5e-8, "mae_pressure": 1552.43835})
    told = dataclasses.replace(told, precisions={"fp32": record}, refused=())
    write_report(tmp_path / "r.html", dataclasses.replace(facts(), manifest=told))
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert ">4.5e-08<" in page
    assert ">1552<" in page
