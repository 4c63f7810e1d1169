"""A captioner: a small convolutional encoder and an LSTM with additive attention.

The encoder is exported once and the decoder as one step, so both are written for that: plain
Conv-BatchNorm-ReLU blocks that fold, channels in multiples of 16, an LSTM cell of one matrix
product. The keys of the attention do not depend on the step; ``encode`` makes them once.

Shapes: N pictures, P grid positions, D = values + keys, H hidden, T time, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.errors import ConfigError
from edgedl.vocab import BOS, EOS


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionerOptions:
    """Widths of a captioner.

    Attributes:
        size_hw: Height and width of the input in pixels; multiples of the total stride.
        channels: Output channels of each convolution of the encoder.
        strides: Stride of each, 1 or 2.
        attention: Width of the attention's comparison.
        embedding: Width of a word's vector.
        hidden: Width of the LSTM.
    """

    size_hw: tuple[int, ...] = (64, 64)
    channels: tuple[int, ...] = (32, 64, 64, 128, 128)
    strides: tuple[int, ...] = (2, 2, 1, 2, 1)
    attention: int = 64
    embedding: int = 64
    hidden: int = 192

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.strides) or not self.channels:
            msg = (
                "model channels and strides must be equally many, at least one; "
                f"got {len(self.channels)} and {len(self.strides)}"
            )
            raise ConfigError("E205", msg)
        if not all(stride in (1, 2) for stride in self.strides):
            msg = f"model strides must be 1 or 2; got {self.strides}"
            raise ConfigError("E205", msg)
        widths = (*self.channels, self.attention, self.embedding, self.hidden)
        if not all(1 <= width <= 4096 for width in widths):
            msg = f"model widths must be in 1..4096; got {widths}"
            raise ConfigError("E205", msg)
        if len(self.size_hw) != 2 or any(side < 1 or side % self.stride for side in self.size_hw):
            msg = f"model size_hw must be two multiples of {self.stride}; got {self.size_hw}"
            raise ConfigError("E205", msg)

    @property
    def stride(self) -> int:
        """Input pixels per grid position, along each axis."""
        return 1 << sum(stride == 2 for stride in self.strides)

    @property
    def positions(self) -> int:
        """Number of grid positions, P."""
        height, width = self.size_hw
        return (height // self.stride) * (width // self.stride)


class Captioner(nn.Module):
    """Encoder and decoder step.

    Attributes:
        options: Its widths.
        vocab_size: V.
        head: Name of the layer that rates the words.
    """

    head = "words"

    def __init__(self, options: CaptionerOptions, vocab_size: int) -> None:
        super().__init__()
        self.options, self.vocab_size = options, vocab_size
        values, hidden = options.channels[-1], options.hidden
        inputs = (3, *options.channels[:-1])
        self.backbone = nn.Sequential(
            *(
                _conv_block(i, o, stride)
                for i, o, stride in zip(inputs, options.channels, options.strides, strict=True)
            )
        )
        self.position = nn.Parameter(_waves(options.size_hw, options.stride, values))
        self.here = nn.Linear(values, values)
        self.elsewhere = nn.Linear(values, values)
        self.both = nn.Linear(values, values)
        self.keys = nn.Linear(values, options.attention)
        self.first_state = nn.Linear(values, 2 * hidden)
        self.embedding = nn.Embedding(vocab_size, options.embedding)
        self.query = nn.Linear(options.embedding + hidden, options.attention, bias=False)
        self.score = nn.Linear(options.attention, 1, bias=False)
        self.gates = nn.Linear(options.embedding + values + hidden, 4 * hidden)
        self.words = nn.Linear(hidden, vocab_size)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Look at pictures once.

        Args:
            image: (N, 3, height, width), pre-processed.

        Returns:
            features (N, P, D), values before keys; the first h and c, each (N, H).
        """
        values = self.backbone(image).flatten(2).transpose(1, 2) + self.position
        here = functional.relu(self.here(values))
        around = self.elsewhere(here.mean(dim=1, keepdim=True))
        values = values + self.both(functional.relu(here + around))
        features = torch.cat((values, self.keys(values)), dim=2)
        h, c = torch.tanh(self.first_state(values.mean(dim=1))).chunk(2, dim=1)
        return features, h, c

    def decode_step(
        self, token: Tensor, h: Tensor, c: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Read one word and rate the next.

        Args:
            token: (N,) int64, the word before.
            h: (N, H).
            c: (N, H).
            features: (N, P, D) of ``encode``.

        Returns:
            logits (N, V), and the new h and c.
        """
        width = self.options.channels[-1]
        word = self.embedding(token)
        query = self.query(torch.cat((word, h), dim=1))
        context, _ = self._attend(query, features[:, :, :width], features[:, :, width:])
        gates = self.gates(torch.cat((word, context, h), dim=1))
        h, c = lstm_cell(gates, c)
        return self.words(h), h, c

    def parts(self) -> dict[str, nn.Module]:
        """Return ``encoder`` and ``step``, as modules that call the methods of these names."""
        return {"encoder": Encoder(self), "step": Step(self)}

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """Rate each next word of known sentences about pictures, (N, T, V)."""
        features, h, c = self.encode(image)
        return self.read(tokens, h, c, features)[0]

    def read(self, tokens: Tensor, h: Tensor, c: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Rate each next word of known sentences: ``decode_step`` T times, in fewer products.

        Args:
            tokens: (N, T) int64, starting with ``<bos>``.
            h: (N, H) of ``encode``.
            c: (N, H) of ``encode``.
            features: (N, P, D) of ``encode``.

        Returns:
            logits (N, T, V), and where it looked: weights (N, T, P) that sum to 1 over P.
        """
        width, embedding = self.options.channels[-1], self.options.embedding
        values, keys = features[:, :, :width].contiguous(), features[:, :, width:].contiguous()
        word_to_gates, state_to_gates = _halves(self.gates.weight, embedding)
        word_to_query, state_to_query = _halves(self.query.weight, embedding)
        heard = self.embedding(tokens)
        of_words = functional.linear(heard, word_to_gates, self.gates.bias).unbind(1)
        asked = functional.linear(heard, word_to_query).unbind(1)
        states, looks = [], []
        for of_word, asks in zip(of_words, asked, strict=True):
            query = asks + functional.linear(h, state_to_query)
            context, weights = self._attend(query, values, keys)
            seen = torch.cat((context, h), dim=1)
            h, c = lstm_cell(of_word + functional.linear(seen, state_to_gates), c)
            states.append(h)
            looks.append(weights)
        return self.words(torch.stack(states, dim=1)), torch.stack(looks, dim=1)

    def _attend(self, query: Tensor, values: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of ``values`` over the positions, and its weights: how ``query`` fits."""
        energy = self.score(torch.tanh(keys + query.unsqueeze(1)))
        weights = torch.softmax(energy, dim=1).transpose(1, 2)
        return torch.matmul(weights, values).squeeze(1), weights.squeeze(1)


class Encoder(nn.Module):
    """``Captioner.encode`` as a graph of its own."""

    def __init__(self, network: Captioner) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return features (N, P, D), h and c (N, H) for image (N, 3, height, width)."""
        return self.network.encode(image)


class Step(nn.Module):
    """``Captioner.decode_step`` as a graph of its own."""

    def __init__(self, network: Captioner) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, token: Tensor, h_in: Tensor, c_in: Tensor, features: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, V), h_out and c_out (N, H)."""
        return self.network.decode_step(token, h_in, c_in, features)


def lstm_cell(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Return the new (h, c) of an LSTM from its gates (N, 4H) in PyTorch's order i, f, g, o."""
    i, f, g, o = gates.chunk(4, dim=1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def greedy(network: Captioner, image: Tensor, max_tokens: int) -> Tensor:
    """Return the most likely word at each step, (N, T) int64 with T <= ``max_tokens``."""
    features, h, c = network.encode(image)
    token = torch.full((len(image),), BOS, dtype=torch.int64, device=image.device)
    ended = torch.zeros_like(token, dtype=torch.bool)
    out = []
    for _ in range(max_tokens):
        logits, h, c = network.decode_step(token, h, c, features)
        token = logits.argmax(dim=1)
        out.append(token)
        ended |= token == EOS
        if bool(ended.all()):
            break
    return torch.stack(out, dim=1)


def _halves(weight: Tensor, columns: int) -> tuple[Tensor, Tensor]:
    return weight[:, :columns], weight[:, columns:]


def _waves(size_hw: tuple[int, ...], stride: int, width: int) -> Tensor:
    """Return where each grid position is, (1, P, width): sines and cosines of its y and x."""
    height, columns = (side // stride for side in size_hw)
    down, along = (torch.arange(count) + 0.5 for count in (height, columns))
    y, x = torch.meshgrid(down / height, along / columns, indexing="ij")
    waves = []
    for i in range(width):
        axis = (y, x)[i % 2].flatten()
        turns = 0.25 * (1 + i // 8 % 8)  # from a quarter of a wave to two, across the picture
        waves.append(torch.sin(2 * torch.pi * (turns * axis + (i // 2 % 4) / 8)))
    return 0.5 * torch.stack(waves, dim=1).unsqueeze(0)


def _conv_block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
