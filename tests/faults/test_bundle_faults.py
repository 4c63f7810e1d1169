"""One flipped byte anywhere in a bundle: one error, the right exit code, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgedl.bundle import Bundle
from edgedl.cli import main
from edgedl.errors import EdgedlError

EVERY_POSITION_UP_TO_BYTES = 200
POSITIONS = 15


def files(bundle: Path) -> list[str]:
    return sorted(str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file())


def positions(size: int) -> list[int]:
    if size <= EVERY_POSITION_UP_TO_BYTES:
        return list(range(size))
    return sorted({*range(0, size, size // POSITIONS), size - 1})


def test_any_flipped_byte_is_noticed(tiny_bundle: Path) -> None:
    names = files(tiny_bundle)
    assert len(names) == 13
    for name in names:
        path = tiny_bundle / name
        raw = path.read_bytes()
        for at in positions(len(raw)):
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :])
            with pytest.raises(EdgedlError) as caught:
                Bundle.open(tiny_bundle)
            codes = ("E401", "E402") if name == "manifest.json" else ("E402",)
            assert caught.value.code in codes, (name, at)
            assert path.name in str(caught.value)
            assert caught.value.exit_code == (4 if caught.value.code == "E401" else 6)
        path.write_bytes(raw)
    Bundle.open(tiny_bundle)


def test_any_emptied_file_is_noticed(tiny_bundle: Path) -> None:
    """What a Jetson finds after a power cut."""
    for name in files(tiny_bundle):
        raw = (tiny_bundle / name).read_bytes()
        (tiny_bundle / name).write_bytes(b"")
        with pytest.raises(EdgedlError) as caught:
            Bundle.open(tiny_bundle)
        assert caught.value.code == ("E401" if name == "manifest.json" else "E402")
        (tiny_bundle / name).write_bytes(raw)


def one_error(stderr: str, code: str) -> None:
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    assert lines[0].startswith(f"error[{code}] ")


@pytest.mark.parametrize("command", ["verify", "inspect", "run"])
@pytest.mark.parametrize("name", ["manifest.json", "vocab.json", "graphs/step.int8-cpu.onnx"])
def test_commands_say_it_in_one_line(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    raw = bytearray((tiny_bundle / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (tiny_bundle / name).write_bytes(raw)
    source = ["test://scenes?count=1"] if command == "run" else []
    assert main([command, str(tiny_bundle), *source]) == 6
    one_error(capsys.readouterr().err, "E402")


def no_bundle(path: Path) -> None:
    (path / "manifest.json").unlink()


def not_json(path: Path) -> None:
    (path / "manifest.json").write_text("<html>")


def missing(path: Path) -> None:
    (path / "golden" / "one.npz").unlink()


def unlisted(path: Path) -> None:
    (path / "notes\n.txt").write_text("")


def linked(path: Path) -> None:
    (path / "vocab.json").unlink()
    (path / "vocab.json").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("damage", "code", "exit_code"),
    [
        (no_bundle, "E400", 4),
        (not_json, "E401", 4),
        (missing, "E403", 4),
        (unlisted, "E404", 4),
        (linked, "E405", 6),
    ],
)
@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_damage_has_its_code(
    tiny_bundle: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    code: str,
    exit_code: int,
    command: str,
) -> None:
    damage(tiny_bundle)
    assert main([command, str(tiny_bundle), "--json"]) == exit_code
    out = capsys.readouterr()
    one_error(out.err, code)
    assert out.out == ""


def test_cut_graph_with_a_fitting_digest(
    tiny_bundle: Path, relist: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny_bundle / "graphs" / "step.fp32.onnx"
    os.truncate(path, path.stat().st_size // 2)
    relist(tiny_bundle)
    assert main(["verify", str(tiny_bundle)]) == 4
    one_error(capsys.readouterr().err, "E410")


def test_the_installed_command(tiny_bundle: Path) -> None:
    (tiny_bundle / "golden" / "golden.json").write_text("{}")
    command = [sys.executable, "-m", "edgedl", "verify", str(tiny_bundle)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 6
    one_error(done.stderr, "E402")
