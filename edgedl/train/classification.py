"""Trains a classifier of pictures: any of the networks, on any pictures with labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from edgedl.data.pictures import Pictures, PicturesOptions, open_pictures
from edgedl.errors import DataError
from edgedl.models.build import build, model_options, model_table
from edgedl.models.weights import load_backbone
from edgedl.options import options_from
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.train.augment import AugmentOptions, augment, mixup
from edgedl.train.losses import ClassLoss
from edgedl.train.order import Order, rng
from edgedl.train.pixels import ImageOptions, affine, image_spec, normalising, resized
from edgedl.train.recipe import Recipe

if TYPE_CHECKING:
    from edgedl.train.task import Batch, Fold

_MEASURED_AT_ONCE = 500
_SOME_PICTURES = 5000  # what a network's first layer may be set from


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassificationRecipe(Recipe):
    """A training of a classifier of pictures.

    Attributes:
        data: Which pictures.
        image: How a picture becomes the network's input, as far as the data does not say it.
        model: ``family`` and its options; ``weights``, a file to start from; ``freeze``, to train
            the head only.
        augment: What changes in a picture each time it is shown.
    """

    task: Literal["classification"]
    data: PicturesOptions
    model: Mapping[str, Any]
    image: ImageOptions = field(default_factory=ImageOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        model_options(_without_start(self.model), "recipe [model]")
        options_from(_Start, _start(self.model), "recipe [model]")
        self.image.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """What ``[model]`` says beside the network.

    Attributes:
        weights: A file whose tensors the network starts from, where names and shapes fit.
        freeze: Train the head only.
    """

    weights: str = ""
    freeze: bool = False


class Classification:
    """The task: pictures, their labels, and how well those are told."""

    def __init__(self, recipe: ClassificationRecipe, fold: Fold | None = None) -> None:
        options = recipe.data if fold is None else dataclasses.replace(recipe.data, val=0)
        data = open_pictures(options)
        if len(data.labels) < 2:
            msg = f"{recipe.data.path}: a classifier needs at least 2 classes; got {data.labels}"
            raise DataError("E352", msg)
        train, val = data.splits["train"], data.splits.get("val")
        if fold is not None:
            train, val = _fold(train, fold, recipe.data.seed)
        self._recipe, self.facts = recipe, data.facts
        image = image_spec(recipe.image, train.pictures)
        self.spec = ModelSpec(task="classification", image=image, labels=data.labels)
        self._pixels, self._labels = resized(image, train.pictures), torch.from_numpy(train.labels)
        if recipe.image.mean is None and recipe.image.std is None:
            image = normalising(image, self._pixels)
            self.spec = dataclasses.replace(self.spec, image=image)
        self._gain, self._bias = affine(image)
        self._val = None
        if val is not None and len(val):
            self._val = resized(image, val.pictures), torch.from_numpy(val.labels)
        self._order = Order(len(train), recipe.train.batch, recipe.seed)
        self.steps_per_epoch: int | None = self._order.steps_per_epoch
        self._loss = ClassLoss(recipe.train, self._labels, len(data.labels))
        self._build(recipe, image, len(data.labels))

    def _build(self, recipe: ClassificationRecipe, image: ImageSpec, classes: int) -> None:
        options = model_options(_without_start(recipe.model), "recipe [model]")
        is_rows = options.family == "row-classifier"  # type: ignore[union-attr]
        sizes: dict[str, Any] = {"image_channels" if is_rows else "channels": image.channels}
        if is_rows:
            sizes["size_hw"] = image.size_hw
        self.model = model_table(options, **sizes, classes=classes)
        self.network = self.kept = build(self.model, "recipe [model]")
        start = options_from(_Start, _start(recipe.model), "recipe [model]")
        if start.weights:
            load_backbone(self.network, Path(start.weights))
        elif hasattr(self.network, "init_from"):
            every = max(1, len(self._pixels) // _SOME_PICTURES)  # files are sorted by class
            cast("Any", self.network).init_from(self._normalized(self._pixels[::every]))
        self._frozen: list[nn.Module] = []
        if start.freeze:
            self._frozen = _freeze(self.network)

    def batch(self, step: int) -> Batch:
        """Return pictures (N, C, H, W) float32 and labels (N,), or parts of classes (N, K)."""
        options = self._recipe.augment
        rows = torch.from_numpy(self._order.indices(step))
        epoch = self._order.epoch(step)
        pictures = augment(self._pixels[rows], options, epoch=epoch, indices=rows)
        labels = self._labels[rows]
        made = self._normalized(pictures)
        if options.mixup:
            made, labels = mixup(made, labels, len(self.spec.labels), options.mixup)
        return made, labels

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        for module in self._frozen:  # frozen layers keep their statistics, too
            module.eval()
        pictures, labels = batch
        return self._loss(network(pictures), labels)

    def score(self, network: nn.Module) -> float:
        """Return the accuracy on ``val``."""
        if self._val is None:
            return float("nan")
        right = 0
        pixels, labels = (torch.split(t, _MEASURED_AT_ONCE) for t in self._val)
        for part, truths in zip(pixels, labels, strict=True):
            right += int((network(self._normalized(part)).argmax(1) == truths).sum())
        return right / len(self._val[1])

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def _normalized(self, pixels: Tensor) -> Tensor:
        """Return uint8 pixels as the ``Preprocessor`` would: each product and sum rounded once."""
        return pixels.float().mul_(self._gain).add_(self._bias)


def _fold(train: Pictures, fold: Fold, seed: int) -> tuple[Pictures, Pictures]:
    """Return ``train`` without, and only, its part ``fold.index``; classes are spread evenly."""
    place = np.empty(len(train), np.int64)
    for label in np.unique(train.labels):
        rows = rng(seed, int(label)).permutation(np.flatnonzero(train.labels == label))
        place[rows] = (np.arange(len(rows)) + label) % fold.count
    is_val = place == fold.index
    return train.take(np.flatnonzero(~is_val)), train.take(np.flatnonzero(is_val))


def _freeze(network: nn.Module) -> list[nn.Module]:
    """Freeze all but the head; return the modules that stay in evaluation mode."""
    head = str(getattr(network, "head", ""))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name.startswith(f"{head}."))
    return [module for name, module in network.named_modules() if name and name != head]


def _start(model: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in model.items() if k in _Start.__dataclass_fields__}


def _without_start(model: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in model.items() if k not in _Start.__dataclass_fields__}
