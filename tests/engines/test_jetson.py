"""The script for a Jetson, run with something in trtexec's place."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from edgedl.bundle import Bundle
from edgedl.engines.bundle_engines import graphs_for
from edgedl.engines.jetson import WORKSPACE_MIB, write_build_script
from edgedl.engines.tensorrt_api import NetworkOptions
from edgedl.errors import BundleError, UsageError

TRTEXEC = """#!/bin/sh
printf '%s\\n' "$@" >> "$0.log"
for word in "$@"; do
  case $word in
  --onnx=*) graph=${word#--onnx=} ;;
  --saveEngine=*) engine=${word#--saveEngine=} ;;
  esac
done
[ -f "$graph" ] || exit 3
echo "engine of $graph" > "$engine"
"""


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.open(tiny_bundle)


def run_script(folder: Path, trtexec: Path, status: str = "") -> subprocess.CompletedProcess[str]:
    trtexec.write_text(TRTEXEC + status)
    trtexec.chmod(0o755)
    environment = {**os.environ, "TRTEXEC": str(trtexec)}
    script = [folder / "build.sh"]
    return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)


def test_the_script_builds_every_role(bundle: Bundle, tmp_path: Path) -> None:
    out, trtexec = tmp_path / "a folder", tmp_path / "trtexec"
    options = NetworkOptions(batches=((1, 2, 4),), workspace_mib=77, optimization_level=2)
    write_build_script(bundle, graphs_for(bundle), out, options)
    done = run_script(out, trtexec)
    assert (done.returncode, done.stdout) == (0, "built: encoder.engine step.engine\n"), done.stderr
    assert (out / "step.engine").read_text() == "engine of step.fp32.onnx\n"
    words = (tmp_path / "trtexec.log").read_text().splitlines()
    half = words.index("--onnx=step.fp32.onnx")
    assert words[:half] == [
        "--onnx=encoder.fp32.onnx",
        "--saveEngine=encoder.engine.partial",
        "--stronglyTyped",
        "--memPoolSize=workspace:77",
        "--timingCacheFile=timing.cache",
        "--skipInference",
        "--builderOptimizationLevel=2",
        "--minShapes=image:1x3x8x8",
        "--optShapes=image:2x3x8x8",
        "--maxShapes=image:4x3x8x8",
    ]
    assert words[-1] == "--maxShapes=token:4,h_in:4x5,c_in:4x5,features:4x4x3"


def test_a_name_of_an_input_is_never_a_command(bundle: Bundle, tmp_path: Path) -> None:
    graph = graphs_for(bundle)[0]
    evil = dataclasses.replace(graph.inputs[0], name="a b'$(touch evil)`touch evil`;touch evil")
    graph = dataclasses.replace(graph, inputs=(evil,))
    out = tmp_path / "out"
    write_build_script(bundle, (graph,), out, NetworkOptions())
    done = run_script(out, tmp_path / "trtexec")
    assert done.returncode == 0, done.stderr
    assert not (out / "evil").exists()
    assert f"--minShapes={evil.name}:1x3x8x8\n" in (tmp_path / "trtexec.log").read_text()


def test_several_profiles(bundle: Bundle, tmp_path: Path) -> None:
    options = NetworkOptions(batches=((1, 1, 1), (2, 4, 8)))
    said = write_build_script(bundle, graphs_for(bundle)[:1], tmp_path / "out", options)
    assert len(said["engines"]["encoder"]["profiles"]) == 2
    text = (tmp_path / "out" / "build.sh").read_text()
    assert text.index("--profile=0") < text.index("1x3x8x8") < text.index("--profile=1")
    assert text.index("--profile=1") < text.index("--maxShapes=image:8x3x8x8")


def test_what_it_says(bundle: Bundle, tmp_path: Path) -> None:
    said = write_build_script(bundle, graphs_for(bundle), tmp_path / "out", NetworkOptions())
    written = (tmp_path / "out" / "build.json").read_text()
    assert json.loads(written) == json.loads(json.dumps(said))
    assert said["engines"]["step"]["build_memory_mib"] == 1200 + WORKSPACE_MIB
    assert said["memory"] == "estimates, not yet measured on a board"
    assert "Expected: 2224 MiB" in (tmp_path / "out" / "build.sh").read_text()
    graph = tmp_path / "out" / "step.fp32.onnx"
    assert graph.read_bytes() == bundle.graph("step", "fp32").read_bytes()


def test_a_failing_trtexec_leaves_no_engine(bundle: Bundle, tmp_path: Path) -> None:
    write_build_script(bundle, graphs_for(bundle), tmp_path / "out", NetworkOptions())
    assert run_script(tmp_path / "out", tmp_path / "trtexec", "exit 1\n").returncode == 1
    assert not list((tmp_path / "out").glob("*.engine"))


def test_without_trtexec_it_says_how_to_get_it(bundle: Bundle, tmp_path: Path) -> None:
    write_build_script(bundle, graphs_for(bundle), tmp_path / "out", NetworkOptions())
    script, environment = tmp_path / "out" / "build.sh", {"PATH": "/usr/bin:/bin"}
    command = ["/bin/sh", script]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 5
    assert done.stderr == "trtexec not found; install it: sudo apt install tensorrt\n"


def test_a_folder_that_is_there_is_replaced_only_by_force(bundle: Bundle, tmp_path: Path) -> None:
    out, graphs = tmp_path / "out", graphs_for(bundle)
    write_build_script(bundle, graphs, out, NetworkOptions())
    with pytest.raises(BundleError, match="exists; choose another name") as caught:
        write_build_script(bundle, graphs, out, NetworkOptions())
    assert caught.value.code == "E432"
    write_build_script(bundle, graphs[:1], out, NetworkOptions(), force=True)
    assert not (out / "step.fp32.onnx").exists()


@pytest.mark.parametrize("kind", ["manifest.json", "model.json"])
def test_force_never_replaces_a_run_or_a_bundle(bundle: Bundle, tmp_path: Path, kind: str) -> None:
    out = bundle.path if kind == "manifest.json" else tmp_path / "run"
    out.mkdir(exist_ok=True)
    (out / kind).touch()
    before = sorted(path.name for path in out.iterdir())
    with pytest.raises(BundleError, match=r"exists and has no build\.json, so it is never") as err:
        write_build_script(bundle, graphs_for(bundle), out, NetworkOptions(), force=True)
    assert err.value.code == "E432"
    assert sorted(path.name for path in out.iterdir()) == before


def test_shapes_that_do_not_fit_write_nothing(bundle: Bundle, tmp_path: Path) -> None:
    shapes = {"image": ((1, 3, 8, 9),) * 3}
    options = NetworkOptions(profiles=(shapes,))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="input image must fit"):
        write_build_script(bundle, graphs_for(bundle), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
