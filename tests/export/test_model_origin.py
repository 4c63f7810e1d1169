"""From a model file to a bundle: samples, what is refused, classification, and the commands."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from foreign_models import W, brightest_quarter, linear, three_rounds, two_ways

from edgedl.bundle import Bundle
from edgedl.cli import main
from edgedl.errors import EdgedlError
from edgedl.export import ExportOptions, export, quantize
from edgedl.export import program as program_module
from edgedl.export.model_origin import RANDOM, ModelOrigin, fitted_rows
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify
from edgedl.spec import TensorSpec

FAST = {"rounds": 30}


def samples(folder: Path, count: int = 40) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(2)
    np.save(folder / "x.npy", rng.normal(0, 1, (count, 4)))
    return folder


def notes(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def tensor_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tensor")
    options = ExportOptions(samples=samples(folder / "calib"), max_drop=50, **FAST)
    return export(linear(folder / "m.onnx"), folder / "m.edge", options)


def test_a_loop_stays_in_float_inside(tmp_path: Path) -> None:
    options = ExportOptions(samples=samples(tmp_path / "calib"), max_drop=100, **FAST)
    made = export(three_rounds(tmp_path / "m.onnx"), tmp_path / "m.edge", options)
    verify(made.path).check()
    x = np.load(tmp_path / "calib" / "x.npy")[:5].astype(np.float32)
    expected = x @ W @ W.T
    for _ in range(3):
        expected = np.maximum(expected @ W @ W.T, 0)
    with load(made, precision="fp32") as pipeline:
        np.testing.assert_allclose(pipeline({"x": x}).outputs["y"], expected, rtol=1e-4, atol=1e-4)
    fp32, int8 = (
        onnx.load(made.path / "graphs" / f"model.{name}.onnx").graph
        for name in ("fp32", "int8-trt")
    )
    kinds = [node.op_type for node in int8.node]
    assert kinds.count("DequantizeLinear") >= 2
    inside = [
        [n.op_type for n in node.attribute[0].g.node]
        for graph in (fp32, int8)
        for node in graph.node
        if node.op_type == "Loop"
    ]
    assert len(inside) == 2
    assert inside[0] == inside[1]
    assert "MatMul" in inside[0]


def test_a_model_is_exported_without_torch(tmp_path: Path) -> None:
    model, calib = linear(tmp_path / "m.onnx"), samples(tmp_path / "calib")
    (tmp_path / "m.pt2").touch()
    (tmp_path / "run").mkdir()
    code = (
        "import sys\n"
        "sys.modules.update(torch=None, onnxscript=None, matplotlib=None)\n"
        "from edgedl.cli import main\n"
        "sys.exit(main(['export', *sys.argv[1:], '--max-drop', '50%', '--force']))\n"
    )

    def export_of(source: Path, *rest: str) -> tuple[int, str]:
        command = [
            sys.executable,
            "-c",
            code,
            str(source),
            "--out",
            str(tmp_path / "m.edge"),
            *rest,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    code_of_model, _ = export_of(model, "--calib", str(calib))
    assert code_of_model == 0
    with load(tmp_path / "m.edge", precision="int8-trt") as pipeline:
        x = np.load(calib / "x.npy")[:5].astype(np.float32)
        assert pipeline({"x": x}).outputs["y"].shape == (5, W.shape[1])
    for source in ("m.pt2", "run"):
        found, said = export_of(tmp_path / source)
        assert found == 5
        assert said.startswith("error[E600] ")
        assert "needs torch, which is not installed: pip install 'edgedl[train]'" in said


class Two(torch.nn.Module):
    """Takes a pair and a number that it does not use, gives two tensors by name."""

    def forward(self, pair: Any, *, unused: Any) -> Any:  # noqa: ARG002
        x, y = pair
        return {"sum": torch.relu(x @ torch.from_numpy(W)) + y, "twice": [2 * x]}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    args = ((torch.zeros(2, 4), torch.zeros(2, 3)),)
    torch.export.save(torch.export.export(Two(), args, {"unused": torch.zeros(2)}), path)
    return path


def test_a_program_is_compared_with_itself(program: Path) -> None:
    origin = ModelOrigin(program)
    errors = origin.conversion_errors(origin.samples("test", 4).tensors)
    assert len(errors) == 2
    assert max(errors.values()) < 1e-6


def test_a_program_that_became_another_model_is_refused(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = program_module.onnx_of

    def wrong(*given: Any) -> Any:
        model = right(*given)
        (tensor,) = [t for t in model.graph.initializer if tuple(t.dims) == W.shape]
        tensor.CopyFrom(onnx.numpy_helper.from_array(W * np.float32(1.001), tensor.name))
        return model

    monkeypatch.setattr(program_module, "onnx_of", wrong)
    options = ExportOptions(precision="fp32", **FAST)
    with pytest.raises(EdgedlError, match="made of the program differs from the program") as caught:
        export(program, tmp_path / "m.edge", options)
    assert caught.value.code == "E440"
    monkeypatch.undo()
    made = export(program, tmp_path / "m.edge", options)
    assert "torch to ONNX" in (made.path / "report.html").read_text(encoding="utf-8")


def test_a_program_that_classifies(tmp_path: Path) -> None:
    """Its softmax is left out of the graph, not of the program."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2), torch.nn.Softmax(1))
    dynamic = ({0: torch.export.Dim("N")},)
    given = (torch.zeros(2, 1, 8, 8),)
    saved = torch.export.export(network.eval(), given, dynamic_shapes=dynamic)
    torch.export.save(saved, tmp_path / "m.pt2")
    (tmp_path / "names.txt").write_text("dark\nlight\n")
    text = """
task = "classification"
labels = "names.txt"
[image]
size_hw = [8, 8]
pixel_format = "gray8"
mean = [0.0]
std = [1.0]
"""
    origin = ModelOrigin(tmp_path / "m.pt2", notes(tmp_path / "spec.toml", text))
    feeds = [{"image": origin.samples("test", 4).tensors[:]}]
    (error,) = origin.conversion_errors(feeds).values()
    assert error < 1e-5


