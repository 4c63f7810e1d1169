"""From a run to a bundle: what is written, what is refused, and that failures leave nothing."""

import dataclasses
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tiny_kinds import FADES

from edgedl.bundle import Bundle, pack
from edgedl.bundle.explain import explain
from edgedl.data.scenes import Scenes
from edgedl.engines import tensorrt_api
from edgedl.errors import BundleError, DataError, MachineError, MissingDependencyError
from edgedl.evaluate import Measurement
from edgedl.export import ExportOptions, export, gate, pipeline, search
from edgedl.export.job import Job
from edgedl.export.quantize import Prepared, Recipe
from edgedl.export.ranges import METHODS
from edgedl.metrics.interval import wilson
from edgedl.models.weights import save_weights
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify
from edgedl.spec import ClipSpec
from edgedl.train.run_folder import Run

QUICK = ExportOptions(held_out=16, calibration=8, rounds=30)
Exact = Callable[..., None]


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Let fp32 take 2 ms, int8-cpu 1 and int8-packed 0.5, whatever this machine does."""
    medians = {"fp32": 2.0, "int8-cpu": 1.0, "int8-packed": 0.5}

    def timed(candidates: Any, _tensors: Any, rounds: int, **_: int) -> dict[str, list[float]]:
        return {name: [medians[name]] * rounds for name in candidates}

    for module in (pipeline, search):
        monkeypatch.setattr(module, "time_answers", timed)
    return medians


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> Exact:
    """Return a function that fixes the exact match of precisions."""

    def fix(**of: float) -> None:
        def judge(_job: Job, precision: str, samples: Any, *_opened: Any) -> Measurement:
            share = of.get(precision.replace("-", "_"), of.get("fp32", 0.9))
            n = len(samples)
            low, high = wilson(round(share * n), n)
            metrics = {"exact": share, "exact_low": low, "exact_high": high, "n": n}
            return Measurement("captioning", "test", n, metrics, [""] * n)

        monkeypatch.setattr(Job, "judge", judge)

    return fix


@pytest.fixture
def quick_int8(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Copy fp32 instead of quantising; the list tells which recipes were asked for."""
    asked: list[tuple[str, str]] = []

    def write(precision: str, prepared: Prepared, out: Path, recipe: Recipe) -> None:
        if prepared.role == "encoder":
            asked.append((precision, str(recipe)))
        onnx.save(prepared.model, out)

    monkeypatch.setattr(search, "write_int8", write)
    return asked


