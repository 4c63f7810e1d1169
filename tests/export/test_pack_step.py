"""The packed step of a captioner, against the graph it is made from."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file, save_file

from edgedl.errors import BundleError
from edgedl.export.graph_file import graph_name, read_facts
from edgedl.export.pack_step import pack_step, packed_facts
from edgedl.export.quantize import Recipe, prepare, write_int8
from edgedl.export.to_onnx import write_graphs
from edgedl.models.build import build, model_options, model_table
from edgedl.runtime.decode import greedy
from edgedl.runtime.packed_session import PackedSession
from edgedl.runtime.session import Session, open_session, relative_error
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.train.torch_session import torch_sessions
from edgedl.vocab import EOS, SPECIAL, Vocab

WORDS = 210
WIDTHS = {"attention": 144, "embedding": 40, "hidden": 80, "channels": [16, 24], "strides": [2, 2]}
FEW = Recipe(method="weights only", in_float=(("step", "/query/MatMul"), ("step", "/words/Gemm")))
ALL = Recipe(method="weights only")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps quantised as far as they go, and with the gates alone in int8."""
    made = tmp_path_factory.mktemp("steps")
    torch.manual_seed(3)
    options = model_options({"family": "captioner", "size_hw": [16, 20], **WIDTHS}, "test")
    net = build(model_table(options, vocab_size=WORDS), "test")
    tokens = (*SPECIAL, *(f"w{i}" for i in range(WORDS - len(SPECIAL))))
    spec = ModelSpec(task="captioning", image=ImageSpec(size_hw=(16, 20)), tokens=tokens)
    prepared = prepare("step", write_graphs(torch_sessions(spec, net), made)["step"], [])
    for name, recipe in (("all", ALL), ("few", FEW)):
        write_int8("int8-cpu", prepared, made / f"{name}.onnx", recipe)
        pack_step(made / f"{name}.onnx", made / f"{name}.safetensors")
    return made