def test_a_tensor_bundle_proves_itself(tensor_bundle: Bundle) -> None:
    manifest = tensor_bundle.manifest
    assert (manifest.task, manifest.kind) == ("tensor", "tensor-model")
    assert manifest.parent.kind == "model"
    assert {"fp32", "fp16", "int8-trt"} <= set(tensor_bundle.precisions)
    assert manifest.precisions["fp32"].quality["max_deviation"] < 1e-6
    assert 0 < manifest.precisions["int8-trt"].quality["max_deviation"] < 0.5
    assert manifest.calibration is not None
    assert manifest.calibration.n == 20  # of four samples two
    assert "random" not in manifest.calibration.method
    report = verify(tensor_bundle.path)
    assert report.passed, report


def test_it_computes_the_product(tensor_bundle: Bundle) -> None:
    x = np.random.default_rng(3).normal(0, 1, (7, 4)).astype(np.float32)
    with load(tensor_bundle, precision="fp32") as pipeline:
        for given in (x, {"x": x}, x.astype(np.float64)):
            np.testing.assert_allclose(pipeline(given).outputs["y"], x @ W, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(pipeline(x[0]).outputs["y"], x[:1] @ W, rtol=1e-4, atol=1e-6)


@pytest.fixture
def small_products_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "LEAST_WEIGHTS", 1)


@pytest.mark.usefixtures("small_products_count")
def test_without_samples_no_int8_is_written(tmp_path: Path) -> None:
    said: list[str] = []
    made = export(
        linear(tmp_path / "m.onnx"), tmp_path / "m.edge", ExportOptions(**FAST), said.append
    )
    assert made.precisions == ("fp32", "fp16")
    assert {r.precision for r in made.manifest.refused} == {"int8-cpu", "int8-trt"}
    for refused in made.manifest.refused:
        assert "made up samples" in refused.reason
        assert "--calib DIR" in refused.reason
        assert refused.quality["max_deviation"] > 0
    assert made.manifest.calibration is not None
    assert "made up of random numbers" in made.manifest.calibration.method
    assert made.manifest.calibration.n == RANDOM // 2
    assert "made up of random numbers" in (made.path / "report.html").read_text()
    assert any("made up samples" in line for line in said)


def test_what_is_lost_on_made_up_samples_is_not_called_held_out(tmp_path: Path) -> None:
    options = ExportOptions(max_drop=0.0, **FAST)
    made = export(linear(tmp_path / "m.onnx"), tmp_path / "m.edge", options)
    (reason,) = [r.reason for r in made.manifest.refused if r.precision == "fp16"]
    assert "on made up samples, fp32" in reason
    assert "held-out" not in reason


