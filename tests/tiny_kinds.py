"""A small model of each kind whose answer can be said by hand: as sessions and as bundles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
from edgedl.bundle.manifest import Parent, PrecisionRecord
from edgedl.runtime.model import open_model
from edgedl.runtime.session import open_session
from edgedl.spec import ClipSpec, ImageSpec, ModelSpec, SeriesSpec, TensorSpec, TextSpec
from edgedl.vocab import SPECIAL, Vocab, labels_json

# The class of a picture is its brightest quarter: the pictures of ``idx_files.quarters``.
QUARTERS = ModelSpec(
    task="classification",
    image=ImageSpec(size_hw=(12, 12), pixel_format="gray8", mean=(0.5,), std=(0.25,)),
    labels=("0", "1", "2", "3"),
)
# A clip becomes lighter or darker: its last frame against its first one.
FADES = ModelSpec(
    task="clip-classification",
    image=ImageSpec(size_hw=(8, 8), pixel_format="gray8", mean=(0.0,), std=(1.0,)),
    clip=ClipSpec(frames=3, every=2),
    labels=("darker", "lighter"),
)
# Each red thing is worth 2 for warm, each blue one 2 for cold, a word not known 1 for cold.
WARMTH = ModelSpec(
    task="text-classification",
    text=TextSpec(unit="word", lower=True, length=5),
    labels=("cold", "warm"),
    tokens=(*SPECIAL, "a", "blue", "red"),
)
WORTH = np.float32([[0, 0], [9, 0], [9, 0], [1, 0], [0, 0], [2, 0], [0, 2]])
# heat, two rows on: last heat + (last load - first load) + 0.5
HEAT = ModelSpec(
    task="regression",
    series=SeriesSpec(inputs=("load", "heat"), outputs=("heat",), window=3, horizon=2),
)
# The next character by the last one, and a little by all before it.
LETTERS = ModelSpec(
    task="text-generation",
    text=TextSpec(unit="character"),
    tokens=(*SPECIAL, "\n", " ", "a", "b"),
)
V = len(LETTERS.tokens)
NEXT = np.random.default_rng(0).normal(0, 1.5, (V, V)).astype(np.float32)
MEMORY = np.random.default_rng(1).normal(0, 1.5, (V, V)).astype(np.float32)


class HandSession:
    """A session that is a function; it remembers how many samples each call had."""

    backend = "hand"

    def __init__(
        self,
        function: Callable[..., Mapping[str, np.ndarray]],
        inputs: tuple[TensorSpec, ...] = (),
        outputs: tuple[TensorSpec, ...] = (),
    ) -> None:
        self.function, self.inputs, self.outputs = function, inputs, outputs
        self.lots: list[int] = []

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.lots.append(len(next(iter(feeds.values()))))
        return dict(self.function(**feeds))

    def close(self) -> None:
        """Nothing is held."""


def quarter_logits(image: np.ndarray) -> np.ndarray:
    """Return 4 · the mean of each quarter, (n, 4) of (n, 1, 12, 12)."""
    return 4 * image.reshape(-1, 2, 6, 2, 6).mean(axis=(2, 4)).reshape(-1, 4)


def fade_features(image: np.ndarray) -> np.ndarray:
    """Return the mean of the left and the right half, (n, 2) of (n, 1, 8, 8)."""
    return image.reshape(-1, 8, 2, 4).mean(axis=(1, 3))


def fade_logits(features: np.ndarray) -> np.ndarray:
    """Return (n, 2) of (n, 3, 2)."""
    more = 5 * (features[:, 2] - features[:, 0]).sum(axis=1)
    return np.stack([-more, more], axis=1)


def heat_values(window: np.ndarray) -> np.ndarray:
    """Return (n, 1) of (n, 3, 2)."""
    return (window[:, 2, 1] + window[:, 2, 0] - window[:, 0, 0] + 0.5)[:, None]


def letter_step(token: np.ndarray, h_in: np.ndarray) -> dict[str, np.ndarray]:
    """Return logits (n, V) and the state (n, 1, V), which halves and adds the new token."""
    h_out = h_in / 2 + np.eye(V, dtype=np.float32)[token][:, None]
    return {"logits": h_out[:, 0] @ MEMORY + NEXT[token], "h_out": h_out}


def graphs_of(spec: ModelSpec) -> dict[str, bytes]:
    """Return the model of one of the specs above as ONNX, by role."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node
    tables = {
        "image": ["N", *(spec.image.shape[1:] if spec.image else ())],
        "tokens": ["N", 5],
        "window": ["N", 3, 2],
        "h_in": ["N", 1, V],
        "h_out": ["N", 1, V],
        "token": ["N"],
        "values": ["N", 1],
    }

    def model(nodes: Any, ins: str, outs: str, shapes: Any, **weights: Any) -> bytes:
        def info(name: str) -> Any:
            kind = onnx.TensorProto.INT64 if name in ("token", "tokens") else 1
            return onnx.helper.make_tensor_value_info(name, kind, (tables | shapes)[name])

        made = [onnx.numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()]
        sides = [[info(name) for name in names.split()] for names in (ins, outs)]
        graph = onnx.helper.make_graph(nodes, "tiny", *sides, made)
        opset = [onnx.helper.make_opsetid("", 17)]
        return bytes(
            onnx.helper.make_model(graph, ir_version=9, opset_imports=opset).SerializeToString()
        )

    if spec.task == "classification":
        nodes = [
            node("AveragePool", ["image"], ["pooled"], kernel_shape=[6, 6], strides=[6, 6]),
            node("Flatten", ["pooled"], ["flat"]),
            node("Mul", ["flat", "four"], ["logits"]),
        ]
        return {"model": model(nodes, "image", "logits", {"logits": ["N", 4]}, four=np.float32(4))}
    if spec.task == "clip-classification":
        encoder = [
            node("AveragePool", ["image"], ["pooled"], kernel_shape=[8, 4], strides=[8, 4]),
            node("Flatten", ["pooled"], ["features"]),
        ]
        reader = [
            node("Flatten", ["features"], ["flat"]),
            node("MatMul", ["flat", "w"], ["logits"]),
        ]
        w = 5 * np.float32([[1, -1], [1, -1], [0, 0], [0, 0], [-1, 1], [-1, 1]])
        seen = {"features": ["N", 3, 2], "logits": ["N", 2]}
        return {
            "encoder": model(encoder, "image", "features", {"features": ["N", 2]}),
            "model": model(reader, "features", "logits", seen, w=w),
        }
    if spec.task == "text-classification":
        nodes = [
            node("Gather", ["worth", "tokens"], ["each"]),
            node("ReduceSum", ["each", "axis"], ["logits"], keepdims=0),
        ]
        axis = np.int64([1])
        shapes = {"logits": ["N", 2]}
        return {"model": model(nodes, "tokens", "logits", shapes, worth=WORTH, axis=axis)}
    if spec.task == "regression":
        nodes = [
            node("Flatten", ["window"], ["flat"]),
            node("MatMul", ["flat", "w"], ["sum"]),
            node("Add", ["sum", "half"], ["values"]),
        ]
        w = np.float32([[-1], [0], [0], [0], [1], [1]])
        return {"model": model(nodes, "window", "values", {}, w=w, half=np.float32([0.5]))}
    assert spec.task == "text-generation"
    nodes = [
        node("Gather", ["eye", "token"], ["hot"]),
        node("Unsqueeze", ["hot", "axis"], ["new"]),
        node("Mul", ["h_in", "half"], ["old"]),
        node("Add", ["old", "new"], ["h_out"]),
        node("Flatten", ["h_out"], ["flat"]),
        node("MatMul", ["flat", "memory"], ["remembered"]),
        node("Gather", ["next", "token"], ["told"]),
        node("Add", ["remembered", "told"], ["logits"]),
    ]
    weights = {
        "eye": np.eye(V, dtype=np.float32),
        "axis": np.int64([1]),
        "half": np.float32(0.5),
        "memory": MEMORY,
        "next": NEXT,
    }
    return {"step": model(nodes, "token h_in", "logits h_out", {"logits": ["N", V]}, **weights)}


