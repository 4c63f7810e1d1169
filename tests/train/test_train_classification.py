"""Miniature trainings of classifiers, and what a batch of one is."""

import dataclasses
import html
import json
import math
import re

import cv2
import numpy as np
import pytest
import torch
from idx_files import quarters, write_quarters
from losses import first_and_last_loss
from safetensors.torch import load_file, save_file

from edgedl.cli import main
from edgedl.data.pictures import PicturesOptions, open_pictures
from edgedl.errors import ConfigError
from edgedl.export.run_origin import RunOrigin
from edgedl.runtime.preprocess import Preprocessor
from edgedl.train import Run, train
from edgedl.train.augment import AugmentOptions
from edgedl.train.classification import ImageOptions, image_spec
from edgedl.train.folds import Fold
from edgedl.train.history import History
from edgedl.train.losses import ClassLoss
from edgedl.train.options import TrainOptions
from edgedl.train.tasks import open_task, read_recipe

TINY = {
    "data.val": 60,
    "model.widths": [8, 16],
    "model.depth": 1,
    "train.epochs": 12,
    "train.batch": 32,
    "train.ema": 0.9,
    "train.precision": "fp32",
    "train.channels_last": "no",
    "train.validations": 3,
    "augment.translate": 1,
    "augment.rotate": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_quarters(tmp_path_factory.mktemp("quarters"))


@pytest.fixture(scope="module")
def reports():
    return []


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory, reports):
    out = tmp_path_factory.mktemp("trained") / "run"
    return train("mnist-cnn", out, {**TINY, "data.path": str(folder)}, reports.append)


def tiny(folder, **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return read_recipe("mnist-cnn", {**TINY, "data.path": str(folder), **dotted})


@pytest.mark.usefixtures("run")
def test_tells_what_takes_time(reports):
    assert list(dict.fromkeys(report.doing for report in reports)) == [
        "reading the data",
        "looking for the fastest precision",
        "training",
        "measuring on val",
        "measuring on test",
    ]


@pytest.mark.usefixtures("run")
def test_learns(reports, run):
    of_training = [report for report in reports if report.doing == "training"]
    assert of_training[-1].done == 1.0
    assert of_training[-1].loss < 0.5 * math.log(4)  # a guess among four costs log 4
    assert run.metrics["test"]["accuracy"] > 0.9
    assert run.metrics["test"]["n"] == 80
    assert run.metrics["val"]["n"] == 60


def test_run_holds_what_export_needs(run):
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "recipe.toml", "model.json", "weights.safetensors", "spec.json", "labels.json",
        "data.json", "metrics.json", "curves.png", "report.html",
    }  # fmt: skip
    assert run.model_spec.task == "classification"
    assert run.spec.size_hw == (12, 12)
    assert run.spec.pixel_format == "gray8"
    assert run.model["classes"] == len(run.model_spec.labels) == 4
    assert json.loads((run.path / "labels.json").read_text()) == list(run.model_spec.labels)
    assert not run.path.with_name("run.unfinished").exists()
    assert Run.open(run.path) == run


def test_the_report_shows_classes_and_samples(run):
    page = (run.path / "report.html").read_text(encoding="utf-8")
    for part in ("precision", "Confusion", "Calibration", "Right", "accuracy on test"):
        assert part in page
    assert "http" not in page
    shown = [html.unescape(name) for name in re.findall(r'<figure title="([^"]+)">', page)]
    data = open_pictures(PicturesOptions(**run.data_table))
    assert len(shown) == len(set(shown)) >= 12
    assert set(shown) <= set(data.splits["test"].names)


def test_mean_and_std_are_the_datas(folder):
    task = open_task(tiny(folder))
    pictures, _ = quarters(320)
    assert task.spec.image.mean[0] == pytest.approx(pictures.mean() / 255, abs=0.005)
    assert task.spec.image.std[0] == pytest.approx((pictures / 255).std(), abs=0.005)


