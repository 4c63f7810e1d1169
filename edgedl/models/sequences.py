"""Networks with memory: of picture rows, characters, texts, clips and measured series.

Each is trained by ``forward`` and exported by ``parts``: role to a module that takes and returns
exactly the tensors of its graph. ``head`` is the last layer or its path, as in ``ImageClassifier``;
a tied ``CharLm`` has none. Shapes: N batch, T time, V vocabulary, K classes, L layers,
H hidden, D features of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.errors import ConfigError
from edgedl.models.blocks import check_widths, conv_bn, init_he
from edgedl.models.recurrent import Recurrent, RecurrentOptions, State
from edgedl.vocab import PAD

Pool = Literal["last", "mean", "max"]


class Reader(nn.Module):
    """Recurrent layers, what is kept of their outputs, and a linear layer."""

    def __init__(self, options: RecurrentOptions, inputs: int, outputs: int, pool: Pool) -> None:
        super().__init__()
        self.pool = pool
        self.recurrent = Recurrent(options, inputs)
        self.dropout = nn.Dropout(options.dropout)
        self.fc = nn.Linear(options.outputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, outputs) for sequences (N, T, inputs)."""
        return self.read(features)

    def read(self, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return (N, outputs) for padded sequences; ``mask`` (N, T) as ``Recurrent`` takes it."""
        y, state = self.recurrent(features, None, mask)
        out: Tensor = self.fc(self.dropout(self._kept(y, state[0], mask)))
        return out

    def _kept(self, y: Tensor, h: Tensor, mask: Tensor | None) -> Tensor:
        if self.pool == "last":  # the top layer's state, of each direction
            top = h[:, -1]
            return (
                torch.cat((h[:, -2], top), dim=1) if self.recurrent.options.bidirectional else top
            )
        if mask is None:
            return y.mean(dim=1) if self.pool == "mean" else y.amax(dim=1)
        there = mask.unsqueeze(2).float()
        if self.pool == "mean":
            return y.sum(dim=1) / there.sum(dim=1).clamp(min=1)
        return (y + there - 1).amax(dim=1)  # padding becomes -1, less than any output


@dataclass(frozen=True, slots=True, kw_only=True)
class RowClassifierOptions(RecurrentOptions):
    """A picture read row by row.

    Attributes:
        family: ``row-classifier``.
        pool: What the classes are told from: the outputs at the end, their mean or maximum.
    """

    family: Literal["row-classifier"] = "row-classifier"
    pool: Pool = "last"


class RowClassifier(nn.Module):
    """Rows of a picture -> recurrent layers -> logits; ``parts``: ``model``."""

    head = "reader.fc"

    def __init__(
        self,
        options: RowClassifierOptions,
        *,
        image_channels: int,
        size_hw: tuple[int, ...],
        classes: int,
    ) -> None:
        super().__init__()
        self.options = options
        self.rows = (size_hw[0], image_channels * size_hw[1])
        self.reader = Reader(options, self.rows[1], classes, options.pool)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        rows = image.transpose(1, 2).reshape(-1, *self.rows)
        logits: Tensor = self.reader(rows)
        return logits

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: image (N, C, H, W) -> logits (N, K)."""
        return {"model": self}


@dataclass(frozen=True, slots=True, kw_only=True)
class CharLmOptions(RecurrentOptions):
    """A language model of characters.

    Attributes:
        family: ``char-lm``.
        embedding: Width of a character's vector.
        tied: The head's weights are the embedding's; ``embedding`` must then be ``hidden``.
    """

    family: Literal["char-lm"] = "char-lm"
    hidden: int = 512
    layers: int = 2
    embedding: int = 128
    tied: bool = False

    def __post_init__(self) -> None:
        RecurrentOptions.__post_init__(self)  # super() fails in a class with slots
        check_widths("embedding", (self.embedding,))
        if self.tied and self.embedding != self.hidden:
            msg = f"model embedding must be hidden when tied; got {self.embedding}, {self.hidden}"
            raise ConfigError("E205", msg)
        if self.bidirectional:
            msg = "model bidirectional must be false for a char-lm: it may not see what comes"
            raise ConfigError("E205", msg)


class CharLm(nn.Module):
    """Embedding -> recurrent layers -> logits of the next character; ``parts``: ``step``."""

    def __init__(self, options: CharLmOptions, *, vocab_size: int) -> None:
        super().__init__()
        self.options, self.vocab_size = options, vocab_size
        self.embedding = nn.Embedding(vocab_size, options.embedding)
        self.recurrent = Recurrent(options, options.embedding)
        self.dropout = nn.Dropout(options.dropout)
        self.bias = nn.Parameter(torch.zeros(vocab_size))
        if options.tied:
            nn.init.normal_(self.embedding.weight, std=options.hidden**-0.5)
        else:
            self.head = nn.Linear(options.hidden, vocab_size, bias=False)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return logits (N, T, V) of each next token for (N, T) int64, and the state after."""
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.rate(y), state

    def step(self, token: Tensor, state: State) -> tuple[Tensor, State]:
        """Return logits (N, V) of the token after ``token`` (N,), and the state after it."""
        y, state = self.recurrent.step(self.embedding(token), state)
        return self.rate(y), state

    def rate(self, y: Tensor) -> Tensor:
        """Return logits (..., V) from outputs of the recurrent layers (..., H)."""
        weight = self.embedding.weight if self.options.tied else self.head.weight
        return functional.linear(self.dropout(y), weight, self.bias)

    def zeros(self, n: int) -> State:
        """Return the state before the first token of ``n`` texts."""
        return self.recurrent.zeros(n)

    def parts(self) -> dict[str, nn.Module]:
        """Return ``step``: token (N,), h_in[, c_in] (N, L, H) -> logits (N, V), h_out[, c_out]."""
        return {"step": LstmStep(self) if self.options.cell == "lstm" else Step(self)}


class Step(nn.Module):
    """One step of a ``CharLm`` whose state is h."""

    def __init__(self, network: CharLm) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, h_in: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, V) and h_out (N, L, H)."""
        logits, (h,) = self.network.step(token, (h_in,))
        return logits, h


class LstmStep(nn.Module):
    """One step of a ``CharLm`` whose state is h and c."""

    def __init__(self, network: CharLm) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, h_in: Tensor, c_in: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, V), h_out and c_out (N, L, H)."""
        logits, (h, c) = self.network.step(token, (h_in, c_in))
        return logits, h, c


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassifierOptions(RecurrentOptions):
    """A classifier of texts.

    Attributes:
        family: ``text-classifier``.
        embedding: Width of a token's vector.
        pool: What the classes are told from: the last real output of each direction, the mean or
            the maximum over the real ones.
    """

    family: Literal["text-classifier"] = "text-classifier"
    bidirectional: bool = True
    embedding: int = 64
    pool: Pool = "max"

    def __post_init__(self) -> None:
        RecurrentOptions.__post_init__(self)
        check_widths("embedding", (self.embedding,))


class TextClassifier(nn.Module):
    """Tokens (0 is padding, on the right) -> recurrent layers -> logits; ``parts``: ``model``."""

    head = "reader.fc"

    def __init__(
        self, options: TextClassifierOptions, *, vocab_size: int, length: int, classes: int
    ) -> None:
        super().__init__()
        self.options, self.length = options, length
        self.embedding = nn.Embedding(vocab_size, options.embedding, padding_idx=PAD)
        self.reader = Reader(options, options.embedding, classes, options.pool)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (N, K) for tokens (N, T) int64."""
        return self.reader.read(self.embedding(tokens), tokens != PAD)

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: tokens (N, T) -> logits (N, K)."""
        return {"model": self}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipClassifierOptions(RecurrentOptions):
    """A classifier of clips: convolutions on each frame, recurrent layers over them.

    Attributes:
        family: ``clip-classifier``.
        channels: Output channels of the convolutions; each halves the size.
        features: Width of a frame's vector, D.
        memory: False leaves the recurrent layers out: each frame is judged alone and the logits
            are averaged. To show what the memory is for.
        pool: What the classes are told from, see ``RowClassifierOptions``.
    """

    family: Literal["clip-classifier"] = "clip-classifier"
    channels: tuple[int, ...] = (16, 32, 64)
    features: int = 64
    memory: bool = True
    pool: Pool = "last"

    def __post_init__(self) -> None:
        RecurrentOptions.__post_init__(self)
        check_widths("channels", self.channels)
        check_widths("features", (self.features,))


class ClipClassifier(nn.Module):
    """Frames -> features -> recurrent layers -> logits; ``parts``: ``encoder`` and ``model``."""

    head = "reader.fc"

    def __init__(
        self,
        options: ClipClassifierOptions,
        *,
        image_channels: int,
        size_hw: tuple[int, ...],
        frames: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.options, self.frames = options, frames
        self.encoder = FrameEncoder(options, image_channels, size_hw)
        self.reader: nn.Module
        if options.memory:
            self.reader = Reader(options, options.features, classes, options.pool)
        else:
            self.reader = FrameByFrame(options.features, classes)

    def forward(self, clips: Tensor) -> Tensor:
        """Return logits (N, K) for clips (N, T, C, H, W)."""
        features = self.encoder(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        logits: Tensor = self.reader(features)
        return logits

    def parts(self) -> dict[str, nn.Module]:
        """Return ``encoder``: image -> features (N, D); ``model``: features (N, T, D) -> logits."""
        return {"encoder": self.encoder, "model": self.reader}


class FrameEncoder(nn.Module):
    """Conv-BatchNorm-ReLU with stride 2, then a linear layer that sees where things are."""

    def __init__(
        self, options: ClipClassifierOptions, image_channels: int, size_hw: tuple[int, ...]
    ) -> None:
        super().__init__()
        height, width = size_hw
        layers: list[nn.Module] = []
        inputs = image_channels
        for outputs in options.channels:
            layers += [*conv_bn(inputs, outputs, 3, 2), nn.ReLU()]
            inputs, height, width = outputs, (height + 1) // 2, (width + 1) // 2
        self.convs = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs * height * width, options.features)
        self.relu = nn.ReLU()
        init_he(self)

    def forward(self, image: Tensor) -> Tensor:
        """Return features (N, D) of frames (N, C, H, W)."""
        features: Tensor = self.relu(self.fc(torch.flatten(self.convs(image), 1)))
        return features


class FrameByFrame(nn.Module):
    """Judges each frame alone and averages: what a network without memory can know of a clip."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (N, K) for features (N, T, D)."""
        logits: Tensor = self.fc(features).mean(dim=1)
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class RegressorOptions(RecurrentOptions):
    """Numbers from a window of a measured series.

    Attributes:
        family: ``regressor``.
    """

    family: Literal["regressor"] = "regressor"
    hidden: int = 64


