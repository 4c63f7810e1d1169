"""What ``make demo`` leaves, held to what the project promises; skipped until it has run."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import edgedl
from edgedl.bundle import tensor_sha256
from edgedl.data.scenes import Scenes, is_exact

DEMO = Path(__file__).parents[2] / "demo"
BUNDLE = DEMO / "scenes.edge"

pytestmark = pytest.mark.skipif(
    not (DEMO / "report.html").exists(), reason="no demo/ here: run make demo first"
)


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    table: dict[str, Any] = json.loads((BUNDLE / "manifest.json").read_text(encoding="utf-8"))
    return table


def edgedl_command(*words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgedl", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def test_the_four_results_are_there() -> None:
    for name in ("scenes.edge/manifest.json", "report.html", "captions.mp4", "latency.json"):
        assert (DEMO / name).stat().st_size > 1000


def test_training_took_at_most_three_minutes() -> None:
    metrics = json.loads((DEMO / "run" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["seconds"] <= 185


def test_quality_of_every_precision_on_held_out_pictures(manifest: dict[str, Any]) -> None:
    quality = {name: record["quality"] for name, record in manifest["precisions"].items()}
    quality |= {r["precision"]: r["quality"] for r in manifest["refused"] if r["quality"]}
    assert set(quality) >= {"fp32", "fp16", "int8-cpu", "int8-trt"}
    assert all(record["n"] >= 2000 for record in quality.values())
    assert quality["fp32"]["exact"] >= 0.90
    for name in ("int8-cpu", "int8-trt"):
        assert quality[name]["exact"] >= quality["fp32"]["exact"] - 0.005, name


def test_the_manifest_does_not_overstate(manifest: dict[str, Any]) -> None:
    """Caption held-out pictures the export did not use, through the public interface only."""
    scenes = Scenes(991, "test")
    count = 300
    with edgedl.load(BUNDLE) as pipeline:
        exact = sum(
            is_exact(pipeline(scenes.picture(i)).text, scenes.scene(i)) for i in range(count)
        )
    claimed = manifest["precisions"][pipeline.precision]["quality"]["exact"]
    sigma = (claimed * (1 - claimed) / count) ** 0.5
    assert exact / count >= claimed - 4 * sigma


@pytest.mark.rtx
def test_rtx_engines_are_real_and_say_what_they_were_built_from(manifest: dict[str, Any]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx is not installed")
    engines = {engine["role"]: engine for engine in manifest["engines"]}
    assert set(engines) == {"encoder", "step"}
    for role, engine in engines.items():
        assert (BUNDLE / engine["file"]).stat().st_size > 50_000
        sidecar = json.loads((BUNDLE / engine["file"]).with_suffix(".json").read_text())
        graph = BUNDLE / "graphs" / f"{role}.fp16.onnx"
        digest = hashlib.sha256(graph.read_bytes()).hexdigest()
        assert digest in json.dumps(sidecar)
        assert engine["precision"] == "fp16"


def test_training_golden_set_and_runtime_see_the_same_tensor() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from edgedl.train.captioning import to_tensor  # noqa: PLC0415 - needs torch
    from edgedl.train.run_folder import Run  # noqa: PLC0415

    run, bundle = Run.open(DEMO / "run"), edgedl.Bundle.open(BUNDLE)
    assert run.spec == bundle.spec
    preprocess = edgedl.Preprocessor(bundle.spec)
    for sample in bundle.golden():
        at_runtime = preprocess(sample.given.pictures[0])
        in_training = to_tensor(preprocess, [sample.given.pictures[0]])
        np.testing.assert_array_equal(np.asarray(in_training), at_runtime)
        assert tensor_sha256(at_runtime) == sample.input_sha256


def test_captions_video_can_be_watched() -> None:
    with av.open(str(DEMO / "captions.mp4")) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) >= 150
    assert stream.codec_context.name == "h264"
    assert any((a != b).any() for a, b in pairwise(frames))


def test_latency_file_has_every_stage() -> None:
    table = json.loads((DEMO / "latency.json").read_text(encoding="utf-8"))
    assert table["machine"]["cpu"]
    assert {case["precision"] for case in table["cases"]} >= {"fp32"}
    for case in table["cases"]:
        assert set(case["stage_ms"]) == {"decode", "preprocess", "encode", "decode_text"}
        assert all(value > 0 for value in case["stage_ms"].values())
        assert case["latency_ms"]["p50"] <= case["latency_ms"]["p90"]
        assert (case["latency_ms"]["p99"] is None) == (case["n"] < 662)


def test_a_real_clip_gives_one_line_per_frame() -> None:
    data = os.environ.get("EDGEDL_DATA")
    if not data:
        pytest.skip("EDGEDL_DATA is not set: no real clip")
    clip = Path(data) / "mmaction_video" / "demo" / "demo.mp4"
    done = edgedl_command("run", str(BUNDLE), str(clip), "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 280
    assert all(isinstance(line["text"], str) and line["text"] for line in lines)


def test_verify_passes() -> None:
    done = edgedl_command("verify", str(BUNDLE), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout
    assert "FAIL" not in done.stdout


def test_report_needs_no_network() -> None:
    html = (DEMO / "report.html").read_text(encoding="utf-8")
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
    assert "<script src" not in html
