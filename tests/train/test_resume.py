"""Trainings that are interrupted from outside and go on, against one that is not."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from idx_files import write_quarters

from edgedl.errors import BundleError, DataError
from edgedl.train import Run, train

TINY = {
    "data.val": 60,
    "model.widths": [8, 16],
    "model.depth": 1,
    "train.steps": 400,
    "train.batch": 16,
    "train.ema": 0.9,
    "train.precision": "fp32",
    "train.channels_last": "yes",
    "train.checkpoint_s": 0,
    "train.validations": 5,
    "data.train_limit": 200,
}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return {**TINY, "data.path": str(write_quarters(tmp_path_factory.mktemp("quarters")))}


@pytest.fixture(scope="module")
def straight(options, tmp_path_factory):
    return train("mnist-cnn", tmp_path_factory.mktemp("straight") / "run", options)


def start(out, options, *more):
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    recipe = [] if "--resume" in more else ["mnist-cnn", *sets]
    command = [sys.executable, "-m", "edgedl", "train", *recipe, "--out", str(out), *more]
    path = os.pathsep.join(sys.path)
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def same(one, other):
    ours, theirs = one.network().state_dict(), other.network().state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_interrupted_at_a_random_moment(options, straight, tmp_path, number, code):
    out = tmp_path / "run"
    process = start(out, options)
    wait_for(tmp_path / "run.unfinished" / "checkpoints" / "last.safetensors", process)
    time.sleep(random.random() * 0.3)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if number != signal.SIGKILL:
        assert f"edgedl train --out {out} --resume" in err
    assert not out.exists()
    with pytest.raises(BundleError, match="has not ended; go on: edgedl train") as error:
        Run.open(out)
    assert error.value.code == "E435"
    resumed = train(None, out, resume=True)
    assert same(resumed, straight)
    assert resumed.metrics["test"] == straight.metrics["test"]
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {"run"}


def unfinished(options, tmp_path):
    """Leave a training that failed at its last steps."""

    def failing(progress):
        if progress.step > 0:
            raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        train("mnist-cnn", tmp_path / "run", options, failing)
    return tmp_path / "run"


def test_an_unfinished_training_is_not_overwritten(options, tmp_path):
    out = unfinished(options, tmp_path)
    with pytest.raises(BundleError, match="go on with --resume, or begin again with --force") as e:
        train("mnist-cnn", out, options)
    assert e.value.code == "E435"
    assert train("mnist-cnn", out, {**options, "train.steps": 5}, force=True).metrics["steps"] == 5


def test_what_was_learnt_is_not_lost_to_a_mistake(options, tmp_path):
    out = unfinished(options, tmp_path)
    left = out.with_name("run.unfinished")
    with pytest.raises(DataError, match="no data at"):
        train("mnist-cnn", out, {**options, "data.path": "nowhere"}, force=True)
    assert (left / "recipe.toml").is_file()
    assert list(left.rglob("*.safetensors"))


def test_what_is_no_training_is_left_alone(options, tmp_path):
    left = tmp_path / "run.unfinished"
    left.mkdir()
    (left / "thesis.txt").write_text("years")
    with pytest.raises(BundleError, match="is in the way and no unfinished training") as error:
        train("mnist-cnn", tmp_path / "run", options, force=True)
    assert error.value.code == "E432"
    assert (left / "thesis.txt").read_text() == "years"


def test_another_recipe_is_refused(options, tmp_path):
    out = unfinished(options, tmp_path)
    with pytest.raises(BundleError, match=r"train.batch was 16, now 8; go on without") as error:
        train("mnist-cnn", out, {**options, "train.batch": 8}, resume=True)
    assert error.value.code == "E436"
    with pytest.raises(BundleError, match=r"train.steps was 400, now 300"):
        train(None, out, {"steps": 300}, resume=True)


def test_nothing_to_go_on_with(straight, tmp_path):
    with pytest.raises(BundleError, match="was not begun; leave out --resume") as error:
        train(None, tmp_path / "run", resume=True)
    assert error.value.code == "E435"
    with pytest.raises(BundleError, match="has ended already"):
        train(None, straight.path, resume=True)
