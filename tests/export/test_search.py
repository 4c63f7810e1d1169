"""A network made fragile on purpose: found, named, and mended by leaving few layers in float."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from idx_files import write_quarters

from edgedl.bundle import Bundle
from edgedl.bundle.explain import explain
from edgedl.cli import main
from edgedl.errors import BundleError
from edgedl.evaluate import open_evaluation
from edgedl.export import ExportOptions, export, pipeline, search, speed
from edgedl.export.job import Job
from edgedl.export.quantize import Recipe, prepare, write_int8
from edgedl.export.ranges import METHODS
from edgedl.export.sensitivity import rank_layers
from edgedl.export.to_onnx import write_graphs
from edgedl.models.weights import save_weights
from edgedl.runtime.session import open_session
from edgedl.runtime.verify import verify
from edgedl.train import Run, train
from edgedl.train.torch_session import torch_sessions

TINY = {
    "data.val": 200,
    "model.widths": [8, 16],
    "model.depth": 1,
    "train.epochs": 6,
    "train.batch": 32,
    "train.precision": "fp32",
    "train.channels_last": "no",
    "train.validations": 1,
    "augment.translate": 1,
    "augment.rotate": 0,
}
OPTIONS = ExportOptions(held_out=200, calibration=64, rounds=30, max_drop=1.0)
FRAGILE = "/features/features.4/Conv"


def timed(models: Any, _tensors: Any, rounds: int, **_: int) -> dict[str, list[float]]:
    """Let INT8 be twice as fast as fp32, whatever this machine does meanwhile."""
    return {name: [2.0 if name == "fp32" else 1.0] * rounds for name in models}


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pipeline, search):
        monkeypatch.setattr(module, "time_answers", timed)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = write_quarters(tmp_path_factory.mktemp("quarters"), train=600, test=200)
    out = tmp_path_factory.mktemp("trained") / "run"
    return train("mnist-cnn", out, {**TINY, "data.path": str(folder)})


@pytest.fixture(scope="module")
def fragile(sound: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Let one channel between the two convolutions be 3000 times as large; nothing else changes."""
    out = tmp_path_factory.mktemp("fragile") / "run"
    shutil.copytree(sound.path, out)
    network = sound.network()
    _, norm, _, _, second = list(network.features)[:5]
    with torch.no_grad():
        channel = int((norm.weight + norm.bias).argmax())
        norm.weight[channel] *= 3000
        norm.bias[channel] *= 3000
        second.weight[:, channel] /= 3000
    save_weights(network, out / "weights.safetensors")
    return Run.open(out)


