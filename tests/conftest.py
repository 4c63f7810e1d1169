"""What all tests share: the targets of this CPU, and a tiny bundle with real graphs."""

from __future__ import annotations

import dataclasses
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedl import _core
from edgedl.bundle import (
    Given,
    GoldenSample,
    Graph,
    Manifest,
    list_files,
    new_folder,
    tensor_sha256,
    write_file,
    write_golden,
)
from edgedl.bundle.manifest import DecodeOptions, Parent, PrecisionRecord, Refused
from edgedl.runtime.captioner import Captioner
from edgedl.runtime.preprocess import FramePreprocessor, Preprocessor
from edgedl.runtime.session import open_session
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.vocab import Vocab

# A shell ignores SIGINT for what it starts in the background; children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=_core.cpu_targets())
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every target of the kernels that this CPU can run, one after the other."""
    before = _core.cpu_target()
    _core.set_cpu_target(request.param)
    yield request.param
    _core.set_cpu_target(before)


SIZE, P, D, H = 8, 4, 3, 5
WORDS = ("a", "big", "blue", "circle", "large", "of", "red", "small", "square", "the", "to")
VOCAB = Vocab.build(WORDS)
SPEC = ImageSpec(size_hw=(SIZE, SIZE), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
MODEL_SPEC = ModelSpec(task="captioning", image=SPEC, tokens=VOCAB.tokens)


def tiny_graphs(levels: int | None = None) -> dict[str, bytes]:
    """Return encoder and step as ONNX; with ``levels`` their weights are rounded to so many."""
    onnx = pytest.importorskip("onnx")
    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    rng = np.random.default_rng(4)

    def weight(name: str, *shape: int) -> Any:
        values = rng.normal(0, 0.7, shape).astype(np.float32)
        if levels:
            values = (np.round(values * levels) / levels).astype(np.float32)
        return onnx.numpy_helper.from_array(values, name)

    def model(nodes: Any, inputs: Any, outputs: Any, weights: Any) -> bytes:
        tensors = [
            [
                info(name, onnx.TensorProto.INT64 if name == "token" else 1, shape)
                for name, shape in s
            ]
            for s in (inputs, outputs)
        ]
        graph = onnx.helper.make_graph(nodes, "tiny", *tensors, weights)
        opset = [onnx.helper.make_opsetid("", 17)]
        made = onnx.helper.make_model(graph, ir_version=9, opset_imports=opset)
        return bytes(made.SerializeToString())

    state = [("h_in", ["N", H]), ("c_in", ["N", H]), ("features", ["N", P, D])]
    shape = onnx.numpy_helper.from_array(np.array([0, D, P]), "shape")
    encoder = model(
        [
            node("Conv", ["image", "conv"], ["grid"], strides=[4, 4]),
            node("Reshape", ["grid", "shape"], ["rows"]),
            node("Transpose", ["rows"], ["features"], perm=[0, 2, 1]),
            node("Flatten", ["grid"], ["flat"]),
            node("MatMul", ["flat", "to_h"], ["h_sum"]),
            node("Tanh", ["h_sum"], ["h"]),
            node("MatMul", ["flat", "to_c"], ["c"]),
        ],
        [("image", ["N", 3, SIZE, SIZE])],
        [("features", ["N", P, D]), ("h", ["N", H]), ("c", ["N", H])],
        [weight("conv", D, 3, 4, 4), shape, weight("to_h", P * D, H), weight("to_c", P * D, H)],
    )
    step = model(
        [
            node("Gather", ["words", "token"], ["word"]),
            node("ReduceMean", ["features"], ["seen"], axes=[1], keepdims=0),
            node("Concat", ["word", "seen", "h_in"], ["x"], axis=1),
            node("MatMul", ["x", "cell"], ["new"]),
            node("Add", ["new", "c_in"], ["c_out"]),
            node("Tanh", ["c_out"], ["h_out"]),
            node("MatMul", ["h_out", "to_words"], ["logits"]),
        ],
        [("token", ["N"]), *state],
        [("logits", ["N", len(VOCAB)]), ("h_out", ["N", H]), ("c_out", ["N", H])],
        [
            weight("words", len(VOCAB), 4),
            weight("cell", 4 + D + H, H),
            weight("to_words", H, len(VOCAB)),
        ],
    )
    return {"encoder": encoder, "step": step}


def write_manifest(folder: Path, graphs: dict[str, dict[str, bytes]]) -> None:
    """Write a manifest that fits the files which are there."""
    specs = {role: open_session(raw) for role, raw in graphs["fp32"].items()}
    quality = {"exact": 0.9, "bleu4": 0.8, "cider_d": 5.5, "n": 100}
    manifest = Manifest(
        name="tiny",
        task="captioning",
        created="2026-01-01T00:00:00Z",
        image_spec=SPEC,
        graphs=tuple(
            Graph(
                role=role,
                precision=precision,
                file=f"graphs/{role}.{precision}.onnx",
                inputs=specs[role].inputs,
                outputs=specs[role].outputs,
                operators={"MatMul": 2, "Tanh": 1},
            )
            for precision, roles in graphs.items()
            for role in roles
        ),
        precisions={
            "fp32": PrecisionRecord(quality=quality, latency_ms={"onnxruntime": 2.0}),
            "int8-cpu": PrecisionRecord(quality=quality, latency_ms={"onnxruntime": 1.0}),
        },
        refused=(Refused(precision="fp16", reason="3.1 ms is slower than fp32 with 2.0 ms"),),
        decode=DecodeOptions(max_tokens=6),
        parent=Parent(kind="run", sha256="0" * 64),
        files=list_files(folder),
    )
    write_file(folder / "manifest.json", manifest.to_json())


@pytest.fixture(scope="session")
def tiny_bundle_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "tiny.edge"
    graphs = {"fp32": tiny_graphs(), "int8-cpu": tiny_graphs(levels=50)}
    rng = np.random.default_rng(1)
    samples = []
    for name, size in (("one", SIZE), ("two", 11), ("three", 20)):
        picture = rng.integers(0, 256, (size, size, 3), np.uint8)
        tensor = Preprocessor(SPEC)(picture)
        expected = {
            precision: Captioner(
                MODEL_SPEC,
                {role: open_session(raw) for role, raw in roles.items()},
                FramePreprocessor(SPEC),
                DecodeOptions(max_tokens=6),
            ).expect(tensor)
            for precision, roles in graphs.items()
        }
        samples.append(GoldenSample(name, Given((picture,)), tensor_sha256(tensor), expected))
    with new_folder(path) as folder:
        (folder / "graphs").mkdir()
        for precision, roles in graphs.items():
            for role, raw in roles.items():
                write_file(folder / "graphs" / f"{role}.{precision}.onnx", raw)
        write_file(folder / "vocab.json", VOCAB.to_json())
        write_golden(folder / "golden", samples)
        write_manifest(folder, graphs)
    return path


@pytest.fixture
def tiny_bundle(tiny_bundle_master: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_bundle_master, tmp_path / "tiny.edge"))


@pytest.fixture
def relist() -> Callable[..., None]:
    """Write a bundle's manifest again, its digests fitting the files that are there now."""

    def relist(path: Path, **changes: Any) -> None:
        manifest = Manifest.parse((path / "manifest.json").read_bytes())
        made = dataclasses.replace(manifest, files=list_files(path), **changes)
        write_file(path / "manifest.json", made.to_json())

    return relist
