"""Networks with memory: what they compute, and that their graphs do the same."""

import inspect
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional

from edgedl.errors import ConfigError
from edgedl.models.build import build, model_options, model_table
from edgedl.models.sequences import CharLmOptions

ROWS = {"image_channels": 3, "size_hw": (4, 5), "classes": 6}
CLIPS = {"image_channels": 1, "size_hw": (9, 12), "classes": 4, "frames": 3}
TEXTS = {"vocab_size": 9, "length": 5, "classes": 3}
SERIES = {"inputs": 3, "outputs": 2, "window": 4}


def make(family, sizes, **options):
    torch.manual_seed(5)
    table = {"family": family, "hidden": 8, **options}
    return build(model_table(model_options(table, "recipe"), **sizes), "model.json").eval()


def run_graph(module, feeds, folder, outputs):
    """Export with a free batch from two samples; return a function that runs the graph."""
    names = list(inspect.signature(module.forward).parameters)
    path = folder / "graph.onnx"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is called deprecated
        torch.onnx.export(
            module.eval(),
            feeds,
            path,
            input_names=names,
            output_names=outputs,
            dynamic_axes={name: {0: "N"} for name in (*names, *outputs)},
            opset_version=17,
            dynamo=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda *x: session.run(
        None, {name: one.numpy() for name, one in zip(names, x, strict=True)}
    )


def assert_graph_is(module, feeds, folder, outputs):
    """The graph equals the module at batch 1 and 3, though it was exported at 2."""
    run = run_graph(module, tuple(one[:2] for one in feeds), folder, outputs)
    for n in (1, 3):
        few = [one[:n] for one in feeds]
        with torch.no_grad():
            want = module(*few)
        want = want if isinstance(want, tuple) else (want,)
        for one, other in zip(run(*few), want, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4)


SHAPES = [("rnn", 1, False, "mean"), ("gru", 1, True, "max"), ("lstm", 2, True, "last")]


@pytest.mark.parametrize(("cell", "layers", "both", "pool"), SHAPES)
def test_graphs_are_their_modules(cell, layers, both, pool, tmp_path):
    shape = {"cell": cell, "layers": layers, "bidirectional": both, "pool": pool}
    rows = make("row-classifier", ROWS, **shape)
    assert_graph_is(rows.parts()["model"], (torch.randn(3, 3, 4, 5),), tmp_path, ["logits"])
    texts = make("text-classifier", TEXTS, embedding=4, **shape)
    tokens = torch.tensor([[4, 5, 6, 7, 8], [4, 0, 0, 0, 0], [8, 7, 6, 0, 0]])
    assert_graph_is(texts.parts()["model"], (tokens,), tmp_path, ["logits"])


@pytest.mark.parametrize("memory", [True, False])
def test_clip_graphs(memory, tmp_path):
    clips = make("clip-classifier", CLIPS, channels=[4, 8], features=6, memory=memory)
    parts, frames = clips.parts(), torch.randn(3, 1, 9, 12)
    assert_graph_is(parts["encoder"], (frames,), tmp_path, ["features"])
    assert_graph_is(parts["model"], (torch.randn(3, 3, 6),), tmp_path, ["logits"])


@pytest.mark.parametrize(("cell", "tied"), [("rnn", True), ("gru", False), ("lstm", False)])
def test_step_graphs(cell, tied, tmp_path):
    lm = make("char-lm", {"vocab_size": 9}, cell=cell, layers=2, embedding=8, tied=tied)
    states = [torch.randn(3, 2, 8) for _ in lm.zeros(1)]
    outputs = ["logits", "h_out", "c_out"][: 1 + len(states)]
    step = lm.parts()["step"]
    assert (
        list(inspect.signature(step.forward).parameters)
        == ["token", "h_in", "c_in"][: 1 + len(states)]
    )
    assert_graph_is(step, (torch.tensor([1, 8, 3]), *states), tmp_path, outputs)


def test_regressor_graph(tmp_path):
    network = make("regressor", SERIES)
    network.set_scale(torch.randn(20, 4, 3) * 5 + 2, torch.randn(20, 2) * 3 - 1)
    assert_graph_is(network.parts()["model"], (torch.randn(3, 4, 3),), tmp_path, ["values"])


def test_rows_are_read_from_the_top():
    network = make("row-classifier", ROWS, cell="lstm")
    image = torch.randn(2, 3, 4, 5)
    rows = torch.stack([image[:, :, y].reshape(2, 15) for y in range(4)], dim=1)
    with torch.no_grad():
        h = network.reader.recurrent(rows)[1][0][:, 0]
        want = functional.linear(h, network.reader.fc.weight, network.reader.fc.bias)
        torch.testing.assert_close(network(image), want)


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("both", [True, False])
def test_padding_does_not_change_a_text(pool, both):
    network = make("text-classifier", TEXTS, bidirectional=both, pool=pool, layers=2)
    with torch.no_grad():
        alone = network(torch.tensor([[5, 6, 7]]))
        padded = network(torch.tensor([[5, 6, 7, 0, 0, 0], [4, 4, 4, 4, 4, 4]]))[:1]
        empty = network(torch.zeros(1, 5, dtype=torch.int64))
    torch.testing.assert_close(padded, alone)
    assert torch.isfinite(empty).all()


@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_what_is_kept_of_a_text(pool):
    network = make("text-classifier", TEXTS, cell="gru", pool=pool)
    tokens = torch.tensor([[5, 6, 7, 0, 0]])
    reader = network.reader
    with torch.no_grad():
        y, (h,) = reader.recurrent(network.embedding(tokens[:, :3]))
        last = torch.cat((y[:, 2, :8], y[:, 0, 8:]), dim=1)  # the backward direction ends at 0
        kept = {"last": last, "mean": y.mean(dim=1), "max": y.amax(dim=1)}[pool]
        torch.testing.assert_close(network(tokens), reader.fc(kept))
    assert h.shape == (1, 2, 8)


def test_a_language_model_is_its_step_repeated():
    lm = make("char-lm", {"vocab_size": 9}, layers=3, embedding=4)
    tokens = torch.randint(0, 9, (2, 7))
    with torch.no_grad():
        whole, end = lm(tokens)
        first, state = lm(tokens[:, :4])
        second, _ = lm(tokens[:, 4:], state)
        torch.testing.assert_close(torch.cat((first, second), dim=1), whole)
        h, c = lm.zeros(2)
        for t in range(7):
            logits, h, c = lm.parts()["step"](tokens[:, t], h, c)
            torch.testing.assert_close(logits, whole[:, t])
    torch.testing.assert_close((h, c), end)


def test_a_tied_head_is_the_embedding():
    lm = make("char-lm", {"vocab_size": 9}, embedding=8, tied=True)
    assert not any(name.startswith("head") for name, _ in lm.named_parameters())
    y = torch.randn(2, 8)
    torch.testing.assert_close(lm.rate(y), y @ lm.embedding.weight.T + lm.bias)


def test_a_clip_is_its_frames_features_read_in_order():
    network = make("clip-classifier", CLIPS, channels=[4, 8], features=6)
    clips, parts = torch.randn(2, 3, 1, 9, 12), network.parts()
    with torch.no_grad():
        features = torch.stack([parts["encoder"](clips[:, t]) for t in range(3)], dim=1)
        torch.testing.assert_close(parts["model"](features), network(clips))
        assert not torch.allclose(network(clips.flip(1)), network(clips))


def test_without_memory_the_order_of_frames_is_lost():
    network = make("clip-classifier", CLIPS, channels=[4], features=6, memory=False)
    clips = torch.randn(2, 3, 1, 9, 12)
    with torch.no_grad():
        torch.testing.assert_close(network(clips.flip(1)), network(clips))
    assert not any(isinstance(module, nn.RNNBase) for module in network.modules())


def test_a_regressor_takes_and_gives_raw_units():
    network = make("regressor", SERIES)
    windows, values = torch.randn(50, 4, 3) * 100 + 700, torch.randn(50, 2) * 0.01 - 3
    windows[:, :, 2] = 5  # a column that never changes
    network.set_scale(windows, values)
    flat = windows.flatten(0, 1).numpy()
    np.testing.assert_allclose(network.input_mean, flat.mean(0), rtol=1e-4)
    np.testing.assert_allclose(network.input_std[:2], flat.std(0)[:2], rtol=1e-4)
    assert network.input_std[2] == 1
    normal = network.normalised(values)
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(normal.std(0, correction=0), 1, rtol=1e-3)
    with torch.no_grad():
        inner = network.reader((windows - network.input_mean) / network.input_std)
        torch.testing.assert_close(network.normalised(network(windows)), inner, atol=1e-3, rtol=0)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tied": True}, "embedding must be hidden when tied; got 128, 512"),
        ({"bidirectional": True}, "it may not see what comes"),
        ({"embedding": 0}, "embedding must be in 1"),
    ],
)
def test_impossible_language_models(change, text):
    with pytest.raises(ConfigError, match=text) as err:
        CharLmOptions(**change)
    assert err.value.code == "E205"