def given_to(spec: ModelSpec) -> Given:
    """Return something that fits a model."""
    rng = np.random.default_rng(5)
    pictures = tuple(rng.integers(0, 256, (3, 12, 12, 3), np.uint8))
    return {
        "classification": Given(pictures[:1]),
        "clip-classification": Given(pictures),
        "text-classification": Given(text="a red ring"),
        "regression": Given(window=np.float32([[1, 2], [3, 4], [5, 7]])),
        "text-generation": Given(text="ab a"),
    }[spec.task]


def write_bundle(
    path: Path,
    spec: ModelSpec,
    data: Mapping[str, Any] | None = None,
    graphs: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a bundle of one of the specs above, or of one like it with other ``graphs``."""
    graphs = graphs or graphs_of(spec)
    sessions = {role: open_session(raw) for role, raw in graphs.items()}
    model, given = open_model(spec, sessions), given_to(spec)
    tensor = model.prepare(given)
    sample = GoldenSample("one", given, tensor_sha256(tensor), {"fp32": model.expect(tensor)})
    with new_folder(path) as folder:
        (folder / "graphs").mkdir()
        for role, raw in graphs.items():
            write_file(folder / "graphs" / f"{role}.fp32.onnx", raw)
        if spec.tokens:
            write_file(folder / "vocab.json", Vocab(spec.tokens).to_json())
        if spec.labels:
            write_file(folder / "labels.json", labels_json(spec.labels))
        write_golden(folder / "golden", [sample])
        manifest = Manifest(
            name="tiny",
            task=spec.task,
            created="2026-01-01T00:00:00Z",
            image_spec=spec.image,
            clip=spec.clip,
            text=spec.text,
            series=spec.series,
            data=dict(data or {}),
            graphs=tuple(
                Graph(
                    role=role,
                    precision="fp32",
                    file=f"graphs/{role}.fp32.onnx",
                    inputs=session.inputs,
                    outputs=session.outputs,
                    operators={},
                )
                for role, session in sessions.items()
            ),
            precisions={"fp32": PrecisionRecord(quality={})},
            parent=Parent(kind="run", sha256="0" * 64),
            files=list_files(folder),
        )
        write_file(folder / "manifest.json", manifest.to_json())
    return path
