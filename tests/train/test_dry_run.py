"""What a training would take."""

from idx_files import write_quarters

from edgedl.train.dry_run import dry_run


def test_says_what_a_training_would_take_and_writes_nothing(tmp_path, monkeypatch):
    folder = write_quarters(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    found = dry_run(
        "mnist-cnn",
        {"data.path": str(folder), "val": 60, "widths": [8], "depth": 1, "precision": "fp32",
         "channels_last": "no", "batch": 20, "epochs": 2.5},
    )  # fmt: skip
    assert found["steps"] == 33  # 2.5 epochs of 260 // 20 steps
    assert found["parameters"] == 8 * 9 + 2 * 8 + 8 * 4 + 4
    assert found["macs"] == {"model": 12 * 12 * 9 * 8 + 8 * 4}
    text = "\n".join(found["lines"])
    assert "Conv2d" in text
    assert "a batch: (20, 1, 12, 12), (20,)" in text
    assert "33 steps of" in text
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