@pytest.mark.usefixtures("small_products_count")
def test_int8_by_name_needs_samples(tmp_path: Path) -> None:
    options = ExportOptions(precision="int8", max_drop=100, **FAST)
    said: list[str] = []
    with pytest.raises(EdgedlError, match=r"made up samples .* give some with --calib") as caught:
        export(linear(tmp_path / "m.onnx"), tmp_path / "m.edge", options, said.append)
    assert caught.value.code == "E353"
    assert said == []  # before any work
    assert [f.name for f in tmp_path.iterdir()] == ["m.onnx"]


def test_branches_integers_and_names(tmp_path: Path) -> None:
    spec = notes(tmp_path / "spec.toml", '[inputs]\n"a:0" = [2, 5]\n')
    options = ExportOptions(precision="fp32", spec=spec, **FAST)
    made = export(two_ways(tmp_path / "m.onnx"), tmp_path / "m.edge", options)
    assert verify(made.path).passed
    golden = made.golden()[0]
    assert golden.given.arrays["a:0"].shape == (2, 5)
    assert golden.given.arrays["count"].shape == ()
    assert golden.expected["fp32"].arrays["next"].dtype == np.int64
    with load(made) as pipeline:
        result = pipeline({"a:0": np.float32([[1, 2], [3, 4]]), "count": 1})
    np.testing.assert_allclose(result.outputs["sum/out"], [6, 14])
    assert result.to_json()["outputs"] == {"sum/out": [6.0, 14.0], "next": 2}


@pytest.mark.parametrize(
    ("text", "code", "match"),
    [
        ("", "E133", r"'a:0' \(2, length\) has open sizes .*\"a:0\" = \[2, 64\]"),
        ('[inputs]\n"a:0" = [3, 5]\n', "E205", r"must be sizes for \(2, length\); got \[3, 5\]"),
        ('[inputs]\n"a:0" = [2, 0]\n', "E205", r"got \[2, 0\]"),
        ("[inputs]\ncuont = []\n", "E203", "has no input 'cuont'; did you mean 'count'"),
        ("[input]\n", "E203", "unknown key 'input'"),
        ('task = "captioning"\n', "E204", "must be one of 'tensor', 'classification'"),
        ('task = "classification"\n', "E205", r"needs an \[image\] section"),
        ('labels = "l.txt"\n', "E205", "labels are for task = 'classification'"),
        ("[image]\nsize_hw = [8, 8]\n", "E451", r"\[image\] is for models with one input"),
    ],
)
def test_notes_that_do_not_fit(tmp_path: Path, text: str, code: str, match: str) -> None:
    options = ExportOptions(spec=notes(tmp_path / "spec.toml", text), **FAST)
    with pytest.raises(EdgedlError, match=match) as caught:
        export(two_ways(tmp_path / "m.onnx"), tmp_path / "m.edge", options)
    assert caught.value.code == code
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m.onnx", "spec.toml"]


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        (None, r"holds no .npy or .npz files"),
        ({"y": np.zeros((2, 4))}, "has no input 'y'"),
        ({"x": np.zeros((2, 5))}, r"'x' \(N, 4\) float32 is expected; got \(1, 5\) float64"),
        ({"x": np.array(["a"])}, "holds <U1; numbers are expected"),
        ({"x": np.full((2, 4), np.nan)}, "holds NaN or infinity"),
        (
            {"x": np.array([{}], object)},
            "Python objects, which are not read; write it with numpy.save",
        ),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, arrays: Any, match: str) -> None:
    folder = tmp_path / "calib"
    folder.mkdir()
    if arrays is not None:
        np.savez(folder / "s.npz", **arrays)
    with pytest.raises(EdgedlError, match=match) as caught:
        ModelOrigin(linear(tmp_path / "m.onnx"), None, folder).samples("test", 9)
    assert caught.value.code == ("E356" if arrays is None else "E355")


