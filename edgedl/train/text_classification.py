"""Trains a classifier of texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from edgedl.data.labelled_text import LabelledTextOptions, open_labelled_text
from edgedl.models.build import build, model_table
from edgedl.options import check_ranges
from edgedl.spec import ModelSpec, TextSpec
from edgedl.tokenizer import Tokenizer, build_vocab
from edgedl.train.folds import Fold, split_fold
from edgedl.train.losses import ClassLoss
from edgedl.train.order import Order
from edgedl.train.recipe import Recipe, network_options
from edgedl.train.score import accuracy
from edgedl.train.task import train_part
from edgedl.vocab import PAD, UNK

if TYPE_CHECKING:
    from edgedl.train.task import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsOptions:
    """The section ``[text]``: how texts become tokens.

    Attributes:
        unit: What a token is.
        lower: Read capital letters as small ones.
        length: Tokens that are read of a text.
        min_count: Rarer tokens are not known.
        max_size: Only so many of the most frequent tokens are known. 0: all.
        hide: Part of the tokens that are hidden in training, so that no single one is relied on.
    """

    unit: Literal["character", "word"] = "word"
    lower: bool = True
    length: int = 32
    min_count: int = 1
    max_size: int = 20000
    hide: float = 0.0

    def __post_init__(self) -> None:
        check_ranges(
            "text",
            self,
            length=(1, 4096),
            min_count=(1, 1 << 20),
            max_size=(0, 1 << 20),
            hide=(0, 0.9),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextClassificationRecipe(Recipe):
    """A training of a classifier of texts.

    Attributes:
        data: Which texts.
        text: How they become tokens.
        model: ``family = "text-classifier"`` and its options.
    """

    task: Literal["text-classification"]
    model: Mapping[str, Any]
    data: LabelledTextOptions
    text: WordsOptions = field(default_factory=WordsOptions)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        network_options(self.model, "text-classifier")
        if self.train.folds:  # each fold is held back in turn, nothing else for choosing
            object.__setattr__(self, "data", dataclasses.replace(self.data, val_part=0.0))


class TextClassification:
    """The task: texts, their labels, and how well those are told."""

    def __init__(self, recipe: TextClassificationRecipe, fold: Fold | None = None) -> None:
        data, words = open_labelled_text(recipe.data), recipe.text
        train, val = train_part(data.splits), data.splits.get("val")
        if fold is not None:
            texts = np.array(train.texts, object)  # none is both learnt and held back
            train, val = split_fold(train, fold, recipe.data.seed, texts)
        text = TextSpec(unit=words.unit, lower=words.lower, length=words.length)
        vocab = build_vocab(train.texts, text, words.min_count, words.max_size or None)
        self._recipe, self.facts = recipe, data.facts
        self.spec = ModelSpec(
            task="text-classification", text=text, labels=data.labels, tokens=vocab.tokens
        )
        tokenizer = Tokenizer(text, vocab)
        self._tokens = torch.from_numpy(tokenizer.padded(train.texts))
        self._labels = torch.from_numpy(train.labels)
        self._val = None
        if val is not None:
            self._val = torch.from_numpy(tokenizer.padded(val.texts)), torch.from_numpy(val.labels)
        options = network_options(recipe.model, "text-classifier")
        self.model = model_table(
            options, vocab_size=len(vocab), length=text.length, classes=len(data.labels)
        )
        self.network = self.kept = build(self.model, "recipe [model]")
        self._order = Order(len(train), recipe.train.batch, recipe.seed)
        self.steps_per_epoch: int | None = self._order.steps_per_epoch
        self._loss = ClassLoss(recipe.train, self._labels, len(data.labels))

    def batch(self, step: int) -> Batch:
        """Return tokens (N, T) and labels (N,)."""
        rows = torch.from_numpy(self._order.indices(step))
        tokens = self._tokens[rows]
        if self._recipe.text.hide:
            hidden = (torch.rand(tokens.shape) < self._recipe.text.hide) & (tokens != PAD)
            tokens = torch.where(hidden, UNK, tokens)
        return tokens, self._labels[rows]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        tokens, labels = batch
        return self._loss(network(tokens), labels)

    def score(self, network: nn.Module) -> float:
        """Return the accuracy on ``val``."""
        return accuracy(network, self._val)

    def close(self) -> None:
        """Do nothing: all is in memory."""
