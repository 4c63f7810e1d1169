"""``edgedl inspect`` of ONNX files, and of a bundle's graphs for a runtime."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgedl.cli import main


@pytest.fixture
def pooled(tmp_path: Path) -> Path:
    """Return a model that also gives the places of the maxima, which no TensorRT reads."""
    info = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("MaxPool", ["x"], ["y", "i"], name="pool\x1b", kernel_shape=[2, 2])
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [info("x", 1, ["N", 3, 8, 8])],
        [info("y", 1, ["N", 3, 7, 7]), info("i", 7, ["N", 3, 7, 7])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "pooled.onnx"
    onnx.save(onnx.helper.make_model(graph, ir_version=8, opset_imports=opset), path)
    return path


def test_findings_of_a_file(pooled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pooled)]) == 0
    out = capsys.readouterr()
    text = " ".join(out.out.split())
    assert "inputs x float32 (N, 3, 8, 8)" in text
    assert "operators MaxPool 1" in text
    assert (
        "error: pooled.onnx, MaxPool pool\N{REPLACEMENT CHARACTER}: also gives the places of the "
        "maxima; export without that output, used or not [one-output; for rtx, trt10, trt11]"
    ) in text
    assert "\x1b" not in out.out
    assert out.err == f"next: edgedl export {pooled} --out pooled.edge\n"


def test_what_is_said_of_many_nodes_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helper = onnx.helper
    names = [f"n{i}" for i in range(7)]
    nodes = [
        helper.make_node("DynamicQuantizeLinear", [a], [b, f"{b}s", f"{b}z"], name=b)
        if i % 2 == 0
        else helper.make_node("DequantizeLinear", [a, f"{a}s", f"{a}z"], [b], name=b)
        for i, (a, b) in enumerate(itertools.pairwise(names))
    ]
    sides = [[helper.make_tensor_value_info(n, 1, [4])] for n in ("n0", "n6")]
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(helper.make_graph(nodes, "g", *sides), opset_imports=opset)
    onnx.save(model, tmp_path / "x.onnx")
    assert main(["inspect", str(tmp_path / "x.onnx"), "--json", str(tmp_path / "f.json")]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.count("x.onnx, DynamicQuantizeLinear n1 and 2 more: TensorRT-RTX has no such") == 1
    assert "n3" not in text.partition("operators")[2]
    assert text.endswith("all nodes: --json")
    found = json.loads((tmp_path / "f.json").read_text())["findings"]
    told = [f["node"] for f in found if f["operator"] == "DynamicQuantizeLinear"]
    assert set(told) == {"n1", "n3", "n5"}


def test_a_runtime_that_must_take_it(pooled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(pooled), "--for", "cpu"]) == 0
    assert "findings: none" in capsys.readouterr().out
    assert main(["inspect", str(pooled), "--for", "jetson-orin:jp6", "--json"]) == 4
    out = capsys.readouterr()
    table = json.loads(out.out)
    assert table["operators"] == {"MaxPool": 1}
    assert table["opsets"] == {"ai.onnx": 17}
    assert table["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["N", 3, 8, 8]}]
    assert [(f["target"], f["severity"], f["rule"]) for f in table["findings"]] == [
        ("trt10", "error", "one-output")
    ]
    assert out.err.startswith(
        "error[E448] pooled.onnx is not for TensorRT 10.3 (JetPack 6): MaxPool pool\\x1b: also"
    )
    assert len(out.err.splitlines()) == 1


def test_a_file_that_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.onnx").write_text("hello")
    assert main(["inspect", str(tmp_path / "x.onnx")]) == 4
    assert capsys.readouterr().err.startswith("error[E410] ")


def test_what_an_export_will_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kind = onnx.TensorProto.STRING
    sides = [[onnx.helper.make_tensor_value_info(n, kind, [1])] for n in "xy"]
    nodes = [onnx.helper.make_node("Identity", ["x"], ["y"])]
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *sides)), tmp_path / "x.onnx"
    )
    assert main(["inspect", str(tmp_path / "x.onnx")]) == 0
    err = capsys.readouterr().err
    assert err.startswith("edgedl export will refuse it: error[E451] ")
    assert "next:" not in err


def test_a_program_of_torch_is_no_bundle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pt2").write_bytes(b"PK")
    assert main(["inspect", str(tmp_path / "x.pt2")]) == 4
    err = capsys.readouterr().err
    assert err.startswith("error[E400] ")
    assert "edgedl export" in err


def test_the_graphs_of_a_bundle(tiny_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tiny_bundle), "--for", "rtx", "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)["findings"]
    assert [(f["graph"], f["severity"], f["node"]) for f in found] == [
        ("graphs/step.fp32.onnx", "note", "token")
    ]
    assert main(["inspect", str(tiny_bundle), "--for", "rtx", "--for", "cpu"]) == 0
    assert "note: graphs/step.fp32.onnx, token: is int64" in capsys.readouterr().out


def test_a_bundle_is_inspected_without_onnx(tiny_bundle: Path) -> None:
    code = (
        "import sys; sys.modules['onnx'] = sys.modules['torch'] = None\n"
        "import edgedl.cli\n"
        "sys.exit(edgedl.cli.main(sys.argv[1:]))"
    )

    def run(*words: str) -> Any:
        command = [sys.executable, "-c", code, "inspect", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(str(tiny_bundle)).returncode == 0
    for words in ([str(tiny_bundle), "--for", "rtx"], ["model.onnx"]):
        done = run(*words)
        assert done.returncode == 5
        assert done.stderr.startswith("error[E600] ")
        assert "edgedl[export]" in done.stderr
