"""What opens, and what each wrong folder is told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgedl.bundle import Bundle
from edgedl.errors import BundleError, EdgedlError, IntegrityError


def refused(path: Path, code: str, exit_code: int, *says: str) -> None:
    with pytest.raises(EdgedlError) as caught:
        Bundle.open(path)
    assert (caught.value.code, caught.value.exit_code) == (code, exit_code)
    for text in says:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


Relist = Callable[..., None]


def test_opens(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    assert bundle.manifest.name == "tiny"
    assert bundle.precisions == ("fp32", "int8-cpu")
    assert bundle.graph("step", "fp32") == tiny_bundle / "graphs" / "step.fp32.onnx"
    assert bundle.spec.size_hw == (8, 8)
    assert len(bundle.vocab) == 15
    golden = bundle.golden()
    assert [sample.name for sample in golden] == ["one", "two", "three"]
    assert golden[0].expected["int8-cpu"].arrays["features"].shape == (4, 3)


def test_opens_through_a_link_to_the_folder(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(tiny_bundle)
    assert Bundle.open(str(tmp_path / "current")).manifest.name == "tiny"


def test_a_graph_that_is_not_there(tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="no fp16 step; it has fp32, int8-cpu") as caught:
        Bundle.open(tiny_bundle).graph("step", "fp16")
    assert caught.value.code == "E419"


def test_no_bundle(tmp_path: Path) -> None:
    refused(tmp_path / "x.edge", "E400", 4, "does not exist")
    (tmp_path / "x.unfinished").mkdir()
    refused(tmp_path / "x", "E400", 4, f"edgedl train --out {tmp_path / 'x'} --resume")
    (tmp_path / "file").write_text("hello")
    refused(tmp_path / "file", "E400", 4, "a file of 5 bytes")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "E400", 4, "it is empty")
    (tmp_path / "photos").mkdir()
    for name in "dcba\n":
        (tmp_path / "photos" / f"{name}.jpg").write_text("")
    refused(tmp_path / "photos", "E400", 4, "manifest.json is missing; found ", "a.jpg, b.jpg, …")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.json").write_text("{}")
    refused(tmp_path / "run", "E400", 4, "edgedl export")


def test_manifest_is_a_folder_or_too_large(tiny_bundle: Path) -> None:
    (tiny_bundle / "manifest.json").unlink()
    (tiny_bundle / "manifest.json").write_bytes(b" " * (5 << 20))
    refused(tiny_bundle, "E406", 4, "larger than")
    (tiny_bundle / "manifest.json").unlink()
    (tiny_bundle / "manifest.json").mkdir()
    refused(tiny_bundle, "E403", 4, "manifest.json")


def test_missing_file(tiny_bundle: Path) -> None:
    (tiny_bundle / "golden" / "two.png").unlink()
    refused(tiny_bundle, "E403", 4, "golden/two.png is missing")


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "graphs/other.onnx", "new/x", "a\nb"])
def test_unlisted_file(tiny_bundle: Path, name: str) -> None:
    (tiny_bundle / name).parent.mkdir(exist_ok=True)
    (tiny_bundle / name).write_text("")
    refused(tiny_bundle, "E404", 4, "is not in the manifest")


def test_size_and_content(tiny_bundle: Path) -> None:
    path = tiny_bundle / "vocab.json"
    raw = path.read_bytes()
    path.write_bytes(raw + b" ")
    refused(tiny_bundle, "E402", 6, "vocab.json", f"expected {len(raw)} bytes, got {len(raw) + 1}")
    path.write_bytes(raw.replace(b"red", b"rad"))
    refused(tiny_bundle, "E402", 6, "vocab.json", "sha256")


def test_a_file_that_changes_after_opening_is_noticed(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    path = tiny_bundle / "graphs" / "step.fp32.onnx"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(IntegrityError, match=r"step\.fp32\.onnx"):
        bundle.read("graphs/step.fp32.onnx")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(IntegrityError, match="got more"):
        bundle.read("graphs/step.fp32.onnx")
    path.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read("graphs/step.fp32.onnx")
    with pytest.raises(BundleError, match="has no file"):
        bundle.read("../secret")


def test_links_and_devices(tiny_bundle: Path, tmp_path: Path) -> None:
    path, kept = tiny_bundle / "vocab.json", tmp_path / "kept.json"
    shutil.move(path, kept)
    path.symlink_to(kept)
    refused(tiny_bundle, "E405", 6, "vocab.json", "link")
    path.unlink()
    os.link(kept, path)
    refused(tiny_bundle, "E405", 6, "vocab.json", "2 names")
    path.unlink()
    os.mkfifo(path)
    refused(tiny_bundle, "E405", 6, "vocab.json", "not a regular file")
    path.unlink()
    shutil.copy(kept, path)
    Bundle.open(tiny_bundle)
    (tiny_bundle / "golden2").symlink_to(tiny_bundle / "golden")
    refused(tiny_bundle, "E405", 6, "golden2")


def test_too_many_files(tiny_bundle: Path) -> None:
    for i in range(1100):
        (tiny_bundle / f"f{i}").touch()
    refused(tiny_bundle, "E406", 4, "more than")


def test_too_deep(tiny_bundle: Path) -> None:
    (tiny_bundle / "a/b/c/d/e/f").mkdir(parents=True)
    refused(tiny_bundle, "E405", 6, "unsafe")


@pytest.mark.parametrize("keep", [0, 1, 100, 700])
def test_cut_graph_with_a_fitting_digest(tiny_bundle: Path, relist: Relist, keep: int) -> None:
    path = tiny_bundle / "graphs" / "encoder.fp32.onnx"
    path.write_bytes(path.read_bytes()[:keep])
    relist(tiny_bundle)
    refused(tiny_bundle, "E410", 4, "encoder.fp32.onnx is not an ONNX model")


def test_graph_that_reads_other_files(tiny_bundle: Path, relist: Relist) -> None:
    onnx = pytest.importorskip("onnx")
    path = tiny_bundle / "graphs" / "encoder.fp32.onnx"
    model = onnx.load(path)
    tensor = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(tensor, location="../secret")
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    relist(tiny_bundle)
    refused(tiny_bundle, "E411", 6, "another file")


def test_vocabulary_with_a_fitting_digest(tiny_bundle: Path, relist: Relist) -> None:
    (tiny_bundle / "vocab.json").write_bytes(b'{"tokens": ["\xff"]}')
    relist(tiny_bundle)
    with pytest.raises(BundleError) as caught:
        _ = Bundle.open(tiny_bundle).vocab
    assert caught.value.code == "E416"


def test_golden_pictures_are_exact(tiny_bundle: Path) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(Bundle.open(tiny_bundle).golden()[0].given.pictures[0], picture)


def test_a_folder_that_may_not_be_read(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", forbid)
    refused(tiny_bundle, "E403", 4, "cannot be read: Permission denied")