@pytest.fixture(scope="module")
def mended(fragile: Run, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    with pytest.MonkeyPatch.context() as patch:
        for module in (pipeline, search):
            patch.setattr(module, "time_answers", timed)
        patch.setattr(Job, "equalized", {})  # it would mend the network
        return export(fragile.path, tmp_path_factory.mktemp("out") / "x.edge", OPTIONS)


def test_a_sound_network_needs_no_search(sound: Run, tmp_path: Path) -> None:
    made = export(sound.path, tmp_path / "x.edge", OPTIONS).manifest
    for precision in ("int8-cpu", "int8-trt"):
        assert len(made.quantization[precision].tries) == 1
        assert made.quantization[precision].layers == ()
        assert made.precisions[precision].drop_points <= 1


def test_fragile_by_plain_ranges(mended: Bundle) -> None:
    for precision in ("int8-cpu", "int8-trt"):
        plain = mended.manifest.quantization[precision].tries[0]
        assert plain.recipe in METHODS
        assert plain.lost > 5
        tries = mended.manifest.quantization[precision].tries
        ways = [one for one in tries if "in float" not in one.recipe]
        assert [one.error for one in ways] == sorted(one.error for one in ways)


def test_ways_like_one_that_lost_far_too_much_are_not_looked_at(mended: Bundle) -> None:
    for precision in ("int8-cpu", "int8-trt"):
        tries = mended.manifest.quantization[precision].tries
        ways = [one for one in tries if "in float" not in one.recipe]
        assert len(ways) < len(METHODS)
        for number, one in enumerate(ways):
            far = [
                earlier for earlier in ways[:number] if earlier.lost > 5 * search.BOUND["points"]
            ]
            assert all(one.error <= earlier.error / 2 for earlier in far)


@pytest.mark.parametrize("precision", ["int8-cpu", "int8-trt"])
def test_the_fragile_layer_is_found_and_left_in_float(mended: Bundle, precision: str) -> None:
    made = mended.manifest
    found = made.quantization[precision]
    in_float = [layer.node for layer in found.layers if layer.in_float]
    assert FRAGILE in in_float
    assert len(in_float) < len(found.layers) == 3
    errors = [layer.error for layer in found.layers]
    assert errors == sorted(errors, reverse=True)
    worst = next(layer for layer in found.layers if layer.node == FRAGILE)
    assert worst.extent[1] > 300
    assert made.precisions[precision].drop_points <= OPTIONS.max_drop
    assert f"{len(in_float)} layer" in found.recipe
    tried = [one for one in found.tries if "in float" in one.recipe]
    is_timed = [precision == "int8-cpu" and one.lost <= 0.1 for one in tried]
    assert [one.speedup for one in tried] == [2.0 if timed else None for timed in is_timed]


def test_the_graphs_are_those_of_the_recipe(mended: Bundle) -> None:
    assert verify(mended.path).passed
    for precision in ("int8-cpu", "int8-trt"):
        layers = mended.manifest.quantization[precision].layers
        graph = next(g for g in mended.manifest.graphs if g.precision == precision)
        weights = 2 * sum(not layer.in_float for layer in layers)
        assert graph.operators["DequantizeLinear"] >= weights


def test_channels_made_alike_mend_it_without_float(fragile: Run, tmp_path: Path) -> None:
    made = export(fragile.path, tmp_path / "x.edge", OPTIONS).manifest
    for precision in ("int8-cpu", "int8-trt"):
        found = made.quantization[precision]
        assert "channels equalized" in found.recipe
        assert found.layers == ()
        assert found.tries[0].lost > 5
        assert found.tries[-1].error < found.tries[0].error / 2
        assert made.precisions[precision].drop_points <= 1
    assert verify(tmp_path / "x.edge").passed


def test_explained(mended: Bundle) -> None:
    text = "\n".join(explain(mended.manifest))
    assert "int8-cpu: written" in text
    assert ": lost nothing while choosing" in text
    assert "<- taken" in text
    line = next(line for line in text.splitlines() if FRAGILE in line)
    assert "-> float" in line
    assert "values 0 to" in line


def test_the_command_explains(
    sound: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(sound.path), "--out", str(tmp_path / "x.edge"), "--held-out", "32"]
    assert main([*words, "--explain"]) == 0
    printed = capsys.readouterr().out
    assert "int8-trt: written; it loses" in printed
    assert ": lost nothing while choosing" in printed


def test_one_that_cannot_be_mended_by_name_is_an_error(
    fragile: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "equalized", {})
    monkeypatch.setattr(search._Search, "fewest_in_float", lambda _self, recipe, _layers: recipe)
    options = dataclasses.replace(OPTIONS, precision="int8")
    with pytest.raises(BundleError, match="int8-cpu has accuracy") as caught:
        export(fragile.path, tmp_path / "x.edge", options)
    assert caught.value.code == "E441"
    assert list(tmp_path.iterdir()) == []


def test_slower_than_fp32_is_not_looked_at_further(
    fragile: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "equalized", {})
    for module in (search, pipeline):
        monkeypatch.setattr(
            module,
            "time_answers",
            lambda models, *_, **__: {m: [1.0 + (m != "fp32")] for m in models},
        )
    made = export(fragile.path, tmp_path / "x.edge", OPTIONS).manifest
    assert "int8-cpu" not in made.precisions
    assert {r.precision for r in made.refused} == {"int8-cpu"}
    counted = [t for t in made.quantization["int8-cpu"].tries if "in float" in t.recipe]
    assert {t.speedup for t in counted} <= {0.5, None}
    assert 0.5 in {t.speedup for t in counted}


def test_products_too_small_to_gain_by_int8_are_told(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "places", lambda precision, _graph: ("x",) * (precision[5] == "t"))
    made = export(sound.path, tmp_path / "x.edge", OPTIONS).manifest
    assert [r.precision for r in made.refused] == ["int8-cpu"]
    assert "no product that can be so has 16384 weights or more" in made.refused[0].reason
    options = dataclasses.replace(OPTIONS, precision="int8")
    with pytest.raises(BundleError, match="nothing to gain") as caught:
        export(sound.path, tmp_path / "y.edge", options)
    assert caught.value.code == "E445"


def test_ranks_are_errors_of_one_layer_alone(fragile: Run, tmp_path: Path) -> None:
    fp32 = write_graphs(torch_sessions(fragile.model_spec, fragile.network()), tmp_path)["model"]
    seen = open_evaluation(fragile.model_spec, fragile.data_table, "val", 64).tensors[:]
    feeds = [{"image": seen[:32]}, {"image": seen[32:]}]
    prepared = prepare("model", fp32, feeds)
    ranked = rank_layers("int8-trt", Recipe(), {"model": prepared}, {"model": feeds})
    assert ranked[0].place == ("model", FRAGILE)
    others = tuple(layer.place for layer in ranked[1:])
    write_int8("int8-trt", prepared, tmp_path / "one.onnx", Recipe(in_float=others))
    expected, found = (
        open_session(path).run({"image": seen})["logits"] for path in (fp32, tmp_path / "one.onnx")
    )
    error = ((found - expected) ** 2).mean() ** 0.5 / (expected**2).mean() ** 0.5
    assert ranked[0].error == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("module", ["quantize", "half"])
def test_a_tool_that_fails_on_a_graph_refuses_that_precision(
    sound: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise IndexError("list index\nout of range")

    name = {"quantize": "QDQQuantizer", "half": "convert_float_to_float16"}[module]
    monkeypatch.setattr(f"edgedl.export.{module}.{name}", fail)
    made = export(sound.path, tmp_path / "x.edge", OPTIONS).manifest
    refused = {r.precision: r.reason for r in made.refused}
    assert set(refused) == {"quantize": {"int8-cpu", "int8-trt"}, "half": {"fp16"}}[module]
    for reason in refused.values():
        assert reason.endswith(" failed, IndexError: list index out of range")
    asked = {"quantize": "int8", "half": "fp16"}[module]
    options = dataclasses.replace(OPTIONS, precision=asked)
    with pytest.raises(BundleError, match="IndexError") as caught:
        export(sound.path, tmp_path / "y.edge", options)
    assert caught.value.code == "E446"
    assert not (tmp_path / "y.edge").exists()


@pytest.mark.parametrize(("took_ms", "expected"), [(0.01, 700), (50.0, 50), (5000.0, 30)])
def test_of_a_slow_model_fewer_answers_are_timed(
    monkeypatch: pytest.MonkeyPatch, took_ms: float, expected: int
) -> None:
    asked: list[tuple[int, int]] = []

    def interleave(calls: Any, rounds: int, warmup: int) -> dict[str, list[float]]:
        asked.append((rounds, warmup))
        return {name: [took_ms] * rounds for name in calls}

    monkeypatch.setattr(speed, "interleave", interleave)
    models: Any = {"a": None, "b": None}
    assert [len(times) for times in speed.time_answers(models, [0], 700).values()] == [expected] * 2
    assert asked == [(1, 20), (expected, 0)]
