"""``load`` opens a bundle as the pipeline of its kind; frames are for some kinds only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH, V, given_to, graphs_of, write_bundle

import edgedl
from edgedl.bundle import Bundle, Given
from edgedl.errors import BundleError, UsageError
from edgedl.frame import Mounting
from edgedl.runtime import pipeline as kinds
from edgedl.runtime.base import Pipeline, check_takes_pictures
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify

SPECS = {spec.task: spec for spec in (QUARTERS, FADES, WARMTH, HEAT, LETTERS)}
PIPELINES = {
    "classification": kinds.ClassifierPipeline,
    "clip-classification": kinds.ClipPipeline,
    "text-generation": kinds.TextPipeline,
    "text-classification": kinds.TextClassifierPipeline,
    "regression": kinds.RegressorPipeline,
}
PICTURES = ("captioning", "classification", "clip-classification")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("kinds")
    return {task: write_bundle(folder / f"{task}.edge", spec) for task, spec in SPECS.items()}


@pytest.mark.parametrize("task", SPECS)
def test_each_kind(bundles: dict[str, Path], task: str) -> None:
    with edgedl.load(bundles[task]) as pipeline:
        assert type(pipeline) is PIPELINES[task]
        assert isinstance(pipeline, Pipeline)
        assert pipeline.model.spec == SPECS[task]
        assert tuple(pipeline.sessions) == SPECS[task].roles
        assert (pipeline.backend, pipeline.precision) == ("onnxruntime", "fp32")
    with pytest.raises(RuntimeError, match="was closed"):
        pipeline.model.expect(pipeline.model.prepare(given_to(SPECS[task])))
    pipeline.close()


def test_a_captioner(tiny_bundle_master: Path) -> None:
    with load(tiny_bundle_master) as pipeline:
        assert type(pipeline) is kinds.CaptionPipeline
        assert pipeline.model.search.max_tokens == 6


@pytest.mark.parametrize("task", PICTURES)
def test_a_camera_that_hangs_askew(
    bundles: dict[str, Path], tiny_bundle_master: Path, task: str
) -> None:
    path = bundles.get(task, tiny_bundle_master)
    mounting = Mounting(rotate=90, flip="vertical")
    frames = np.random.default_rng(2).integers(0, 256, (3, 20, 31, 3), np.uint8)
    turned = [np.ascontiguousarray(np.flip(np.rot90(frame, -1), 0)) for frame in frames]
    with load(path, mounting=mounting) as askew, load(path) as upright:
        expected = upright.model.prepare(Given(tuple(turned)))
        assert np.array_equal(askew.model.prepare(Given(tuple(frames))), expected)
        assert not np.array_equal(upright.model.prepare(Given(tuple(frames))), expected)


@pytest.mark.parametrize("task", [task for task in SPECS if task not in PICTURES])
def test_a_mounting_for_what_takes_no_pictures(bundles: dict[str, Path], task: str) -> None:
    with pytest.raises(UsageError, match=r"a .* takes no pictures .* leave the mounting") as caught:
        load(bundles[task], mounting=Mounting(flip="horizontal"))
    assert caught.value.code == "E130"


@pytest.mark.parametrize("task", SPECS)
def test_each_kind_proves_itself(bundles: dict[str, Path], task: str) -> None:
    report = verify(bundles[task])
    assert report.passed, report
    assert report.rows[1].errors.keys() == set(load(bundles[task]).model.compared)


@pytest.mark.parametrize("task", [task for task in SPECS if task != "text-generation"])
def test_graphs_of_another_kind(task: str, tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", SPECS[task])
    other = "regression" if task != "regression" else "classification"
    (path / "graphs" / "model.fp32.onnx").write_bytes(graphs_of(SPECS[other])["model"])
    relist(path)
    with pytest.raises(BundleError, match=r"model.fp32.onnx: expected inputs \w+; got ") as caught:
        load(path)
    assert caught.value.code == "E413"


@pytest.mark.parametrize("task", ["classification", "clip-classification"])
def test_pictures_of_another_size(task: str, tmp_path: Path, relist: Callable[..., None]) -> None:
    path = write_bundle(tmp_path / "x.edge", SPECS[task])
    spec = edgedl.ImageSpec(size_hw=(10, 12), mean=(0.0,), std=(1.0,), pixel_format="gray8")
    relist(path, image_spec=spec)
    with pytest.raises(BundleError, match=r"expected image of \(1, 10, 12\);") as caught:
        load(path)
    assert caught.value.code == "E413"


def passed_on(
    raw: bytes, name: str, op: str, shape: list[Any], kind: int = 1, **more: Any
) -> bytes:
    """Return a graph whose output ``name`` goes through one more operator."""
    onnx = pytest.importorskip("onnx")
    graph = (model := onnx.load_from_string(raw)).graph
    for node in graph.node:
        node.output[:] = ["before" if out == name else out for out in node.output]
    chosen = onnx.numpy_helper.from_array(np.array([True, True]), "chosen")
    graph.initializer.append(chosen)
    ins = ["before", "chosen"] if op == "Compress" else ["before"]
    graph.node.append(onnx.helper.make_node(op, ins, [name], **more))
    (index,) = [i for i, value in enumerate(graph.output) if value.name == name]
    graph.output[index].CopyFrom(onnx.helper.make_tensor_value_info(name, kind, shape))
    return bytes(model.SerializeToString())


def declared(raw: bytes, name: str, kind: int, shape: list[Any]) -> bytes:
    """Return a graph that says something else of an input."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(raw)
    (value,) = [value for value in model.graph.input if value.name == name]
    value.CopyFrom(onnx.helper.make_tensor_value_info(name, kind, shape))
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("task", "change", "says"),
    [
        (
            "classification",
            lambda g: passed_on(g, "logits", "Compress", ["N", "K"], axis=1),
            "(N, K)",
        ),
        (
            "classification",
            lambda g: passed_on(g, "logits", "Compress", ["N", None], axis=1),
            "(N, ?)",
        ),
        ("classification", lambda g: passed_on(g, "logits", "Size", [], 7), "() int64"),
        ("classification", lambda g: passed_on(g, "logits", "ReduceSum", [], keepdims=0), "() f"),
        ("classification", lambda g: passed_on(g, "logits", "Cast", ["N", 4], 8, to=8), "string"),
        ("regression", lambda g: passed_on(g, "values", "Cast", ["N", 1], 11, to=11), "float64"),
        ("regression", lambda g: declared(g, "window", 1, ["N", "T", 2]), "(N, T, 2)"),
        ("text-generation", lambda g: declared(g, "h_in", 1, ["N", 1, "H"]), "(N, 1, H)"),
        ("text-generation", lambda g: declared(g, "h_in", 1, ["N", "L", V]), "(N, L, 8)"),
        ("text-generation", lambda g: declared(g, "token", 6, ["N"]), "(N) int32"),
        ("text-classification", lambda g: declared(g, "tokens", 6, ["N", 5]), "(N, 5) int32"),
    ],
)
def test_types_and_sizes(
    task: str,
    change: Callable[[bytes], bytes],
    says: str,
    tmp_path: Path,
    relist: Callable[..., None],
) -> None:
    path = write_bundle(tmp_path / "x.edge", SPECS[task])
    (file,) = (path / "graphs").iterdir()
    file.write_bytes(change(file.read_bytes()))
    relist(path)
    with pytest.raises(BundleError, match="all sizes but N fixed; got ") as caught:
        load(path)
    assert caught.value.code == "E413"
    assert says in str(caught.value)