def feeds(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    sizes = {"h_in": (80,), "c_in": (80,), "features": (20, 24 + 144)}
    made = {n: rng.normal(0, 0.5, (rows, *s)).astype(np.float32) for n, s in sizes.items()}
    return {"token": rng.integers(0, WORDS, rows), **made}


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(("name", "products"), [("all", 3), ("few", 1)])
def test_outputs_are_those_of_the_graph(folder: Path, name: str, products: int) -> None:
    graph = onnx.load(folder / f"{name}.onnx").graph
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == products
    theirs, ours = (open_session(folder / f"{name}.{end}") for end in ("onnx", "safetensors"))
    of_fp32 = open_session(folder / graph_name("step", "fp32"))
    for given in [feeds(1), {**feeds(1), "token": np.array([WORDS - 1])}]:
        wanted, found, fp32 = theirs.run(given), ours.run(given), of_fp32.run(given)
        for output in ("logits", "h_out", "c_out"):
            error = relative_error(found[output], wanted[output])
            assert error < 2e-3  # of one activation that became the next byte
            assert error < relative_error(wanted[output], fp32[output]) / 2


def test_rows_are_answered_as_alone(folder: Path) -> None:
    session, given = open_session(folder / "all.safetensors"), feeds(5)
    together = session.run(given)
    for n in range(5):
        alone = session.run({name: array[n : n + 1] for name, array in given.items()})
        assert all(np.array_equal(alone[name][0], together[name][n]) for name in alone)


def test_it_says_of_itself_what_the_graph_does(folder: Path) -> None:
    facts, graph = packed_facts(folder / "all.safetensors"), folder / graph_name("step", "fp32")
    assert (facts.inputs, facts.outputs) == (read_facts(graph).inputs, read_facts(graph).outputs)


def test_views_of_arrays_are_taken(folder: Path) -> None:
    session, given = open_session(folder / "all.safetensors"), feeds(3)
    turned = {**given, "features": np.asfortranarray(given["features"])}
    assert np.array_equal(session.run(turned)["logits"], session.run(given)["logits"])


def test_weights_are_used_where_they_lie(folder: Path, tmp_path: Path) -> None:
    path, given = tmp_path / "x.safetensors", feeds(1)
    path.write_bytes((folder / "all.safetensors").read_bytes())
    session = open_session(path)
    wanted = session.run(given)["logits"]
    path.unlink()
    assert str(path) in Path("/proc/self/maps").read_text()
    assert np.array_equal(session.run(given)["logits"], wanted)
    session.close()
    gc.collect()
    assert str(path) not in Path("/proc/self/maps").read_text()


class Stepwise:
    """A session that only ``run`` can be asked of."""

    def __init__(self, session: Session) -> None:
        self.run, self.close = session.run, session.close
        self.backend, self.inputs, self.outputs = session.backend, session.inputs, session.outputs


@pytest.mark.parametrize("rows", [1, 6])
def test_captions_are_those_of_single_steps(folder: Path, tmp_path: Path, rows: int) -> None:
    tensors, given = load_file(folder / "all.safetensors"), feeds(rows)
    vocab = Vocab((*SPECIAL, *(f"w{i}" for i in range(WORDS - len(SPECIAL)))))
    start = np.asfortranarray(given["features"]), given["h_in"], given["c_in"]
    lengths = set()
    for likely in (-9.0, *np.linspace(0, 1, 13), 9.0):
        tensors["logits.bias"][EOS] = likely
        save_file(tensors, tmp_path / "x.safetensors")
        session = open_session(tmp_path / "x.safetensors")
        found = greedy(session, *start, vocab, 9)
        assert found == greedy(Stepwise(session), *start, vocab, 9)
        lengths |= {len(one.ids) for one in found}
        session.close()
    assert {0, 9} <= lengths
    assert rows == 1 or len(lengths) > 2  # not only at once or never


def test_wrong_starts_are_named(folder: Path) -> None:
    session, given = open_session(folder / "all.safetensors"), feeds(2)
    vocab = Vocab((*SPECIAL, *(f"w{i}" for i in range(WORDS - len(SPECIAL)))))
    features, h, c = given["features"], given["h_in"], given["c_in"]
    with pytest.raises(BundleError, match=r"\[lstm_greedy\] h must be") as caught:
        greedy(session, features, h.astype(float), c, vocab, 3)
    assert caught.value.code == "E413"
    with pytest.raises(BundleError, match=r"finite logits"):
        greedy(session, features, h * np.float32(np.nan), c, vocab, 3)
    assert greedy(session, features[:0], h[:0], c[:0], vocab, 3) == []
    session.close()
    with pytest.raises(RuntimeError, match=r"was closed"):
        greedy(session, features, h, c, vocab, 3)


def test_wrong_inputs_are_named(folder: Path) -> None:
    session, given = open_session(folder / "all.safetensors"), feeds(2)
    with pytest.raises(BundleError, match=r"\[lstm_step\] token must be in 0\.\.209; got 210"):
        session.run({**given, "token": np.array([0, WORDS])})
    with pytest.raises(BundleError, match=r"h must be .*; got \(1, 80\) float32"):
        session.run({**given, "h_in": given["h_in"][:1]})
    with pytest.raises(BundleError, match=r"expected token, h_in, c_in, features; got token"):
        session.run({"token": given["token"]})
    session.close()
    session.close()
    with pytest.raises(RuntimeError, match=r"was closed"):
        session.run(given)


def test_wrong_files_are_refused(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"

    def refusal(**changes: Any) -> str:
        tensors = load_file(folder / "all.safetensors") | changes
        save_file({n: t for n, t in tensors.items() if t is not None}, path)
        with pytest.raises(BundleError) as caught:
            open_session(path)
        return f"{caught.value.code} {caught.value}"

    with pytest.raises(BundleError, match=r"is not a packed step"):
        PackedSession(b"not safetensors", "x")
    assert "E410" in refusal(score=None)
    assert "E410" in refusal(sizes=np.zeros(3, np.int32))
    for wrong in (
        np.float32([np.inf, 24]),
        np.float32([36.5, 24]),
        np.array([[36], [24]], np.int8),
    ):
        assert "sizes must be two int32 numbers; got (2" in (told := refusal(sizes=wrong))
        assert told.startswith("E410")
    assert "E412" in refusal(sizes=np.array([-1, 24], np.int32))
    assert "E412" in refusal(words=np.zeros((WORDS, 30), np.float32))
    assert "E412" in refusal(score=np.zeros(0, np.float32))
    assert "E412" in refusal(**{"gates.bias": np.zeros(7, np.float32)})
    assert "E410" in refusal(**{"gates.scale": np.zeros(0, np.float32)})


def test_graphs_that_cannot_be_packed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"made from x\.onnx, which could not be made"):
        pack_step(tmp_path / "x.onnx", tmp_path / "out")
    encoder = folder / graph_name("encoder", "fp32")
    with pytest.raises(BundleError, match=r"a captioner's step has 1, 4 and 2"):
        pack_step(encoder, tmp_path / "out")
