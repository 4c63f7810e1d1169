"""Trains a classifier of pictures: any of the networks, on any pictures with labels."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn

from edgedl.data.pictures import PicturesOptions, open_pictures
from edgedl.errors import ConfigError, DataError
from edgedl.models.blocks import ImageClassifier
from edgedl.models.build import build, model_options, model_table
from edgedl.models.weights import load_backbone
from edgedl.options import options_from
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.train.augment import AugmentOptions, augment, mixup
from edgedl.train.folds import Fold, split_fold
from edgedl.train.losses import ClassLoss
from edgedl.train.order import Order
from edgedl.train.pixels import ImageOptions, affine, image_spec, normalising, resized
from edgedl.train.recipe import Recipe
from edgedl.train.score import accuracy
from edgedl.train.task import train_part

if TYPE_CHECKING:
    from edgedl.train.task import Batch

log = logging.getLogger(__name__)

_SOME_PIXELS = 5_000_000  # of the pictures that a network's first layer may be set from


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
        if self.train.folds:  # each fold is held back in turn, nothing else for choosing
            object.__setattr__(self, "data", dataclasses.replace(self.data, val=0))
        if self.augment.time_jitter:
            msg = f"augment.time_jitter is for clips; got {self.augment.time_jitter} for pictures"
            raise ConfigError("E205", msg)
        model_options(self.model, "recipe [model]", self.model_keys())
        start = options_from(_Start, _start(self.model), "recipe [model]")
        if start.freeze and not start.weights:
            msg = "model.freeze keeps what was learnt elsewhere; name it: model.weights"
            raise ConfigError("E205", msg)
        self.image.check()

    @classmethod
    def model_keys(cls) -> tuple[str, ...]:
        """Return the keys that say what the network starts from."""
        return tuple(_Start.__dataclass_fields__)


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
        data = open_pictures(recipe.data)
        if len(data.labels) < 2:
            msg = f"{recipe.data.path}: a classifier needs at least 2 classes; got {data.labels}"
            raise DataError("E352", msg)
        train, val = train_part(data.splits), data.splits.get("val")
        if fold is not None:
            train, val = split_fold(train, fold, recipe.data.seed)
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
        options = model_options(recipe.model, "recipe [model]", recipe.model_keys())
        is_rows = options.family == "row-classifier"  # type: ignore[union-attr]
        sizes: dict[str, Any] = {"image_channels" if is_rows else "channels": image.channels}
        if is_rows:
            sizes["size_hw"] = image.size_hw
        self.model = model_table(options, **sizes, classes=classes)
        self.network = self.kept = build(self.model, "recipe [model]")
        if hasattr(self.network, "init_from"):
            wanted = max(1, _SOME_PIXELS // math.prod(self._pixels.shape[2:]))
            every = max(1, len(self._pixels) // wanted)  # files are sorted by class
            cast("Any", self.network).init_from(self._normalized(self._pixels[::every]))
        start = options_from(_Start, _start(recipe.model), "recipe [model]")
        if start.weights:
            _start_from(self.network, start)
        self._try()

    def _try(self) -> None:
        """Refuse pictures that are too small for the network, and batches too small for its norms.

        Raises:
            ConfigError: E205.
        """
        some = self._normalized(self._pixels[:1])
        with torch.no_grad():
            try:
                self.network.eval()(some)
            except RuntimeError as err:
                height, width = self._pixels.shape[2:]
                msg = (
                    f"model.family {self.model['family']!r} takes no pictures of {height} x "
                    f"{width} pixels; set image.size_hw, e.g. [32, 32]"
                )
                raise ConfigError("E205", msg) from err
            if min(self._recipe.train.batch, len(self._pixels)) > 1:
                return
            try:
                copy.deepcopy(self.network).train()(some)
            except ValueError as err:
                msg = (
                    f"model.family {self.model['family']!r} cannot learn from one picture at a "
                    "time: its norms get one value; set train.batch to 2 or more, from as many "
                    "pictures"
                )
                raise ConfigError("E205", msg) from err

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
        pictures, labels = batch
        return self._loss(network(pictures), labels)

    def score(self, network: nn.Module) -> float:
        """Return the accuracy on ``val``."""
        return accuracy(network, self._val, self._normalized)

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def _normalized(self, pixels: Tensor) -> Tensor:
        """Return uint8 pixels as the ``Preprocessor`` would: each product and sum rounded once."""
        return pixels.float().mul_(self._gain).add_(self._bias)


def _start_from(network: nn.Module, start: _Start) -> None:
    """Load a weights file, say what of it did not fit, and freeze what did.

    Raises:
        BundleError: E403, E410, E413 of ``load_backbone``.
        ConfigError: E205 a part would be frozen as chance made it.
    """
    if not isinstance(network, ImageClassifier):
        msg = "model.weights is for networks of pictures whose head alone depends on the classes"
        raise ConfigError("E205", msg)
    loaded = load_backbone(network, Path(start.weights))
    fresh = [
        name
        for name in loaded.kept
        if not name.startswith(f"{network.head}.") and not name.endswith("num_batches_tracked")
    ]
    if fresh:
        told = f"{', '.join(fresh[:3])}{' …' if len(fresh) > 3 else ''}"
        msg = (
            f"{start.weights} has nothing that fits {len(fresh)} of {len(network.state_dict())} "
            f"tensors of the network: {told}"
        )
        if start.freeze:
            msg += "; model.freeze would keep them as chance made them: set model.stem and width"
            raise ConfigError("E205", f"{msg} as in the file, or model.freeze = false")
        log.warning("%s; they begin by chance", msg)
    if start.freeze:
        network.freeze()


def _start(model: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in model.items() if k in _Start.__dataclass_fields__}
