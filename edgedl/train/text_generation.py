"""Trains a language model of characters: which one comes next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.data.text import TextOptions, open_text
from edgedl.errors import ConfigError
from edgedl.models.build import build, model_table
from edgedl.options import check_ranges
from edgedl.spec import ModelSpec, TextSpec
from edgedl.tokenizer import Tokenizer, build_vocab
from edgedl.train.order import rng
from edgedl.train.recipe import Recipe, network_options
from edgedl.train.task import train_part
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from edgedl.models.sequences import CharLm
    from edgedl.train.task import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOptions:
    """The section ``[chunk]``: which pieces of the text are learnt from.

    Attributes:
        length: Characters of a piece that are foreseen.
        warm_up: Characters before those that are read only, to have a state.
    """

    length: int = 128
    warm_up: int = 16

    def __post_init__(self) -> None:
        check_ranges("chunk", self, length=(2, 4096), warm_up=(0, 4096))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextGenerationRecipe(Recipe):
    """A training of a language model.

    Attributes:
        data: Which text.
        model: ``family = "char-lm"`` and its options.
        chunk: Which pieces of it.
    """

    task: Literal["text-generation"]
    data: TextOptions
    model: Mapping[str, Any]
    chunk: ChunkOptions = field(default_factory=ChunkOptions)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        network_options(self.model, "char-lm")
        self.train.refuse(self.task, "label_smoothing", "class_weights", "folds")


class TextGeneration:
    """The task: pieces from anywhere in the text, each foreseen from its own beginning."""

    def __init__(self, recipe: TextGenerationRecipe) -> None:
        data, text = open_text(recipe.data), TextSpec(unit="character")
        vocab = build_vocab([train_part(data.splits)], text)
        self._recipe, self.facts = recipe, data.facts
        self.spec = ModelSpec(task="text-generation", text=text, tokens=vocab.tokens)
        tokenizer = Tokenizer(text, Vocab(vocab.tokens))
        self._train, self._val = (
            torch.tensor(tokenizer.encode(data.splits.get(split, ""))) for split in ("train", "val")
        )
        options = network_options(recipe.model, "char-lm")
        self.model = model_table(options, vocab_size=len(vocab))
        self.network = self.kept = build(self.model, "recipe [model]")
        self._piece = recipe.chunk.length + recipe.chunk.warm_up
        if self._piece >= len(self._train):
            msg = (
                f"chunk.length + chunk.warm_up must be below the {len(self._train)} characters "
                f"to learn from; got {self._piece}: set a shorter chunk.length, or add text"
            )
            raise ConfigError("E205", msg)
        rated = recipe.train.batch * recipe.chunk.length
        self.steps_per_epoch: int | None = max(1, len(self._train) // rated)

    def batch(self, step: int) -> Batch:
        """Return tokens (N, warm-up + length + 1) of pieces from anywhere."""
        last = len(self._train) - self._piece - 1
        starts = rng(self._recipe.seed, step).integers(0, last + 1, self._recipe.train.batch)
        rows = torch.from_numpy(starts[:, None] + np.arange(self._piece + 1))
        return (self._train[rows],)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return nats per character, after the warm-up."""
        (tokens,), skip = batch, self._recipe.chunk.warm_up
        logits, _ = cast("CharLm", network)(tokens[:, :-1])
        return functional.cross_entropy(
            logits[:, skip:].float().flatten(0, 1), tokens[:, 1 + skip :].flatten()
        )

    def score(self, network: nn.Module) -> float:
        """Return minus nats per character of ``val``."""
        if len(self._val) < 2:
            return float("nan")
        rows = max(1, min(32, (len(self._val) - 1) // 256))
        length = (len(self._val) - 1) // rows
        given = self._val[: rows * length].view(rows, length)
        wanted = self._val[1 : rows * length + 1].view(rows, length)
        state, nats = None, 0.0
        for part, truth in zip(
            torch.split(given, 256, 1), torch.split(wanted, 256, 1), strict=True
        ):
            logits, state = cast("CharLm", network)(part, state)
            flat = logits.float().flatten(0, 1)
            nats += float(functional.cross_entropy(flat, truth.flatten(), reduction="sum"))
        return -nats / given.numel()

    def close(self) -> None:
        """Do nothing: all is in memory."""
