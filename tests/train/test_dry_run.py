"""What a training would take."""

from idx_files import write_quarters

from edgedl.train import choose
from edgedl.train.dry_run import dry_run


def test_says_what_a_training_would_take_and_writes_nothing(tmp_path, monkeypatch):
    folder = write_quarters(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = dry_run(
        "mnist-cnn",
        {"data.path": str(folder), "val": 60, "widths": [8], "depth": 1, "batch": 20,
         "epochs": 2.5},
    )  # fmt: skip
    assert found["steps"] == 33  # 2.5 epochs of 260 // 20 steps
    assert found["parameters"] == 8 * 9 + 2 * 8 + 8 * 4 + 4
    assert found["macs"] == {"model": 12 * 12 * 9 * 8 + 8 * 4}
    text = "\n".join(found["lines"])
    assert "Conv2d" in text
    assert "a batch: (20, 1, 12, 12), (20,)" in text
    assert "33 steps of" in text
    assert {path.name for path in tmp_path.iterdir()} == {"data"}


CLIPS = {
    "data.size_px": 24, "data.train": 12, "data.val": 6, "data.test": 6, "model.channels": [8],
    "model.features": 8, "model.hidden": 8, "precision": "fp32", "channels_last": "no",
}  # fmt: skip


def test_all_frames_of_the_batch_take_memory():
    needed = [
        dry_run("clips-lstm", {**CLIPS, "batch": batch, "data.frames": frames})["training_bytes"]
        for batch, frames in ((4, 4), (4, 8), (8, 8))
    ]
    of_16_frames, of_32_frames = needed[1] - needed[0], needed[2] - needed[1]
    assert of_16_frames > 16 * 4 * 24 * 24
    assert 1.9 < of_32_frames / of_16_frames < 2.1


def test_copies_of_the_weights_take_memory():
    few = {"batch": 1, "data.frames": 2, "model.channels": [1], "model.hidden": 512}
    needed = {}
    for name, change in {
        "adam": {},
        "last": {"keep": "last"},
        "mean": {"ema": 0.9},
        "sgd": {"optimizer.name": "sgd"},
    }.items():
        needed[name] = dry_run("clips-lstm", {**CLIPS, **few, **change})
    weights = 4 * needed["adam"]["parameters"]
    for name, copies in (("last", -1), ("mean", 1), ("sgd", -1)):
        more = needed[name]["training_bytes"] - needed["adam"]["training_bytes"]
        assert abs(more / weights - copies) < 0.01


def test_the_manner_is_measured_once_and_not_remembered(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    open_choice = {**CLIPS, "batch": 4, "precision": "auto", "channels_last": "auto"}
    measured = []
    measure = choose._measure
    monkeypatch.setattr(choose, "_measure", lambda *given: measured.append(1) or measure(*given))
    dry_run("clips-lstm", open_choice)
    dry_run("clips-lstm", open_choice)
    assert len(measured) == 2  # and no third time by the training that is timed
    assert not list(tmp_path.iterdir())
