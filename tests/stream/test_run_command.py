"""The real command in its own process."""

import json
import os
import pty
import signal
import socket
import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from servers.command import COMMAND, edgedl
from servers.processes import closed_port, read_line

from edgedl.cli import main

KEYS = {"frame", "media_time_s", "age_ms", "text", "stage_ms", "backend", "precision", "model_hash"}


def test_text_lines(tiny_bundle: Path, clip: Path) -> None:
    done = edgedl("run", tiny_bundle, clip, "--max-frames", 4)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "0.000", "0.050", "0.100", "0.150",
    ]  # fmt: skip
    assert "4 frames answered" in done.stderr
    assert f"next: edgedl serve {tiny_bundle}" in done.stderr


def test_frames_without_motion_get_no_line(tiny_bundle: Path, tmp_path: Path) -> None:
    for i, level in enumerate((40, 40, 41, 200, 200)):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((90, 160, 3), level, np.uint8))
    done = edgedl("run", tiny_bundle, tmp_path, "--json", "--motion", 0.01)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["frame"] for line in done.stdout.splitlines()] == [0, 3]
    assert "2 frames answered, 3 without motion" in done.stderr
    done = edgedl("run", tiny_bundle, tmp_path, "--motion", 1)
    assert done.returncode == 2
    assert "error[E218] motion must be a fraction in [0, 1); got 1.0" in done.stderr


def test_json_lines_of_the_real_clip(tiny_bundle: Path, real_clip: Path) -> None:
    done = edgedl("run", tiny_bundle, real_clip, "--json")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 280
    assert [line["frame"] for line in lines] == list(range(280))
    assert all(line.keys() >= KEYS for line in lines)


def test_all_sinks_at_once(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    video, lines = tmp_path / "out.mp4", tmp_path / "out.json"
    done = edgedl("run", tiny_bundle, clip, video, "--json", lines)
    assert done.returncode == 0, done.stderr
    assert len(lines.read_text().splitlines()) == 30
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 30


def test_a_reader_that_leaves_is_no_error_of_ours(tiny_bundle: Path) -> None:
    command = [*COMMAND, "run", str(tiny_bundle), "test://scenes?fps=60&size=32"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert read_line(process, timeout_s=60)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_completes_the_video_of_a_camera(
    tiny_bundle: Path, tmp_path: Path, number: int
) -> None:
    out = tmp_path / "videos" / "out.mp4"
    out.parent.mkdir()
    code, stderr = run_and_signal(tiny_bundle, "test://scenes?fps=30&size=64", out, number)
    assert code == 0, stderr
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) >= 1
    assert [path.name for path in out.parent.iterdir()] == ["out.mp4"]


def test_a_terminal_that_is_gone_costs_no_video(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    child, terminal = pty.fork()
    if child == 0:
        source = "test://scenes?fps=30&size=64"
        os.execv(COMMAND[0], [*COMMAND, "run", str(tiny_bundle), source, str(out)])
    shown = b""
    while b" frames " not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    os.waitpid(child, 0)
    with av.open(str(out)) as container:
        assert len(list(container.decode(video=0))) >= 1


def test_a_signal_leaves_no_video_of_half_a_file(tiny_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "videos" / "out.mp4"
    out.parent.mkdir()
    source = "test://scenes?count=100000&size=64"
    code, stderr = run_and_signal(tiny_bundle, source, out, signal.SIGINT)
    assert code == 130, stderr
    assert list(out.parent.iterdir()) == []


def test_a_signal_ends_it_while_it_connects(tiny_bundle: Path) -> None:
    with socket.socket() as camera:
        camera.bind(("127.0.0.1", 0))
        camera.listen()
        camera.settimeout(60)
        uri = f"rtsp://127.0.0.1:{camera.getsockname()[1]}/x"
        command = [*COMMAND, "run", str(tiny_bundle), uri]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = camera.accept()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
            connection.close()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr


def run_and_signal(bundle: Path, source: str, out: Path, number: int) -> tuple[int, str]:
    command = [*COMMAND, "run", str(bundle), source, str(out), "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert read_line(process, timeout_s=60)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
        assert "Traceback" not in stderr
        return process.returncode, stderr


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (["missing.mp4"], 3, "E330"),
        (["test://scenes?fsp=1"], 3, "did you mean 'fps'"),
        (["test://scenes?count=2", "out.gif"], 2, "E130"),
        (["test://scenes?count=2", "--max-frames", "0"], 2, "E132"),
        (["rtsp://admin:s3cret@127.0.0.1:{port}/x"], 3, "E311"),
    ],
)
def test_wrong_arguments(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], args: list[str], code: int, text: str
) -> None:
    port = closed_port()
    args = [arg.format(port=port) for arg in args]
    assert main(["run", str(tiny_bundle), *args]) == code
    said = capsys.readouterr().err
    assert text in said
    assert "s3cret" not in said


def test_signals_are_as_they_were_afterwards(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    words = ["run", str(tiny_bundle), "test://scenes?count=2", "--json", str(tmp_path / "x.jsonl")]
    assert main(words) == 0, capsys.readouterr().err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_the_source_is_not_written_over(tiny_bundle: Path, clip: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.mp4"
    video.write_bytes(clip.read_bytes())
    done = edgedl("run", tiny_bundle, video, tmp_path / ".." / tmp_path.name / "clip.mp4")
    assert done.returncode == 2
    assert "clip.mp4 is the source itself; name another file" in done.stderr
    assert video.read_bytes() == clip.read_bytes()


def test_a_full_disk_behind_standard_output_is_told_of_once(tiny_bundle: Path, clip: Path) -> None:
    command = [*COMMAND, "run", str(tiny_bundle), str(clip)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error[E131] cannot write <stdout>: No space left on device; ")
    assert len(done.stderr.splitlines()) == 1