def test_rows_become_samples() -> None:
    two = TensorSpec(name="a", dtype="float32", shape=("N", 3))
    pair = TensorSpec(name="b", dtype="float32", shape=(2, "N"))
    count = TensorSpec(name="n", dtype="int64", shape=())
    a, b = np.arange(12.0).reshape(4, 3), np.zeros((2, 4))
    found = fitted_rows({"": a}, [two], {})
    assert [one["a"].shape for one in found] == [(1, 3)] * 4
    np.testing.assert_array_equal(found[2]["a"], a[2:3])
    assert [one["a"].shape for one in fitted_rows({"": a}, [two], {"a": (2, 3)})] == [(2, 3)] * 2
    (whole,) = fitted_rows({"a": a, "b": b, "n": np.array(3)}, [two, pair, count], {})
    assert {name: array.shape for name, array in whole.items()} == {
        "a": (4, 3),
        "b": (2, 4),
        "n": (),
    }
    both = fitted_rows({"a": a, "b": np.zeros((8, 5)), "n": np.array(3)}, [two, pair, count], {})
    assert [(one["a"].shape, one["b"].shape, int(one["n"])) for one in both] == [
        ((1, 3), (2, 5), 3)
    ] * 4


def test_samples_are_parted_by_what_they_are_for(tmp_path: Path) -> None:
    origin = ModelOrigin(linear(tmp_path / "m.onnx"), None, samples(tmp_path / "calib"))
    rows = np.load(tmp_path / "calib" / "x.npy").astype(np.float32)
    seen = {}
    for split in ("train", "val", "test"):
        found = origin.samples(split, 1000)
        seen[split] = {one["x"].tobytes() for one in found.tensors}
        for given, right in zip(found.tensors, found.truths, strict=True):
            np.testing.assert_allclose(right["y"], given["x"] @ W, rtol=1e-4, atol=1e-6)
    assert {split: len(one) for split, one in seen.items()} == {"train": 20, "val": 10, "test": 10}
    assert set.union(*seen.values()) == {row.tobytes() for row in rows}
    assert len(origin.samples("train", 7)) == 7


SPEC = """task = "classification"
labels = "labels.txt"
[image]
size_hw = [8, 8]
pixel_format = "gray8"
mean = [0.0]
std = [1.0]
"""


def pictures(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(4)
    for i in range(32):
        picture = rng.integers(0, 100, (16, 16), np.uint8)
        row, column = divmod(i % 4, 2)
        picture[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 120
        cv2.imwrite(str(folder / f"{i:02}.png"), picture)
    return folder


@pytest.mark.parametrize("softmax", [True, False])
def test_a_classifier_of_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], softmax: bool
) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    spec = notes(tmp_path / "spec.toml", SPEC)
    folder = pictures(tmp_path / "calib")
    options = ExportOptions(precision="fp16", spec=spec, samples=folder, **FAST)
    path = brightest_quarter(tmp_path / "m.onnx", softmax=softmax)
    made = export(path, tmp_path / "m.edge", options)
    assert made.model_spec.labels == ("a", "b", "c", "d")
    graph = made.find_graph("model", "fp32")
    assert graph is not None
    assert (graph.inputs[0].shape, graph.outputs[0].shape) == (("N", 1, 8, 8), ("N", 4))
    assert "Softmax" not in graph.operators
    assert verify(made.path).passed
    assert main(["run", str(made.path), str(folder), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] for line in lines] == list("abcd") * 8
    assert main(["eval", str(made.path)]) == 2
    assert "knows no data; name some: --data PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "batch", "match"),
    [
        (("[8, 8]", "[8, 9]"), "N", r"makes NCHW \(N, 1, 8, 9\) float32; input 'data' is"),
        (("gray8", "gray8"), 1, "the batch of its example is fixed inside the graph"),
    ],
)
def test_a_classifier_that_does_not_fit(
    tmp_path: Path, change: tuple[str, str], batch: Any, match: str
) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    spec = notes(tmp_path / "spec.toml", SPEC.replace(*change))
    with pytest.raises(EdgedlError, match=match) as caught:
        ModelOrigin(brightest_quarter(tmp_path / "m.onnx", batch=batch), spec)
    assert caught.value.code == "E451"


def test_labels_of_another_number(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(EdgedlError, match="of 2 labels") as caught:
        ModelOrigin(brightest_quarter(tmp_path / "m.onnx"), notes(tmp_path / "s.toml", SPEC))
    assert caught.value.code == "E451"


def test_a_picture_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "calib")
    first = min(f for f in folder.rglob("*") if f.is_file())
    first.write_bytes(first.read_bytes()[:60])
    spec = notes(tmp_path / "spec.toml", SPEC.split("\n", 2)[2])
    origin = ModelOrigin(brightest_quarter(tmp_path / "m.onnx"), spec, folder)
    with pytest.raises(EdgedlError, match=r"mend or remove them$") as caught:
        origin.samples("test", 4)
    assert caught.value.code == "E355"
    assert first.name in str(caught.value)


