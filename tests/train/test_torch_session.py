"""Networks behind the interface of sessions: names, shapes, values."""

import numpy as np
import pytest
import torch

from edgedl.models.build import build
from edgedl.spec import ClipSpec, ImageSpec, ModelSpec, SeriesSpec, TextSpec
from edgedl.train.torch_session import torch_sessions

IMAGE = ImageSpec(size_hw=(16, 16))
LABELS = ("a", "b", "c")
TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>", "x", "y", "z")


def cases():
    yield (
        {"family": "lenet", "widths": [8], "channels": 3, "classes": 3},
        ModelSpec(task="classification", image=IMAGE, labels=LABELS),
        {"model": ({"image": (3, 16, 16)}, {"logits": (3,)})},
    )
    yield (
        {"family": "captioner", "vocab_size": 7, "size_hw": [16, 16], "channels": [8, 8],
         "strides": [2, 2], "attention": 8, "embedding": 6, "hidden": 10},
        ModelSpec(task="captioning", image=IMAGE, tokens=TOKENS),
        {
            "encoder": ({"image": (3, 16, 16)}, {"features": (16, 16), "h": (10,), "c": (10,)}),
            "step": (
                {"token": (), "h_in": (10,), "c_in": (10,), "features": (16, 16)},
                {"logits": (7,), "h_out": (10,), "c_out": (10,)},
            ),
        },
    )  # fmt: skip
    for cell in ("lstm", "gru"):
        state = {"h_in": (2, 12)} | ({"c_in": (2, 12)} if cell == "lstm" else {})
        yield (
            {"family": "char-lm", "vocab_size": 7, "cell": cell, "hidden": 12, "layers": 2,
             "embedding": 5},
            ModelSpec(task="text-generation", text=TextSpec(unit="character"), tokens=TOKENS),
            {
                "step": (
                    {"token": (), **state},
                    {"logits": (7,), **{k.replace("_in", "_out"): v for k, v in state.items()}},
                )
            },
        )  # fmt: skip
    yield (
        {"family": "text-classifier", "vocab_size": 7, "length": 9, "classes": 3, "hidden": 6},
        ModelSpec(
            task="text-classification",
            text=TextSpec(unit="word", length=9),
            labels=LABELS,
            tokens=TOKENS,
        ),
        {"model": ({"tokens": (9,)}, {"logits": (3,)})},
    )
    yield (
        {"family": "regressor", "inputs": 2, "outputs": 1, "window": 5, "hidden": 6},
        ModelSpec(
            task="regression", series=SeriesSpec(inputs=("u", "v"), outputs=("v",), window=5)
        ),
        {"model": ({"window": (5, 2)}, {"values": (1,)})},
    )


@pytest.mark.parametrize(("table", "spec", "roles"), list(cases()))
def test_names_and_shapes_are_those_of_the_graphs(table, spec, roles):
    torch.manual_seed(0)
    sessions = torch_sessions(spec, build(table, "here"))
    assert set(sessions) == set(roles)
    for role, (inputs, outputs) in roles.items():
        session = sessions[role]
        assert {s.name: s.shape for s in session.inputs} == {
            name: ("N", *shape) for name, shape in inputs.items()
        }
        assert {s.name: s.shape for s in session.outputs} == {
            name: ("N", *shape) for name, shape in outputs.items()
        }
        feeds = {s.name: np.ones((3, *s.shape[1:]), s.dtype) for s in session.inputs}
        found = session.run(feeds)
        assert {name: array.shape for name, array in found.items()} == {
            name: (3, *shape) for name, shape in outputs.items()
        }


def test_clips_are_read_frame_by_frame():
    table = {"family": "clip-classifier", "image_channels": 3, "size_hw": [16, 16], "frames": 4,
             "classes": 3, "hidden": 6}  # fmt: skip
    spec = ModelSpec(
        task="clip-classification", image=IMAGE, clip=ClipSpec(frames=4), labels=LABELS
    )
    sessions = torch_sessions(spec, build(table, "here"))
    (features,) = sessions["encoder"].outputs
    assert [(s.name, s.shape) for s in sessions["model"].inputs] == [
        ("features", ("N", 4, features.shape[1]))
    ]


def test_values_are_the_networks():
    torch.manual_seed(0)
    table, spec, _ = next(cases())
    network = build(table, "here")
    sessions = torch_sessions(spec, network)
    image = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)
    found = sessions["model"].run({"image": image})["logits"]
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(image)).numpy()
    np.testing.assert_array_equal(found, expected)
    sessions["model"].close()
