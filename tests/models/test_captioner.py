"""The captioner against PyTorch's own cell and a NumPy definition of its attention."""

import dataclasses

import numpy as np
import pytest
import torch

from edgedl.errors import ConfigError
from edgedl.models.captioner import Captioner, CaptionerOptions, greedy, lstm_cell
from edgedl.vocab import BOS, EOS

SMALL = CaptionerOptions(
    size_hw=(16, 24), channels=(16, 32), strides=(2, 2), attention=8, embedding=12, hidden=20
)
VOCAB = 11


@pytest.fixture
def network():
    torch.manual_seed(3)
    return Captioner(SMALL, VOCAB).eval()


def test_lstm_cell_is_pytorchs():
    torch.manual_seed(0)
    cell = torch.nn.LSTMCell(7, 5)
    x, h, c = torch.randn(4, 7), torch.randn(4, 5), torch.randn(4, 5)
    both = torch.nn.Linear(12, 20)
    with torch.no_grad():
        both.weight.copy_(torch.cat((cell.weight_ih, cell.weight_hh), dim=1))
        both.bias.copy_(cell.bias_ih + cell.bias_hh)
    expected = cell(x, (h, c))
    for got, want in zip(lstm_cell(both(torch.cat((x, h), dim=1)), c), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)


def as_numpy(network):
    return {name: t.detach().double().numpy() for name, t in network.state_dict().items()}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def expected_step(w, token, h, c, features, width):
    """The definition: Bahdanau attention, then one LSTM step."""
    logits, new_h, new_c = [], [], []
    for n in range(len(token)):
        values, keys = features[n, :, :width], features[n, :, width:]
        word = w["embedding.weight"][token[n]]
        query = w["query.weight"] @ np.concatenate([word, h[n]])
        energy = np.tanh(keys + query) @ w["score.weight"][0]
        weights = np.exp(energy - energy.max())
        context = (weights / weights.sum()) @ values
        seen = np.concatenate([word, context, h[n]])
        i, f, g, o = np.split(w["gates.weight"] @ seen + w["gates.bias"], 4)
        new_c.append(sigmoid(f) * c[n] + sigmoid(i) * np.tanh(g))
        new_h.append(sigmoid(o) * np.tanh(new_c[-1]))
        logits.append(w["words.weight"] @ new_h[-1] + w["words.bias"])
    return np.array(logits), np.array(new_h), np.array(new_c)


def test_decode_step_is_its_definition(network):
    features = torch.randn(3, SMALL.positions, 32 + 8)
    h, c, token = torch.randn(3, 20), torch.randn(3, 20), torch.tensor([1, 5, 10])
    with torch.inference_mode():
        got = network.decode_step(token, h, c, features)
    want = expected_step(
        as_numpy(network), token.numpy(), *(t.double().numpy() for t in (h, c, features)), 32
    )
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-4, atol=1e-5)


def test_encode_shapes_and_keys(network):
    with torch.no_grad():
        features, h, c = network.encode(torch.randn(2, 3, 16, 24))
    assert SMALL.positions == 4 * 6
    assert features.shape == (2, 24, 32 + 8)
    assert h.shape == c.shape == (2, 20)
    assert h.abs().max() <= 1
    torch.testing.assert_close(network.keys(features[:, :, :32]), features[:, :, 32:])


def test_reading_known_sentences_is_decode_step_by_step(network):
    image, tokens = torch.randn(2, 3, 16, 24), torch.randint(0, VOCAB, (2, 6))
    with torch.inference_mode():
        together = network(image, tokens)
        features, h, c = network.encode(image)
        for t in range(6):
            logits, h, c = network.decode_step(tokens[:, t], h, c, features)
            torch.testing.assert_close(together[:, t], logits, rtol=1e-4, atol=1e-5)


def test_a_picture_does_not_depend_on_its_batch(network):
    image = torch.randn(3, 3, 16, 24)
    with torch.inference_mode():
        together, alone = network.encode(image), network.encode(image[1:2])
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b, rtol=1e-4, atol=1e-5)


def test_parts_are_its_two_steps(network):
    parts, image = network.parts(), torch.randn(2, 3, 16, 24)
    with torch.inference_mode():
        features, h, c = parts["encoder"](image)
        torch.testing.assert_close((features, h, c), network.encode(image))
        token = torch.tensor([1, 5])
        got = parts["step"](token, h, c, features)
        torch.testing.assert_close(got, network.decode_step(token, h, c, features))


def test_greedy_takes_the_best_word_until_all_ended(network):
    image = torch.randn(3, 3, 16, 24)
    with torch.inference_mode():
        ids = greedy(network, image, 9)
        features, h, c = network.encode(image)
        token = torch.full((3,), BOS)
        for t in range(ids.shape[1]):
            logits, h, c = network.decode_step(token, h, c, features)
            token = logits.argmax(1)
            assert token.tolist() == ids[:, t].tolist()
        network.words.bias[EOS] += 1000
        assert greedy(network, image, 9).tolist() == [[EOS]] * 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"channels": (16,)}, "equally many"),
        ({"strides": (2, 3)}, "1 or 2; got"),
        ({"size_hw": (16, 25)}, "multiples of 4; got"),
        ({"hidden": 0}, "in 1..4096; got"),
    ],
)
def test_impossible_widths(change, text):
    with pytest.raises(ConfigError, match=text) as err:
        dataclasses.replace(SMALL, **change)
    assert err.value.code == "E205"