class Regressor(nn.Module):
    """Window in raw units -> normalised -> recurrent layers -> values in raw units.

    Call ``set_scale`` with training data before training.
    """

    head = "reader.fc"

    def __init__(
        self, options: RegressorOptions, *, inputs: int, outputs: int, window: int
    ) -> None:
        super().__init__()
        self.options, self.window = options, window
        self.reader = Reader(options, inputs, outputs, "last")
        self.register_buffer("input_mean", torch.zeros(inputs))
        self.register_buffer("input_std", torch.ones(inputs))
        self.register_buffer("output_mean", torch.zeros(outputs))
        self.register_buffer("output_std", torch.ones(outputs))

    @torch.no_grad()
    def set_scale(self, windows: Tensor, values: Tensor) -> None:
        """Take means and deviations from training windows (n, T, F) and values (n, O)."""
        for name, data in (("input", windows.flatten(0, 1)), ("output", values)):
            std, mean = torch.std_mean(data.double(), dim=0, correction=0)
            std[std <= 1e-6 * mean.abs()] = 1  # a column that does not change
            self.get_buffer(f"{name}_mean").copy_(mean)
            self.get_buffer(f"{name}_std").copy_(std)

    def normalised(self, values: Tensor) -> Tensor:
        """Return values (N, O) in units of the training values' deviation: for the loss."""
        return (values - self.get_buffer("output_mean")) / self.get_buffer("output_std")

    def forward(self, window: Tensor) -> Tensor:
        """Return values (N, O) for windows (N, T, F)."""
        scaled = (window - self.get_buffer("input_mean")) / self.get_buffer("input_std")
        values: Tensor = self.reader(scaled).float()
        return values * self.get_buffer("output_std") + self.get_buffer("output_mean")

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: window (N, T, F) -> values (N, O)."""
        return {"model": self}