@pytest.mark.parametrize("task", SPECS)
def test_frames_are_for_some_kinds_only(bundles: dict[str, Path], task: str) -> None:
    bundle = Bundle.open(bundles[task])
    if task in PICTURES:
        check_takes_pictures(bundle, "edgedl serve", PICTURES)
    else:
        with pytest.raises(UsageError) as caught:
            check_takes_pictures(bundle, "edgedl serve", PICTURES)
        assert (caught.value.code, caught.value.exit_code) == ("E102", 2)
        assert f"is a {SPECS[task].kind}; edgedl serve takes models for captioning, " in str(
            caught.value
        )
        with pytest.raises(BundleError, match="no pictures go into it"):
            _ = bundle.spec


def test_a_command_may_take_fewer_kinds(bundles: dict[str, Path]) -> None:
    clips = Bundle.open(bundles["clip-classification"])
    with pytest.raises(UsageError, match="edgedl bench takes models for classification: see"):
        check_takes_pictures(clips, "edgedl bench", ("classification",))


def test_threads_and_a_source_format_reach_the_model(bundles: dict[str, Path]) -> None:
    path = bundles["classification"]
    picture = np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)
    expected = load(path)(picture).probability
    swapped = load(path, source_format="rgb8", threads=2)(picture[..., ::-1].copy())
    assert swapped.probability == pytest.approx(expected, abs=1e-6)
