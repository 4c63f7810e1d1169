"""Miniature trainings of clip classifiers, and what a batch of one is."""

import numpy as np
import pytest
import torch
from losses import first_and_last_loss
from videos import gray, write_video

from edgedl.data.clips import ClipsOptions, open_clips
from edgedl.errors import ConfigError
from edgedl.runtime.preprocess import Preprocessor
from edgedl.train import train
from edgedl.train.folds import Fold
from edgedl.train.tasks import open_task, read_recipe

TINY = {
    "data.frames": 6,
    "data.size_px": 24,
    "data.train": 240,
    "data.val": 30,
    "data.test": 60,
    "model.channels": [8, 16],
    "model.features": 24,
    "model.hidden": 24,
    "train.batch": 20,
    "train.precision": "fp32",
    "train.channels_last": "no",
    "train.validations": 2,
}


def tiny(name="clips-lstm", **overrides):
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return read_recipe(name, {**TINY, **dotted})


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Write eight videos of a grey that becomes brighter, and eight that become darker."""
    root = tmp_path_factory.mktemp("videos")
    for label, step in (("brighter", 20), ("darker", -20)):
        for i in range(8):
            levels = 60 + 5 * i + np.arange(6) * 20
            pictures = gray(levels[:: 1 if step > 0 else -1], (80, 96))
            write_video(root / label / f"{i}.mkv", pictures, "ffv1")
    return root


@pytest.mark.parametrize("name", ["clips-lstm", "clips-frame-cnn"])
def test_loss_falls(name, tmp_path):
    overrides = {**TINY, "train.epochs": 6, "optimizer.lr": 0.01}
    run = train(name, tmp_path / "run", overrides)
    first, last = first_and_last_loss(run)
    assert last < first
    assert run.metrics["test"]["n"] == 60
    assert set(run.model_spec.roles) == {"encoder", "model"}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert "Confusion" in page
    assert "receding" in page


def test_learns_from_a_folder_of_videos(videos, tmp_path):
    overrides = {**TINY, "data.path": str(videos), "train.epochs": 10, "train.batch": 4,
                 "data.val_part": 0.25, "data.test_part": 0.25, "optimizer.lr": 0.01}  # fmt: skip
    run = train("clips-lstm", tmp_path / "run", overrides)
    assert run.model_spec.labels == ("brighter", "darker")
    assert run.spec.size_hw == (64, 64)  # of 80 x 96: no more is needed
    assert run.spec.resize == "area"
    assert run.spec.pixel_format == "rgb8"
    assert run.metrics["test"]["accuracy"] == 1.0


def test_folds_part_the_videos(videos):
    recipe, held = tiny(data__path=str(videos), train__folds=4), []
    for index in range(4):
        task = open_task(recipe, Fold(index, 4))
        clips, labels = task._val
        assert len(clips) + len(task._clips) == 12  # 16 without the test's
        assert set(labels.bincount().tolist()) <= {1, 2}  # of six of each class
        held += [clip.numpy().tobytes() for clip in clips]
    assert len(set(held)) == 12


def test_memory_is_left_out_where_the_recipe_says_so():
    alone = open_task(tiny("clips-frame-cnn")).network
    clips = torch.rand(2, 6, 1, 24, 24)
    backwards = clips.flip(1)
    assert torch.allclose(alone.eval()(clips), alone(backwards), atol=1e-6)
    whole = open_task(tiny()).network.eval()
    assert not torch.allclose(whole(clips), whole(backwards), atol=1e-3)


def test_a_batch_is_what_the_preprocessor_makes():
    task = open_task(tiny())
    made = open_clips(
        ClipsOptions(generated="digits", frames=6, size_px=24, train=240, val=30, test=60)
    ).splits["train"]
    preprocess = Preprocessor(task.spec.image, "gray8")
    known = {
        np.concatenate([preprocess(frame) for frame in made.clip(i)]).tobytes(): int(label)
        for i, label in enumerate(made.labels)
    }
    for step in (0, 13):
        clips, labels = task.batch(step)
        assert clips.shape == (20, 6, 1, 24, 24)
        assert [known[clip.numpy().tobytes()] for clip in clips] == labels.tolist()


def test_mean_and_std_are_the_clips():
    task = open_task(tiny())
    made = open_clips(
        ClipsOptions(generated="digits", frames=6, size_px=24, train=240, val=30, test=60)
    ).splits["train"]
    pixels = np.stack([made.clip(i) for i in range(240)]) / 255
    assert task.spec.image.mean[0] == pytest.approx(pixels.mean(), abs=0.01)
    assert task.spec.image.std[0] == pytest.approx(pixels.std(), abs=0.01)


def test_all_frames_of_a_clip_change_alike():
    plain, moved = open_task(tiny()), open_task(tiny(augment__flip="random"))
    torch.manual_seed(1)
    before, after = plain.batch(2)[0], moved.batch(2)[0]
    mirrored = [torch.equal(a, b.flip(3)) for a, b in zip(after, before, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(after, before, strict=True)]
    assert all(m != s for m, s in zip(mirrored, same, strict=True))
    assert 2 < sum(mirrored) < 18


def test_alternating_flips_alternate():
    plain, moved = open_task(tiny()), open_task(tiny(augment__flip="alternate"))
    seen = [{}, {}]
    for step in range(24):  # two epochs of 240 // 20 steps
        before, after = plain.batch(step)[0], moved.batch(step)[0]
        for a, b, row in zip(after, before, plain._order.indices(step), strict=True):
            seen[step // 12][int(row)] = not torch.equal(a, b)
    assert seen[0].keys() == seen[1].keys()
    assert all(seen[1][row] != mirrored for row, mirrored in seen[0].items())


@pytest.mark.parametrize("channels", ["gray8", "rgb8"])
def test_colours_of_clips_turn_and_greys_do_not(channels):
    recipe = {"data__generated": "scenes", "data__frames": 3, "image__pixel_format": channels}
    plain = open_task(tiny(**recipe))
    turned = open_task(tiny(**recipe, augment__hue=0.3))
    before, after = plain.batch(0)[0], turned.batch(0)[0]
    assert torch.equal(before, after) == (channels == "gray8")


def test_jitter_keeps_the_order_of_frames():
    plain, jittered = open_task(tiny()), open_task(tiny(augment__time_jitter=2))
    torch.manual_seed(1)
    before, after = plain.batch(0)[0], jittered.batch(0)[0]
    changed = 0
    for one, other in zip(before, after, strict=True):
        places = [next(t for t in range(6) if torch.equal(one[t], frame)) for frame in other]
        assert places == sorted(places)
        changed += places != list(range(6))
    assert changed > 5


def test_mixup_is_refused():
    with pytest.raises(ConfigError, match=r"augment\.mixup is for pictures; got 0\.2"):
        tiny(augment__mixup=0.2)