def test_a_batch_is_what_the_preprocessor_makes(folder):
    recipe = dataclasses.replace(tiny(folder), augment=AugmentOptions())
    task = open_task(recipe)
    pictures, labels = quarters(320)
    preprocess = Preprocessor(task.spec.image, "gray8")
    known = {preprocess(p).tobytes(): label for p, label in zip(pictures, labels, strict=True)}
    for step in (0, 5, 9):
        images, targets = task.batch(step)
        assert images.shape == (32, 1, 12, 12)
        found = [known[image.numpy().tobytes()] for image in images]
        assert found == targets.tolist()


def test_a_batch_depends_on_seed_and_step_alone(folder):
    one, other = open_task(tiny(folder)), open_task(tiny(folder))
    for task in (one, other):
        torch.manual_seed(5)
        task.made = task.batch(7)
        task.rest = torch.rand(1)
    assert torch.equal(one.made[0], other.made[0])
    assert torch.equal(one.made[1], other.made[1])
    assert torch.equal(one.rest, other.rest)
    assert not torch.equal(one.made[1], one.batch(8)[1])


def test_any_size_just_works(tmp_path):
    recipe = tiny(write_quarters(tmp_path, train=80, test=16, size_hw=(10, 14)), data__val=16)
    task = open_task(recipe)
    assert task.spec.image.size_hw == (10, 14)
    assert task.network(task.batch(0)[0]).shape == (32, 4)


def test_a_given_spec_is_kept(folder):
    recipe = tiny(folder, image__size_hw="[16, 16]", image__pixel_format="rgb8",
                  image__mean=[0.5, 0.5, 0.5], image__std=[0.2, 0.2, 0.2])  # fmt: skip
    task = open_task(recipe)
    assert task.spec.image.size_hw == (16, 16)
    assert task.spec.image.mean == (0.5, 0.5, 0.5)
    assert task.batch(0)[0].shape == (32, 3, 16, 16)


def test_names_of_files_may_be_no_utf8(tmp_path):
    """They are in warnings of duplicates, which the report shows."""
    pictures, labels = quarters(16)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        place = tmp_path / "data" / ("train" if i < 12 else "test") / str(label)
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{i}.png"), picture)
    copy = place.parent.parent / "train" / str(label) / "\udcff.png"
    copy.write_bytes((place / "15.png").read_bytes())
    options = {"data.path": str(tmp_path / "data"), "data.val": 0, "epochs": 1, "batch": 4}
    run = train("mnist-cnn", tmp_path / "run", {**TINY, **options})
    assert str(copy) in Run.open(run.path).data["warnings"][-1]
    assert str(copy).encode(errors="backslashreplace") in (run.path / "report.html").read_bytes()


def test_labels_that_say_nothing_are_not_learnt(tmp_path):
    folder = write_quarters(tmp_path / "data", test=400, shuffled=True)
    run = train("mnist-cnn", tmp_path / "run", {**TINY, "data.path": str(folder)})
    assert run.metrics["test"]["accuracy"] == pytest.approx(0.25, abs=0.08)


def test_same_seed_same_weights(run, folder, tmp_path):
    again = train("mnist-cnn", tmp_path / "run", {**TINY, "data.path": str(folder)})
    ours, theirs = again.network().state_dict(), run.network().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert again.metrics["test"] == run.metrics["test"]


def test_rows_are_read_by_memory(folder, tmp_path):
    rows = {
        "data.path": str(folder), "data.val": 60, "model.hidden": 24, "model.layers": 1,
        "train.epochs": 15, "train.batch": 32, "train.precision": "fp32", "train.ema": 0.9,
        "optimizer.lr": 0.01, "train.validations": 2,
    }  # fmt: skip
    run = train("mnist-rows-lstm", tmp_path / "run", rows)
    first, last = first_and_last_loss(run)
    assert last < 0.7 * first
    assert run.model["image_channels"] == 1


def test_folds_part_the_training_data(folder):
    recipe, held = tiny(folder, train__folds=4), []
    for index in range(4):
        task = open_task(recipe, Fold(index, 4))
        assert task.steps_per_epoch == 240 // 32
        pixels, labels = task._val
        assert torch.bincount(labels).tolist() == [20] * 4
        held += [pixel.numpy().tobytes() for pixel in pixels]
    assert len(set(held)) == 320


