"""Every kind of model from its recipe to a bundle that proves itself, answers, and is measured."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import write_quarters

from edgedl.cli import main
from edgedl.export import ExportOptions, export, gate, quantize
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify
from edgedl.train import train

SMALL = {"precision": "fp32", "channels_last": "no", "validations": 1}
CLIPS = {
    "data.frames": 4, "data.size_px": 24, "data.train": 60, "data.val": 12, "data.test": 24,
    "model.channels": [4, 8], "model.features": 8, "model.hidden": 8, "train.epochs": 1,
}  # fmt: skip
TEXTS = {"data.count": 300, "model.hidden": 8, "model.embedding": 8, "train.epochs": 1}
LETTERS = {
    "model.hidden": 16, "model.embedding": 8, "chunk.length": 16, "chunk.warm_up": 4,
    "train.batch": 8, "train.steps": 8,
}  # fmt: skip
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "classifier": ("mnist-cnn", {"model.widths": [8, 16], "model.depth": 1, "train.epochs": 1}),
    "rows": ("mnist-rows-lstm", {"model.hidden": 8, "train.epochs": 1}),
    "clips": ("clips-lstm", CLIPS),
    "texts": ("text-lstm", TEXTS),
    "lstm": ("shakespeare-lstm", LETTERS),
    "gru": ("shakespeare-gru", LETTERS),
    "series": (
        "series-lstm",
        {"data.count": 400, "data.window": 8, "model.hidden": 8, "train.epochs": 1},
    ),
}
OPTIONS = ExportOptions(held_out=40, calibration=16, rounds=30, max_drop=100.0)


@pytest.fixture(scope="module", params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Train a miniature and export it: (kind, run, bundle)."""
    recipe, overrides = KINDS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    given = {f"train.{key}": value for key, value in SMALL.items()} | overrides
    if recipe.startswith("mnist"):
        quarters = write_quarters(tmp_path_factory.mktemp("quarters"))
        given |= {"data.path": str(quarters), "data.val": 40, "train.batch": 32}
    if recipe.startswith("shakespeare"):
        (folder / "text.txt").write_text("to be, or not to be: that is the question.\n" * 200)
        given["data.path"] = str(folder / "text.txt")
    run = train(recipe, folder / "run", given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "speed_problem", lambda *_: None)
        patch.setattr(quantize, "LEAST_WEIGHTS", 32)  # miniatures have no large products
        return request.param, run, export(run.path, folder / "x.edge", OPTIONS)


def test_all_precisions_are_there_and_prove_themselves(made: Any) -> None:
    kind, run, bundle = made
    ranges_as_it_runs = "int8-cpu: weights only" in bundle.manifest.calibration.method
    assert ranges_as_it_runs == (kind not in ("classifier", "clips"))
    assert bundle.precisions == ("fp32", "fp16", "int8-cpu", "int8-trt")
    assert bundle.model_spec == run.model_spec
    report = verify(bundle.path)
    assert report.passed, report
    assert {row.precision for row in report.rows if row.status == "PASS"} >= set(bundle.precisions)


def test_golden_samples_are_answered_as_told(made: Any) -> None:
    kind, _, bundle = made
    with load(bundle, precision="fp32") as pipeline:
        for sample in bundle.golden():
            expected, given = sample.expected["fp32"], sample.given
            if kind in ("classifier", "rows"):
                assert pipeline(given.pictures[0]).label == expected.text
            elif kind == "clips":
                assert pipeline.whole(given.pictures).label == expected.text
                pipeline.reset()
                slid = [pipeline(picture) for picture in given.pictures]
                assert slid[:-1] == [None] * (len(slid) - 1)
                assert slid[-1].label == expected.text
            elif kind == "texts":
                assert pipeline(given.text).label == expected.text
            elif kind == "series":
                assert dict(pipeline(given.window).values) == pytest.approx(dict(expected.output))
            else:
                pipeline.reset()
                found = pipeline(given.text, length=len(expected.text), temperature=0)
                assert found.text == expected.text


def test_eval_agrees_with_export_and_training(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, run, bundle = made
    found = {}
    for path, words in ((run.path, ()), (bundle.path, ("--precision", "fp32"))):
        assert main(["eval", str(path), *words, "--limit", "40", "--json"]) == 0
        found[path] = json.loads(capsys.readouterr().out)
    of_run, of_bundle = found.values()
    assert (of_run["task"], of_run["split"]) == (run.model_spec.task, "test")
    assert (of_run["backend"], of_bundle["backend"]) == ("torch", "onnxruntime")
    assert of_run["n"] == of_bundle["n"] > 0
    assert of_run["metrics"] == pytest.approx(of_bundle["metrics"], rel=1e-3, abs=1e-3)
    quality = bundle.manifest.precisions["fp32"].quality
    assert of_bundle["metrics"] == pytest.approx(dict(quality), rel=1e-6)


def test_inspect_and_run_know_the_kind(
    made: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    kind, _, bundle = made
    assert main(["inspect", str(bundle.path)]) == 0
    assert bundle.manifest.kind in capsys.readouterr().out
    source, more = _source(kind, tmp_path)
    assert main(["run", str(bundle.path), source, *more, "--json"]) == 0
    out = capsys.readouterr().out
    lines = (
        [json.loads(out)]
        if kind in ("lstm", "gru")
        else list(map(json.loads, out.split("\n")[:-1]))
    )
    assert lines
    assert all(line["model_hash"] == bundle.manifest.digest[:12] for line in lines)


def _source(kind: str, folder: Path) -> tuple[str, list[str]]:
    """Return a source that fits a kind, and what else to say."""
    if kind in ("lstm", "gru"):
        return "to be", ["--length", "20"]
    if kind == "texts":
        (folder / "x.txt").write_text("a red circle left of a blue square\n\nonly a ring\n")
        return str(folder / "x.txt"), []
    if kind == "series":
        rows = ["load,temperature,level", *(f"{i},{i + 1},{i + 2}" for i in range(12))]
        (folder / "x.csv").write_text("\n".join(rows) + "\n")
        return str(folder / "x.csv"), []
    return "test://scenes?count=6", []


@pytest.mark.parametrize(
    ("made", "text"), [("series", "a .csv file"), ("clips", "no.mp4")], indirect=["made"]
)
def test_a_source_that_does_not_fit(
    made: Any, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(made[2].path), "no.mp4"]) in (2, 3)
    assert text in capsys.readouterr().err


def test_serve_and_bench_refuse_what_takes_no_pictures(
    made: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, _, bundle = made
    if kind in ("classifier", "rows", "clips"):
        assert main(["bench", str(bundle.path), "--frames", "12"]) == (2 if kind == "clips" else 0)
        return
    for words in (
        ["bench", str(bundle.path)],
        ["serve", str(bundle.path), "--source", "test://scenes"],
    ):
        assert main(words) == 2
        assert f"is a {bundle.manifest.kind}" in capsys.readouterr().err


@pytest.mark.parametrize("made", ["clips"], indirect=True)
def test_a_clip_at_once_gives_the_golden_logits(made: Any) -> None:
    bundle = made[2]
    with load(bundle, precision="fp32") as pipeline:
        sample = bundle.golden()[0]
        tensor = pipeline.model.prepare(sample.given)
        expected = sample.expected["fp32"].arrays["logits"]
        np.testing.assert_allclose(pipeline.model.clip_logits(tensor)[0], expected, atol=1e-5)