@pytest.fixture(scope="module")
def bundle(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Export once, with nothing replaced, for all tests that only look."""
    options = dataclasses.replace(QUICK, max_drop=100.0, precision="auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "speed_problem", lambda *_: None)
        return export(run_folder, tmp_path_factory.mktemp("bundles") / "tiny.edge", options)


def test_all_precisions_of_both_roles(bundle: Bundle) -> None:
    assert bundle.precisions == ("fp32", "fp16", "int8-cpu", "int8-packed", "int8-trt")
    names = {graph.file for graph in bundle.manifest.graphs}
    assert names == {"graphs/step.int8-packed.safetensors"} | {
        f"graphs/{role}.{precision}.onnx"
        for role in ("encoder", "step")
        for precision in ("fp32", "fp16", "int8-cpu", "int8-trt")
    }
    assert bundle.graph("encoder", "int8-packed") == bundle.graph("encoder", "int8-cpu")
    for precision in bundle.precisions[:-1]:
        assert bundle.find_graph("step", precision).inputs == bundle.manifest.graphs[1].inputs


def test_manifest_tells_where_it_came_from(bundle: Bundle) -> None:
    manifest = bundle.manifest
    assert manifest.name == "tiny"
    assert manifest.parent.kind == "run"
    assert manifest.calibration is not None
    assert manifest.calibration.n == 8
    method = manifest.calibration.method
    assert re.fullmatch(r"int8-cpu: \w+, step: weights only; int8-trt: \w+", method)
    for precision in ("int8-cpu", "int8-trt"):
        assert manifest.quantization[precision].recipe in method
    assert manifest.precisions["fp32"].quality["n"] == 16
    assert manifest.precisions["int8-cpu"].latency_ms["onnxruntime"] > 0
    assert manifest.precisions["fp16"].latency_ms == {}
    assert manifest.machine["packages"] == manifest.versions
    assert manifest.refused == ()


def test_a_packed_step_is_used_where_it_lies(bundle: Bundle, tmp_path: Path) -> None:
    pack(bundle, tmp_path / "tiny.zip")
    picture = np.zeros((30, 30, 3), np.uint8)
    with load(bundle.path, precision="int8-packed") as pipeline:
        assert "step.int8-packed.safetensors" in Path("/proc/self/maps").read_text()
        wanted = pipeline(picture)
    with load(tmp_path / "tiny.zip", precision="int8-packed") as pipeline:
        assert str(tmp_path / "tiny.zip") in Path("/proc/self/maps").read_text()
        found = pipeline(picture)
    assert (found.text, found.log_prob) == (wanted.text, wanted.log_prob)


def test_bundle_proves_itself(bundle: Bundle) -> None:
    report = verify(bundle.path)
    assert report.passed, report


def test_golden_pictures_are_larger_than_the_input(bundle: Bundle) -> None:
    golden = bundle.golden()
    assert len(golden) == 8
    for sample in golden:
        assert sample.given.pictures[0].shape == (40, 40, 3)
        assert set(sample.expected) == set(bundle.precisions)


def test_bf16_is_judged_by_its_rounding_and_left_to_gpus(run_folder: Path, tmp_path: Path) -> None:
    options = dataclasses.replace(QUICK, max_drop=100.0, precision="bf16")
    said: list[str] = []
    bundle = export(run_folder, tmp_path / "b.edge", options, said.append)
    assert bundle.precisions == ("fp32", "bf16")
    names = {path.name for path in (bundle.path / "graphs").iterdir()}
    assert names == {f"{role}.{p}.onnx" for role in ("encoder", "step") for p in bundle.precisions}
    record = bundle.manifest.precisions["bf16"]
    assert min(record.error_bounds.values()) >= 5e-2
    for sample in bundle.golden():
        exact, found = (sample.expected[p].arrays["features"] for p in ("fp32", "bf16"))
        assert 1e-4 < np.abs(found - exact).max() / np.abs(exact).max() < 5e-2
    assert "bf16 graphs run as TensorRT engines only" in verify(bundle.path).rows[-1].reason
    with pytest.raises(BundleError, match="engines only, ONNX Runtime on a CPU cannot") as caught:
        load(bundle.path, precision="bf16")
    assert caught.value.code == "E412"
    assert "bf16: written; it loses nothing, judged by its rounding" in explain(bundle.manifest)[1]
    assert "judged by its rounding" in (bundle.path / "report.html").read_text(encoding="utf-8")


def test_bf16_without_a_product_is_refused(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "to_bfloat", lambda *_: 0)
    options = dataclasses.replace(QUICK, precision="bf16")
    with pytest.raises(BundleError, match="bf16 has nothing to gain") as caught:
        export(run_folder, tmp_path / "b.edge", options)
    assert caught.value.code == "E445"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-cpu", "int8-packed", "int8-trt"])
def test_a_camera_says_what_the_export_said(bundle: Bundle, precision: str) -> None:
    with load(bundle.path, precision=precision) as captions:
        for sample in bundle.golden():
            expected = sample.expected[precision]
            result = captions(sample.given.pictures[0])
            assert result.text == expected.text
            assert result.log_prob == pytest.approx(expected.output["log_prob"], abs=1e-4)


def test_report_is_self_contained(bundle: Bundle) -> None:
    page = (bundle.path / "report.html").read_text()
    assert "http" not in page
    assert 'src="data:image/jpeg' in page
    for precision in bundle.precisions:
        assert precision in page


def test_report_says_how_far_the_graphs_are_from_pytorch(bundle: Bundle) -> None:
    assert "fp32 graphs against PyTorch" in (bundle.path / "report.html").read_text()


def test_too_few_calibration_pictures_are_told(bundle: Bundle) -> None:
    assert "only 8 calibration samples" in (bundle.path / "report.html").read_text()


@pytest.mark.usefixtures("quick_int8")
def test_auto_leaves_out_what_loses_too_much_or_is_slower(
    run_folder: Path, tmp_path: Path, exact: Exact, steady_clock: dict[str, float]
) -> None:
    exact(fp32=0.95, int8_trt=0.93, int8_cpu=0.945)
    steady_clock |= {"int8-cpu": 2.5, "int8-packed": 2.1}
    made = export(run_folder, tmp_path / "x.edge", QUICK)
    assert made.precisions == ("fp32", "fp16")
    slower, _, worse = made.manifest.refused
    assert (slower.precision, worse.precision) == ("int8-cpu", "int8-trt")
    assert "93.00 %" in worse.reason
    assert "95.00 %" in worse.reason
    assert worse.quality["exact"] == 0.93
    assert "2.500 ms" in slower.reason
    assert "2.000 ms" in slower.reason
    assert slower.latency_ms == {"onnxruntime": 2.5}
    assert not list((made.path / "graphs").glob("*int8*"))
    page = (made.path / "report.html").read_text()
    assert slower.reason in page
    assert worse.reason in page


@pytest.mark.parametrize("family", ["auto", "int8"])
def test_a_packed_step_is_refused_where_it_is_slower_than_the_graph(
    run_folder: Path, tmp_path: Path, steady_clock: dict[str, float], family: str
) -> None:
    steady_clock["int8-packed"] = 1.25
    options = dataclasses.replace(QUICK, max_drop=100.0, precision=family)
    made = export(run_folder, tmp_path / "x.edge", options)
    (refused,) = made.manifest.refused
    assert refused.precision == "int8-packed"
    assert refused.reason == (
        "int8-packed takes 1.250 ms on this machine, int8-cpu takes 1.000 ms: nothing is won"
    )
    assert "int8-cpu" in made.precisions
    assert not list((made.path / "graphs").glob("*packed*"))


def test_a_packed_step_keeps_the_encoder_of_a_graph_that_is_too_slow(
    run_folder: Path, tmp_path: Path, steady_clock: dict[str, float]
) -> None:
    steady_clock["int8-cpu"] = 2.5
    options = dataclasses.replace(QUICK, max_drop=100.0)
    made = export(run_folder, tmp_path / "x.edge", options)
    assert made.precisions == ("fp32", "fp16", "int8-packed", "int8-trt")
    assert not (made.path / "graphs" / "step.int8-cpu.onnx").exists()
    with load(made.path) as captions:
        assert captions.precision == "int8-packed"
    assert verify(made.path).passed


@pytest.mark.usefixtures("quick_int8")
def test_int8_asked_for_by_name_may_be_slower_but_not_worse(
    run_folder: Path, tmp_path: Path, exact: Exact, steady_clock: dict[str, float]
) -> None:
    exact(fp32=0.95, int8_cpu=0.94)
    steady_clock["int8-cpu"] = 2.5
    options = dataclasses.replace(QUICK, precision="int8")
    made = export(run_folder, tmp_path / "x.edge", options)
    assert made.precisions == ("fp32", "int8-cpu", "int8-trt")
    assert made.manifest.precisions["int8-cpu"].drop_points == pytest.approx(1.0)
    options = dataclasses.replace(options, max_drop=0.9)
    with pytest.raises(BundleError, match=r"94\.00 % .* 95\.00 %.*; nothing was written"):
        export(run_folder, tmp_path / "y.edge", options)
    assert not (tmp_path / "y.edge").exists()


def test_by_name_the_gate_fails_the_export(run_folder: Path, tmp_path: Path, exact: Exact) -> None:
    exact(fp32=0.9, fp16=0.88)
    options = dataclasses.replace(QUICK, precision="fp16")
    with pytest.raises(BundleError, match=r"fp16 .* 88\.00 %.* nothing was written") as caught:
        export(run_folder, tmp_path / "x.edge", options)
    assert (caught.value.code, caught.value.exit_code) == ("E441", 4)
    assert list(tmp_path.iterdir()) == []


def test_int8_that_loses_much_is_made_more_carefully(
    run_folder: Path, tmp_path: Path, exact: Exact, quick_int8: list[tuple[str, str]]
) -> None:
    exact(fp32=0.9, int8_cpu=0.8965, int8_trt=0.8995)
    made = export(run_folder, tmp_path / "x.edge", QUICK)
    compared = list(METHODS)  # by their outputs, before any is judged; equally good here
    assert [r for p, r in quick_int8 if p == "int8-trt"] == [*compared, "minmax"]
    recipes = [r for p, r in quick_int8 if p == "int8-cpu"]
    assert recipes[:8] == compared + compared
    alike = [f"{method}, channels equalized" for method in compared]
    assert recipes[8:16] == alike + alike
    assert all("layers in float" in recipe for recipe in recipes[16:-1])
    assert len(recipes) > 16 + 1 + 1
    assert made.manifest.calibration is not None
    assert f"int8-cpu: {recipes[-1]}" in made.manifest.calibration.method


@pytest.mark.usefixtures("quick_int8")
def test_fp32_is_measured_once_on_what_settings_are_chosen_by(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact: Exact
) -> None:
    exact(fp32=0.9, int8_cpu=0.89, int8_trt=0.89)
    judge, judged = Job.judge, []

    def counted(job: Job, precision: str, samples: Any, *opened: Any) -> Measurement:
        judged.append((precision, samples.split))
        return judge(job, precision, samples, *opened)

    monkeypatch.setattr(Job, "judge", counted)
    export(run_folder, tmp_path / "x.edge", QUICK)
    assert judged.count(("fp32", "val")) == judged.count(("fp32", "test")) == 1
    assert judged.count(("int8-trt", "val")) > 1


@pytest.mark.usefixtures("quick_int8")
def test_a_precision_that_cannot_be_made_is_refused(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise BundleError("E417", "a weight is too large")

    monkeypatch.setattr(pipeline, "to_half", broken)
    made = export(run_folder, tmp_path / "x.edge", QUICK)
    refused = made.manifest.refused[0]
    assert (refused.precision, refused.reason) == ("fp16", "a weight is too large")
    options = dataclasses.replace(QUICK, precision="fp16")
    with pytest.raises(BundleError, match="too large"):
        export(run_folder, tmp_path / "y.edge", options)


def test_an_existing_bundle_stays(bundle: Bundle, run_folder: Path) -> None:
    before = (bundle.path / "manifest.json").read_bytes()
    with pytest.raises(BundleError) as caught:
        export(run_folder, bundle.path, QUICK)
    assert caught.value.code == "E432"
    assert (bundle.path / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("stage", ["_measure_speed", "assemble"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_leaves_nothing(
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: type[BaseException],
) -> None:
    def stop(*_: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, stage, stop)
    options = dataclasses.replace(QUICK, precision="fp32")
    with pytest.raises(error):
        export(run_folder, tmp_path / "x.edge", options)
    assert list(tmp_path.iterdir()) == []


def test_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with pytest.raises(BundleError, match=r"is not a run.*--out run$") as caught:
        export(tmp_path / "other", tmp_path / "x.edge", QUICK)
    assert caught.value.code == "E400"
    (tmp_path / "other" / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match="is not a run, but a bundle; give the run") as caught:
        export(tmp_path / "other", tmp_path / "x.edge", QUICK)
    assert caught.value.code == "E400"
    assert not (tmp_path / "x.edge").exists()


def test_no_rtx_package_is_said_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    options = dataclasses.replace(QUICK, targets=("cpu", "rtx"))
    with pytest.raises(MissingDependencyError, match=r"pip install 'edgedl\[rtx\]'") as caught:
        export(tmp_path / "no run", tmp_path / "x.edge", options)
    assert caught.value.code == "E600"
    assert list(tmp_path.iterdir()) == []


def test_here_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorrt_api, "gpu_problem", lambda: "no driver")
    options = dataclasses.replace(QUICK, targets=("here",))
    with pytest.raises(MachineError, match="the GPU of this machine: no driver") as caught:
        export(tmp_path / "no run", tmp_path / "x.edge", options)
    assert caught.value.code == "E601"


@pytest.mark.rtx
@pytest.mark.parametrize(
    ("family", "source"), [("fp16", "fp16"), ("bf16", "bf16"), ("int8", "int8-trt")]
)
def test_engines_for_rtx(run_folder: Path, tmp_path: Path, family: str, source: str) -> None:
    pytest.importorskip("tensorrt_rtx", reason="pip install 'edgedl[rtx]'")
    options = dataclasses.replace(QUICK, targets=("rtx",), precision=family, max_drop=100.0)
    made = export(run_folder, tmp_path / "x.edge", options)
    assert [(e.role, e.precision) for e in made.manifest.engines] == [
        ("encoder", source),
        ("step", source),
    ]
    for engine in made.manifest.engines:
        sidecar = json.loads(made.read(engine.file.replace(".engine", ".json")))
        graph = f"graphs/{engine.role}.{source}.onnx"
        assert sidecar["graph_sha256"] == made.manifest.files[graph].sha256
        assert sidecar["engine_sha256"] == made.manifest.files[engine.file].sha256
        assert sidecar["role"] == engine.role
    verify(made.path).check()


def test_progress_is_passed_on_now_and_then() -> None:
    told: list[float] = []
    progress = pipeline._now_and_then(told.append, every_s=1e9)
    progress(0.5)
    assert told == []
    progress = pipeline._now_and_then(told.append, every_s=0.0)
    progress(0.5)
    assert told == [0.5]


def test_flat_calibration_fails_the_export(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = np.full((40, 40, 3), 9, np.uint8)
    monkeypatch.setattr(Scenes, "picture", lambda *_: flat)
    with pytest.raises(DataError, match="single colour"):
        export(run_folder, tmp_path / "x.edge", QUICK)
    assert list(tmp_path.iterdir()) == []


def test_nothing_held_out_is_said_before_any_work(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    (tmp_path / "run" / "recipe.toml").write_text(recipe.replace("test = 24", "test = 0"))
    said: list[str] = []
    with pytest.raises(DataError, match=r"scenes has no split 'test'.* train .* again") as caught:
        export(tmp_path / "run", tmp_path / "x.edge", QUICK, said.append)
    assert caught.value.code == "E353"
    assert said == ["preparing samples of test"]
    assert not (tmp_path / "x.edge").exists()


def test_clips_too_long_for_a_bundle_are_said_before_any_work(
    run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    spec = dataclasses.replace(FADES, clip=ClipSpec(frames=500))
    (tmp_path / "run" / "spec.json").write_text(json.dumps(spec.to_dict()))
    said: list[str] = []
    with pytest.raises(BundleError, match="500 pictures"):
        export(tmp_path / "run", tmp_path / "x.edge", QUICK, said.append)
    assert said == []


def test_weights_that_are_no_numbers(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    network = Run.open(tmp_path / "run").network()
    with torch.no_grad():
        next(network.parameters())[0] = float("nan")
    save_weights(network, tmp_path / "run" / "weights.safetensors")
    with pytest.raises(BundleError, match=r"not finite .* train again") as caught:
        export(tmp_path / "run", tmp_path / "x.edge", QUICK)
    assert caught.value.code == "E414"


def test_weights_of_another_network(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    model = json.loads((tmp_path / "run" / "model.json").read_text())
    (tmp_path / "run" / "model.json").write_text(json.dumps({**model, "hidden": 24}))
    with pytest.raises(BundleError) as caught:
        export(tmp_path / "run", tmp_path / "x.edge", QUICK)
    assert caught.value.code == "E413"
    assert not (tmp_path / "x.edge").exists()


def test_a_run_is_never_replaced_by_its_bundle(run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    with pytest.raises(BundleError, match="run") as caught:
        export(run, run, dataclasses.replace(QUICK, force=True))
    assert caught.value.code == "E432"
    assert Run.open(run).model_spec == Run.open(run_folder).model_spec