def test_more_folds_than_pictures(tmp_path):
    write_quarters(tmp_path, train=12, test=4)
    open_task(tiny(tmp_path, train__folds=6), Fold(0, 6))  # three of each class, the first in turn
    with pytest.raises(ConfigError, match=r"train.folds is 13, but of 12 samples 7 folds get"):
        open_task(tiny(tmp_path, train__folds=13), Fold(0, 13))


def test_folds_are_measured_together(folder, tmp_path):
    few = {"train.folds": 2, "train.epochs": 2, "data.path": str(folder), "data.val": 400}
    run = train("mnist-cnn", tmp_path / "run", {**TINY, **few})
    folds = run.metrics["folds"]
    assert len(folds["scores"]) == 2
    assert folds["mean"] == pytest.approx(np.mean(folds["scores"]))
    assert folds["std"] == pytest.approx(np.std(folds["scores"], ddof=1))
    kept = [score for _, score in run.metrics["scores"]]
    assert kept[-1 if run.recipe["train"]["keep"] == "last" else np.argmax(kept)] == max(
        folds["scores"]
    )
    assert "val" not in run.metrics  # the other fold has learnt from it
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert f"{folds['mean']:.4f} ± {folds['std']:.4f}" in page
    assert run.metrics["test"]["n"] == 80
    assert run.data_table["val"] == 0  # of more than there are: it was not held back


def test_the_last_weights_have_the_last_score():
    history = History()
    assert history.kept_score("last") is None
    for step, score in enumerate((0.5, 0.9, 0.7)):
        history.steps = step
        history.add_score(score)
    assert (history.kept_score("best"), history.kept_score("last")) == (0.9, 0.7)


def test_starts_from_a_file_and_trains_the_head_only(run, folder):
    start = {"model__weights": str(run.path / "weights.safetensors"), "model__freeze": True}
    task = open_task(tiny(folder, **start))
    before = {name: t.clone() for name, t in task.network.state_dict().items()}
    trained = run.network().state_dict()
    body = [name for name in before if not name.startswith("fc.")]
    assert all(torch.equal(before[name], trained[name]) for name in body)
    optimizer = torch.optim.SGD([p for p in task.network.parameters() if p.requires_grad], lr=0.1)
    task.network.train()
    task.loss(task.network, task.batch(0)).backward()
    optimizer.step()
    after = task.network.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert "weights" not in task.model


def test_what_does_not_fit_is_told_and_never_frozen(run, folder, caplog, tmp_path):
    tensors = load_file(run.path / "weights.safetensors")
    first = next(name for name, tensor in tensors.items() if tensor.ndim == 4)
    tensors[first] = tensors[first][:, :, :1, :1].contiguous()
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    open_task(tiny(folder, model__weights=str(path)))
    assert f"nothing that fits 1 of {len(tensors)} tensors of the network: {first}" in caplog.text
    with pytest.raises(ConfigError, match=r"model.freeze would keep them as chance made them"):
        open_task(tiny(folder, model__weights=str(path), model__freeze=True))


def test_dropout_before_a_head_that_learns_stays(run, folder):
    start = {"model__weights": str(run.path / "weights.safetensors"), "model__freeze": True}
    task = open_task(tiny(folder, model__dropout=0.9, **start))
    pictures, _ = task.batch(0)
    task.network.train()
    assert not torch.equal(task.network(pictures), task.network(pictures))


def test_pictures_too_small_for_the_network(folder):
    with pytest.raises(ConfigError, match="'vgg11' takes no pictures of 12 x 12 pixels; set"):
        open_task(
            read_recipe("mnist-cnn", {"data.path": str(folder), "val": 60, "family": "vgg11"})
        )


def test_one_picture_too_few_for_a_norm(tmp_path):
    """The last layers see one value of each channel."""
    large = {"model.family": "resnet18", "model.stem": "large", "model.width": 0.125}
    write_quarters(tmp_path, train=16, test=8)
    recipe = {"data.path": str(tmp_path), "data.val": 4, **large}
    open_task(read_recipe("mnist-cnn", {**recipe, "batch": 2}))
    with pytest.raises(
        ConfigError, match=r"cannot learn from one picture at a time: .* train.batch"
    ) as e:
        open_task(read_recipe("mnist-cnn", {**recipe, "batch": 1}))
    assert e.value.code == "E205"


