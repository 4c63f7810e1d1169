"""An export killed at any moment leaves the old bundle or the new one, and the next one works."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from idx_files import write_quarters

from edgedl.bundle import Bundle, list_files
from edgedl.export import ExportOptions, export
from edgedl.runtime.verify import verify
from edgedl.train import Run, train

MOMENTS = 40
TINY = {
    "data.val": 20,
    "model.widths": [8],
    "model.depth": 1,
    "train.epochs": 1,
    "train.batch": 32,
    "train.precision": "fp32",
    "train.channels_last": "no",
}
OPTIONS = ExportOptions(held_out=16, calibration=16, rounds=30, max_drop=100.0, force=True)

# Imports once, then forks for each line it reads: the moments fall into the export itself.
EXPORTER = """
import os, sys, signal
from pathlib import Path
import torch
torch.set_num_threads(1)
from edgedl.export import ExportOptions, export
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
for line in sys.stdin:
    run, out = line.split()
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    options = ExportOptions(held_out=16, calibration=16, rounds=30, max_drop=100.0, force=True)
    os.close(1)
    export(Path(run), Path(out), options)
    Path(out + ".done").touch()
    os._exit(0)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = write_quarters(tmp_path_factory.mktemp("quarters"), train=64, test=16)
    out = tmp_path_factory.mktemp("trained") / "run"
    return train("mnist-cnn", out, {**TINY, "data.path": str(folder)})


@pytest.fixture
def exporter() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", EXPORTER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def begin(exporter: subprocess.Popen[str], run: Run, out: Path) -> int:
    assert exporter.stdin is not None
    assert exporter.stdout is not None
    exporter.stdin.write(f"{run.path} {out}\n")
    exporter.stdin.flush()
    return int(exporter.stdout.readline())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(pid: int) -> float:
    start = time.monotonic()
    while is_there(pid):
        assert time.monotonic() - start < 120
        time.sleep(0.005)
    return time.monotonic() - start


def test_killed_at_any_moment(run: Run, tmp_path: Path, exporter: subprocess.Popen[str]) -> None:
    out, done = tmp_path / "x.edge", tmp_path / "x.edge.done"
    took_s = wait_for(begin(exporter, run, out))
    assert done.is_file()
    done.unlink()
    moments = random.Random(1)
    digests, finished = {Bundle.open(out).manifest.digest}, 0
    for _ in range(MOMENTS):
        pid = begin(exporter, run, out)
        time.sleep(moments.uniform(0, 1.15 * took_s))
        if is_there(pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(pid)
        bundle = Bundle.open(out)
        written = {name: file for name, file in list_files(out).items() if name != "manifest.json"}
        assert written == dict(bundle.manifest.files)
        digests.add(bundle.manifest.digest)
        finished += done.is_file()
        done.unlink(missing_ok=True)
    assert finished < MOMENTS
    assert len(digests) >= finished  # made at other times
    for leftover in tmp_path.glob(".x.edge.partial-*"):
        os.utime(leftover, (0, 0))  # it is removed once it is surely nobody's
    made = export(run.path, out, OPTIONS)
    assert verify(made.path).passed
    assert [path.name for path in tmp_path.iterdir()] == ["x.edge"]