def test_files_that_are_not_read_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, folder = brightest_quarter(tmp_path / "m.onnx"), tmp_path / "calib"
    folder.mkdir()
    (folder / "IMG_1.HEIC").write_bytes(b"heic")
    spec = notes(tmp_path / "spec.toml", SPEC.split("\n", 2)[2])
    with pytest.raises(EdgedlError, match=r"save those in \.heic as JPEG or PNG"):
        ModelOrigin(model, spec, folder).samples("test", 4)
    with pytest.raises(EdgedlError, match=r"holds no \.npy .* \[image\] size_hw = \[H, W\]") as no:
        ModelOrigin(model, None, folder).samples("test", 4)
    assert no.value.code == "E356"
    cv2.imwrite(str(folder / "a.png"), np.zeros((20, 30), np.uint8))
    (folder / "._a.png").write_bytes(b"of macOS")
    assert len(ModelOrigin(model, spec, folder).samples("test", 4)) == 1
    assert "passed over 1 picture of formats that are not read: 1 × .heic" in caplog.text


def test_pictures_are_not_kept(tmp_path: Path) -> None:
    """A photo takes 36 MB in memory; thousands of them would not fit."""
    folder = pictures(tmp_path / "calib")
    cv2.imwrite(str(folder / "99.png"), np.zeros((20, 30), np.uint8))
    spec = notes(tmp_path / "spec.toml", SPEC.split("\n", 2)[2])
    given = ModelOrigin(brightest_quarter(tmp_path / "m.onnx"), spec, folder).samples("test", 4)
    first, again = (given.inputs(0).pictures[0] for _ in range(2))
    assert first is not again
    np.testing.assert_array_equal(first, again)


def test_pictures_into_a_tensor_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = notes(tmp_path / "spec.toml", SPEC.split("\n", 2)[2])
    folder = pictures(tmp_path / "calib")
    options = ExportOptions(precision="fp32", spec=spec, samples=folder, **FAST)
    made = export(brightest_quarter(tmp_path / "m.onnx"), tmp_path / "m.edge", options)
    assert (made.manifest.task, made.spec.size_hw) == ("tensor", (8, 8))
    assert verify(made.path).passed
    assert main(["run", str(made.path), str(folder), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [int(np.argmax(line["outputs"]["prob"])) for line in lines] == [0, 1, 2, 3] * 8


def test_commands_of_a_tensor_bundle(
    tensor_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tensor_bundle.path)
    x = np.random.default_rng(5).normal(0, 1, (2, 4))
    np.savez(tmp_path / "x.npz", x=x)
    assert main(["run", path, str(tmp_path / "x.npz"), "--precision", "fp32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(found["outputs"]["y"], x @ W, rtol=1e-4, atol=1e-6)
    assert found["file"] == "x.npz"
    assert main(["inspect", path]) == 0
    assert "a tensor-model" in capsys.readouterr().out
    np.savez(tmp_path / "z.npz", z=x)
    for words, code, text in (
        (["run", path, str(tmp_path / "z.npz")], 2, "has no input 'z'; it takes 'x' (N, 4)"),
        (["run", path, "clip.mp4"], 2, ".npy and .npz files"),
        (["run", path, str(tmp_path / "x.npz"), "--top", "3"], 2, "--top changes nothing"),
        (["eval", path], 2, "nothing says what is right"),
    ):
        assert main(words) == code
        assert text in capsys.readouterr().err


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = samples(tmp_path / "calib")
    path, out = str(linear(tmp_path / "m.onnx")), str(tmp_path / "m.edge")
    words = ["export", path, "--out", out, "--calib", str(folder), "--precision", "fp32"]
    assert main(words) == 0
    assert "max deviation" in capsys.readouterr().out
    (tmp_path / "run").mkdir()
    assert main(["export", str(tmp_path / "run"), "--out", out, "--calib", str(folder)]) == 2
    assert "--calib is for model files" in capsys.readouterr().err