def test_mixup_learns_parts_of_classes(folder):
    task = open_task(tiny(folder, augment__mixup=0.4))
    torch.manual_seed(0)
    images, targets = task.batch(0)
    assert targets.shape == (32, 4)
    torch.testing.assert_close(targets.sum(1), torch.ones(32))
    assert task.loss(task.network, (images, targets)).isfinite()


def test_balanced_weights_and_smoothing():
    labels = torch.tensor([0, 0, 0, 1])
    logits = torch.tensor([[2.0, 0.0], [0.5, 1.0]])
    targets = torch.tensor([0, 1])
    options = TrainOptions(steps=1, class_weights="balanced", label_smoothing=0.2)
    found = ClassLoss(options, labels, 2)(logits, targets)
    logs = logits.log_softmax(1).numpy()
    weights = np.array([4 / (2 * 3), 4 / (2 * 1)])
    truth = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = -(weights * truth * logs).sum() / weights.sum()
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_pictures_of_several_sizes_need_a_size():
    two = (np.zeros((4, 4, 3), np.uint8), np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"the pictures have 2 sizes; set image.size_hw"):
        image_spec(ImageOptions(), two)
    assert image_spec(ImageOptions(size_hw=(6, 6)), two).pixel_format == "rgb8"


@pytest.mark.parametrize(
    ("overrides", "code", "text"),
    [
        ({"family": "lennet"}, "E203", "did you mean 'lenet'"),
        ({"widths": "wide"}, "E204", "widths must be"),
        ({"image.layout": "NHWC"}, "E203", "unknown key 'layout'"),
        ({"image.fil": 3}, "E203", "did you mean 'fill'"),
        ({"mean": "[0.5, 0.5]", "pixel_format": "rgb8"}, "E205", "must have 3 values"),
        ({"val": "many"}, "E204", "must be int"),
        ({"rotate": 400}, "E205", "augment.rotate must be in"),
        ({"size_hw": 32}, "E204", "image size_hw must be a list; got 32"),
        ({"model.weigths": "a.pt"}, "E203", "did you mean 'weights'"),
        ({"model.freez": True}, "E203", "did you mean 'freeze'"),
        ({"weigths": "a.pt"}, "E203", "did you mean 'model.weights'"),
        ({"freeze": True}, "E205", "keeps what was learnt elsewhere"),
        ({"model.freeze": "often"}, "E204", "freeze must be bool"),
        ({"model.freeze": True}, "E205", "keeps what was learnt elsewhere; name it: model.weights"),
        ({"mean": "[0.5]", "pixel_format": "gray8"}, "E205", "image.mean and image.std belong"),
        ({"time_jitter": 2}, "E205", "augment.time_jitter is for clips; got 2"),
        ({"steps": 5, "train.epochs": 2}, "E205", "either epochs or steps"),
    ],
)
def test_mistakes_in_the_recipe(overrides, code, text):
    with pytest.raises(ConfigError, match=text) as err:
        read_recipe("mnist-cnn", overrides)
    assert err.value.code == code


def test_data_that_changed_since_is_told(tmp_path, caplog):
    data = write_quarters(tmp_path / "data")
    run = train("mnist-cnn", tmp_path / "run", {**TINY, "data.path": str(data), "epochs": 0.1})
    look = [["eval", str(run.path)], ["eval", str(run.path), "--split", "val"]]
    assert [main(words) for words in look] == [0, 0]
    assert caplog.messages == []
    write_quarters(data, shuffled=True)
    assert [main(words) for words in look] == [0, 0]
    assert main([*look[0], "--data", str(data)]) == 0
    RunOrigin(run.path).samples("test", 5)
    assert [text.partition(" is not what it was")[0] for text in caplog.messages] == [
        "the split test", "the split val", "the split test",
    ]  # fmt: skip
