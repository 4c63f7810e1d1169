"""Old or new, never half: whatever happens while a folder is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgedl.bundle import files
from edgedl.bundle.files import new_folder, safe_name, sha256_file, write_file
from edgedl.errors import BundleError, IntegrityError


def content(folder: Path) -> str:
    return (folder / "manifest.json").read_text()


def make(dest: Path, text: str, force: bool = False) -> None:
    with new_folder(dest, force) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("x")
        write_file(folder / "manifest.json", text)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_appears_complete_and_alone(tmp_path: Path) -> None:
    make(tmp_path / "new" / "x.edge", "one")
    assert names(tmp_path / "new") == ["x.edge"]
    assert names(tmp_path / "new" / "x.edge") == ["manifest.json", "sub"]


def test_existing_is_an_error_and_stays(tmp_path: Path) -> None:
    make(tmp_path / "x.edge", "one")
    with pytest.raises(BundleError, match="--force") as caught:
        make(tmp_path / "x.edge", "two")
    assert caught.value.code == "E432"
    assert content(tmp_path / "x.edge") == "one"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_force_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(files, "_exchange", lambda *_: False)
    make(tmp_path / "x.edge", "one")
    make(tmp_path / "x.edge", "two", force=True)
    assert content(tmp_path / "x.edge") == "two"
    assert names(tmp_path) == ["x.edge"]


def test_force_never_replaces_a_foreign_folder(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("a")
    with pytest.raises(BundleError, match="never replaced"):
        make(tmp_path / "photos", "one", force=True)
    assert names(tmp_path / "photos") == ["a.jpg"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x.edge").mkdir()
    make(tmp_path / "x.edge", "one")
    assert content(tmp_path / "x.edge") == "one"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("force", [True, False])
def test_a_failure_inside_leaves_the_old_one(
    tmp_path: Path, error: type[BaseException], force: bool
) -> None:
    dest = tmp_path / "x.edge"
    if force:
        make(dest, "one")
    with pytest.raises(error), new_folder(dest, force) as folder:  # noqa: PT012
        (folder / "half").write_text("half")
        raise error
    assert names(tmp_path) == (["x.edge"] if force else [])
    assert not force or content(dest) == "one"


@pytest.mark.parametrize("failing", ["_flush", "_exchange", "_flush_tree", "_put_in_place"])
def test_a_failure_while_finishing_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    dest = tmp_path / "x.edge"
    make(dest, "one")

    def fail(*_: object) -> bool:
        raise RuntimeError(failing)

    with pytest.raises(RuntimeError), new_folder(dest, force=True) as folder:  # noqa: PT012
        (folder / "manifest.json").write_text("two")
        monkeypatch.setattr(files, failing, fail)
    assert content(dest) == "one"
    assert names(tmp_path) == ["x.edge"]


def test_failure_between_the_two_renames_puts_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "x.edge"
    make(dest, "one")
    monkeypatch.setattr(files, "_exchange", lambda *_: False)
    rename = Path.rename

    def fail_for_partial(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise RuntimeError(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_partial)
    with pytest.raises(RuntimeError):
        make(dest, "two", force=True)
    assert content(dest) == "one"
    assert names(tmp_path) == ["x.edge"]


def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nothing was written") as caught:  # noqa: SIM117
        with new_folder(tmp_path / "x.edge"):
            raise OSError(28, "No space left on device")
    assert caught.value.code == "E430"
    assert names(tmp_path) == []


def test_destination_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "x.edge").write_text("mine")
    with pytest.raises(BundleError) as caught:
        make(tmp_path / "x.edge", "one", force=True)
    assert caught.value.code == "E433"
    assert (tmp_path / "x.edge").read_text() == "mine"


def test_parent_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BundleError, match="cannot be written") as caught:
        make(tmp_path / "file" / "x.edge", "one")
    assert caught.value.code == "E431"


LOOP = """
import sys
from pathlib import Path
from edgedl.bundle.files import new_folder, write_file
print("ready", flush=True)
for n in range(100000):
    with new_folder(Path(sys.argv[1]), force=True) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("x")
        write_file(folder / "manifest.json", str(n))
"""


def test_killed_writers_leave_old_or_new(tmp_path: Path) -> None:
    dest = tmp_path / "x.edge"
    make(dest, "-1")
    for wait_ms in (0, 5, 20):
        with subprocess.Popen([sys.executable, "-c", LOOP, dest], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(wait_ms / 1000)
            writer.send_signal(signal.SIGKILL)
        assert content(dest).lstrip("-").isdigit()
        assert (dest / "sub" / "x").read_text() == "x"


def test_only_old_unlocked_leftovers_are_removed(tmp_path: Path) -> None:
    dest = tmp_path / "x.edge"
    dead, young = tmp_path / ".x.edge.partial-00000000", tmp_path / ".x.edge.partial-11111111"
    other = tmp_path / ".y.edge.partial-00000000"
    for folder in (dead, young, other):
        folder.mkdir()
    for folder in (dead, other):
        os.utime(folder, (1, 1))
    with new_folder(dest) as living:
        os.utime(living, (1, 1))
        make(dest, "inner")
        assert living.exists()
        (living / "manifest.json").write_text("outer")
        files.shutil.rmtree(dest)
    assert names(tmp_path) == sorted([young.name, other.name, "x.edge"])


def test_write_file_keeps_the_old_text_when_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_file(path, "one")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(BundleError) as caught:
        write_file(path, "two")
    assert caught.value.code == "E430"
    assert path.read_text() == "one"
    assert names(tmp_path) == ["a.json"]


def test_write_file_onto_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is a folder"):
        write_file(tmp_path, b"")


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a").startswith("ba7816bf8f01cfea")


@pytest.mark.parametrize("name", ["a", "graphs/encoder.int8-cpu.onnx", "golden/a_1.png"])
def test_safe_names(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/../b",
        "/x",
        "a//b",
        "a/",
        ".",
        "..",
        ".hidden",
        "a\0b",
        "a\\b",
        "C:x",
        "-x",
        "a\n",
        "é",
    ],
)
def test_unsafe_names(name: str) -> None:
    refused(name)


def test_long_and_deep_names() -> None:
    refused("a" * 201)
    refused("a/b/c/d/e")


def refused(name: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        safe_name(name)
    assert caught.value.code == "E405"
    assert caught.value.exit_code == 6
