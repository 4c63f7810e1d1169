"""Networks with memory: of picture rows, characters, texts, clips and measured series.

Each is trained by ``forward`` and exported by ``parts``: role to a module that takes and returns
exactly the tensors of its graph. Shapes: N batch, T time, V vocabulary, K classes, L layers,
H hidden, D features of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from edgedl.errors import ConfigError
from edgedl.models.blocks import check_widths
from edgedl.models.recurrent import Recurrent, RecurrentOptions, State

Pool = Literal["last", "mean", "max"]


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

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (N, K) for pictures (N, C, H, W)."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: image (N, C, H, W) -> logits (N, K)."""
        raise NotImplementedError


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

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return logits (N, T, V) of each next token for (N, T) int64, and the state after."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return ``step``: token (N,), h_in[, c_in] (N, L, H) -> logits (N, V), h_out[, c_out]."""
        raise NotImplementedError


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

    def __init__(
        self, options: TextClassifierOptions, *, vocab_size: int, length: int, classes: int
    ) -> None:
        super().__init__()
        self.options = options

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (N, K) for tokens (N, T) int64."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: tokens (N, T) -> logits (N, K)."""
        raise NotImplementedError


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
        self.options = options

    def forward(self, clips: Tensor) -> Tensor:
        """Return logits (N, K) for clips (N, T, C, H, W)."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return ``encoder``: image -> features (N, D); ``model``: features (N, T, D) -> logits."""
        raise NotImplementedError


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

    def __init__(
        self, options: RegressorOptions, *, inputs: int, outputs: int, window: int
    ) -> None:
        super().__init__()
        self.options = options

    def set_scale(self, windows: Tensor, values: Tensor) -> None:
        """Take means and deviations from training windows (n, T, F) and values (n, O)."""
        raise NotImplementedError

    def normalised(self, values: Tensor) -> Tensor:
        """Return values (N, O) in units of the training values' deviation: for the loss."""
        raise NotImplementedError

    def forward(self, window: Tensor) -> Tensor:
        """Return values (N, O) for windows (N, T, F)."""
        raise NotImplementedError

    def parts(self) -> dict[str, nn.Module]:
        """Return ``model``: window (N, T, F) -> values (N, O)."""
        raise NotImplementedError
