"""Trains a classifier of clips: what happens, not what is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from edgedl.data.clips import Clips, ClipsOptions, open_clips
from edgedl.errors import ConfigError
from edgedl.models.build import build, model_table
from edgedl.spec import ClipSpec, ImageSpec, ModelSpec
from edgedl.train.augment import AugmentOptions, augment, jitter_time
from edgedl.train.folds import Fold, split_fold
from edgedl.train.losses import ClassLoss
from edgedl.train.order import Order
from edgedl.train.pixels import ImageOptions, affine, image_spec, normalising, resized
from edgedl.train.recipe import Recipe, network_options
from edgedl.train.score import accuracy
from edgedl.train.task import train_part

if TYPE_CHECKING:
    from edgedl.train.task import Batch

_MEASURED_AT_ONCE = 50
_SIDE = 64  # of frames where the recipe says nothing: motion shows in small pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipClassificationRecipe(Recipe):
    """A training of a classifier of clips.

    Attributes:
        data: Which clips.
        image: How a frame becomes the encoder's input; what is left out comes from the data.
        model: ``family = "clip-classifier"`` and its options.
        augment: What changes in a clip each time it is shown: the same in all its frames, and
            ``time_jitter``. No flips or turns where the class is a direction.
    """

    task: Literal["clip-classification"]
    data: ClipsOptions
    model: Mapping[str, Any]
    image: ImageOptions = field(default_factory=ImageOptions)
    augment: AugmentOptions = field(default_factory=AugmentOptions)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.train.folds:  # each fold is held back in turn, nothing else for choosing
            no_val = dataclasses.replace(self.data, val=0, val_part=0.0)
            object.__setattr__(self, "data", no_val)
        network_options(self.model, "clip-classifier")
        self.image.check()
        if self.augment.mixup:
            msg = f"augment.mixup is for pictures; got {self.augment.mixup} for clips, set it to 0"
            raise ConfigError("E205", msg)


class ClipClassification:
    """The task: clips, their labels, and how well those are told."""

    def __init__(self, recipe: ClipClassificationRecipe, fold: Fold | None = None) -> None:
        data = open_clips(recipe.data)
        train, val = train_part(data.splits), data.splits.get("val")
        if fold is not None:
            train, val = split_fold(train, fold, recipe.data.seed)
        self._recipe, self.facts = recipe, data.facts
        image = image_spec(_sized(recipe.image, train), list(train.clip(0)))
        self._clips, self._labels = _pixels(image, train), torch.from_numpy(train.labels)
        if recipe.image.mean is None and recipe.image.std is None:
            some = self._clips[:: max(1, len(train) // _MEASURED_AT_ONCE)]
            image = normalising(image, some.flatten(0, 1))
        self._gain, self._bias = affine(image)
        clip = ClipSpec(frames=recipe.data.frames, every=data.every)
        self.spec = ModelSpec(
            task="clip-classification", image=image, clip=clip, labels=data.labels
        )
        self._val = None
        if val is not None:
            self._val = _pixels(image, val), torch.from_numpy(val.labels)
        options = network_options(recipe.model, "clip-classifier")
        self.model = model_table(
            options,
            image_channels=image.channels,
            size_hw=image.size_hw,
            frames=clip.frames,
            classes=len(data.labels),
        )
        self.network = self.kept = build(self.model, "recipe [model]")
        self._order = Order(len(train), recipe.train.batch, recipe.seed)
        self.steps_per_epoch: int | None = self._order.steps_per_epoch
        self._loss = ClassLoss(recipe.train, self._labels, len(data.labels))

    def batch(self, step: int) -> Batch:
        """Return clips (N, T, C, H, W) float32 and labels (N,)."""
        options = self._recipe.augment
        rows = torch.from_numpy(self._order.indices(step))
        clips = self._clips[rows]
        if options.time_jitter:
            clips = jitter_time(clips, options.time_jitter)
        if dataclasses.replace(options, time_jitter=0) != AugmentOptions():
            n, frames, channels, *side = clips.shape
            as_one = clips.reshape(n, frames * channels, *side)  # all frames change alike
            epoch = self._order.epoch(step)
            changed = augment(as_one, options, epoch=epoch, indices=rows, frames=frames)
            clips = changed.reshape(n, frames, channels, *side)
        return self._normalized(clips), self._labels[rows]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        clips, labels = batch
        return self._loss(network(clips), labels)

    def score(self, network: nn.Module) -> float:
        """Return the accuracy on ``val``."""
        return accuracy(network, self._val, self._normalized, _MEASURED_AT_ONCE)

    def close(self) -> None:
        """Do nothing: all is in memory."""

    def _normalized(self, clips: Tensor) -> Tensor:
        return clips.float().mul_(self._gain).add_(self._bias)


def _sized(options: ImageOptions, clips: Clips) -> ImageOptions:
    """Return ``options`` with a size: that of the frames, but no side longer than ``_SIDE``."""
    if options.size_hw is not None:
        return options
    height, width = clips.clip(0).shape[1:3]
    size_hw = (min(height, _SIDE), min(width, _SIDE))
    shrinks = size_hw != (height, width)
    resize = options.resize or ("area" if shrinks else None)
    return dataclasses.replace(options, size_hw=size_hw, resize=resize)


def _pixels(image: ImageSpec, clips: Clips) -> Tensor:
    """Return all clips at the network's size, (n, T, C, H, W) uint8."""
    made = clips.each(lambda clip: resized(image, list(clip)).numpy())
    return torch.from_numpy(np.stack(list(made)))
