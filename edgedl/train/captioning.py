"""Trains a captioner on rendered scenes.

Each batch is fresh: pictures of scenes never shown before, and for each one sentence drawn from
all that the grammar licenses. Beside the words the network learns, from a layer that is thrown
away afterwards, what lies in each cell of its grid and in which role; so the encoder learns to see
within seconds instead of waiting for what comes back through fifteen words.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.data.feed import open_feed
from edgedl.data.scenes import (
    COLORS,
    MAX_TOKENS,
    ROLES,
    SHAPES,
    SIZES,
    Scenes,
    Split,
    Thing,
    is_exact,
    wording_in_order,
    words,
)
from edgedl.errors import ConfigError
from edgedl.models.build import model_table
from edgedl.models.captioner import Captioner, CaptionerOptions, greedy
from edgedl.options import check_ranges, options_from
from edgedl.runtime.preprocess import Preprocessor
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.train.recipe import Recipe
from edgedl.vocab import BOS, EOS, PAD, UNK, Vocab

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.train.task import Batch

NOWHERE = -100  # in place of a cell: any

_PARTS = (1, len(COLORS), len(SHAPES), len(SIZES), len(ROLES))  # what the lesson asks of a cell


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenesOptions:
    """The section ``[data]``: what pictures to train and measure on.

    Attributes:
        generated: What is rendered.
        seed: Of the scenes.
        train_px: Sides of the rendered training pictures, in turn; each is then pre-processed
            like a camera's frame.
        camera_px: Side of the pictures of ``val`` and ``test``.
        val: Number of pictures for choosing the best weights.
        test: Number of held-out pictures.
    """

    generated: Literal["scenes"] = "scenes"
    seed: int = 1
    train_px: tuple[int, ...] = (64,)
    camera_px: int = 256
    val: int = 512
    test: int = 2000

    def __post_init__(self) -> None:
        sides = (*self.train_px, self.camera_px)
        if not self.train_px or not all(16 <= side <= 2048 for side in sides):
            msg = f"data.train_px and data.camera_px must be in 16..2048; got {sides}"
            raise ConfigError("E205", msg)
        check_ranges("data", self, seed=(0, (1 << 31) - 1), val=(1, 1 << 20), test=(1, 1 << 20))


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonOptions:
    """The section ``[lesson]``: what is learnt from a batch.

    Attributes:
        cells: Weight of the loss that asks what lies in each cell of the grid.
        looks: Weight of the loss that asks to look at the thing a word is about.
        hide_words: Part of the words before a word that are hidden, so that the network looks.
    """

    cells: float = 0.5
    looks: float = 0.2
    hide_words: float = 0.0

    def __post_init__(self) -> None:
        check_ranges("lesson", self, cells=(0, 100), looks=(0, 100), hide_words=(0, 0.99))


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptioningRecipe(Recipe):
    """A training of a captioner.

    Attributes:
        data: Which pictures.
        image: How a picture becomes the network's input.
        model: Widths of the network; its ``size_hw`` is the image's.
        lesson: What is learnt from a batch.
    """

    task: Literal["captioning"]
    image: ImageSpec
    data: ScenesOptions = field(default_factory=ScenesOptions)
    model: Mapping[str, Any] = field(default_factory=dict)
    lesson: LessonOptions = field(default_factory=LessonOptions)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.image.layout != "NCHW" or self.image.channels != 3 or self.image.dtype != "float32":
            msg = "image must be NCHW, float32 and of three channels for a captioner"
            raise ConfigError("E205", msg)
        if "size_hw" in self.model:
            msg = "model: size_hw is the image's; set image.size_hw"
            raise ConfigError("E203", msg)
        self.widths()
        self.train.refuse(self.task, "class_weights", "folds")

    def widths(self) -> CaptionerOptions:
        """Return ``[model]`` as the record the network is built from."""
        table = {k: v for k, v in self.model.items() if k != "family"}
        return options_from(
            CaptionerOptions, {**table, "size_hw": self.image.size_hw}, "recipe [model]"
        )


class Lesson(nn.Module):
    """A captioner and the layer that says what lies in each cell; only the first is kept."""

    head = f"captioner.{Captioner.head}"

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner
        self.cells = nn.Linear(captioner.options.channels[-1], sum(_PARTS))


class Captioning:
    """The task: scenes, their captions, and how well those are learnt."""

    steps_per_epoch = None

    def __init__(self, recipe: CaptioningRecipe) -> None:
        self._recipe = recipe
        self._vocab = Vocab.build(words())
        options = recipe.widths()
        captioner = Captioner(options, len(self._vocab))
        self.model = model_table(options, vocab_size=len(self._vocab))
        self.spec = ModelSpec(task="captioning", image=recipe.image, tokens=self._vocab.tokens)
        self.network = Lesson(captioner)
        self.kept = captioner
        self.facts = _facts(recipe)
        self._preprocessor = Preprocessor(recipe.image)
        self._val: tuple[Tensor, list[Any]] | None = None
        self._feed = _Feed(recipe)
        self._latest: tuple[int, Batch] | None = None

    def batch(self, step: int) -> Batch:
        """See ``make_batch``."""
        if self._latest is None or self._latest[0] != step:
            frames = self._feed.frames(step)
            first = step * self._recipe.train.batch
            made = make_batch(self._recipe, self._preprocessor, self._vocab, first, frames)
            self._latest = step, made
        return self._latest[1]

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """See ``lesson_loss``."""
        return lesson_loss(self._recipe, network, batch)

    def score(self, network: nn.Module) -> float:
        """Return the part of the pictures of ``val`` whose caption is exact."""
        assert isinstance(network, Lesson)
        if self._val is None:
            data = self._recipe.data
            scenes = Scenes(data.seed, "val", (data.camera_px, data.camera_px))
            pictures = [scenes.picture(i) for i in range(data.val)]
            images = to_tensor(self._preprocessor, pictures)
            self._val = images, [scenes.scene(i) for i in range(data.val)]
        images, truths = self._val
        said = caption_all(network.captioner, images, self._vocab)
        return sum(map(is_exact, said, truths)) / len(truths)

    def close(self) -> None:
        """End the process that renders."""
        self._feed.close()


class _Feed:
    """The rendering process, started again where the steps asked for are not in a row."""

    def __init__(self, recipe: CaptioningRecipe) -> None:
        self._data, self._count = recipe.data, recipe.train.batch
        self._stack = ExitStack()
        self._batches: Iterator[list[U8Image]] | None = None
        self._next = -1

    def frames(self, step: int) -> list[U8Image]:
        if self._batches is None or step != self._next:
            self.close()
            data = self._data
            feed = open_feed(data.seed, self._count, data.train_px, first=step)
            self._batches = self._stack.enter_context(feed)
        self._next = step + 1
        return next(self._batches)

    def close(self) -> None:
        self._stack.close()


def caption_all(network: Captioner, images: Tensor, vocab: Vocab) -> list[str]:
    """Return the greedy caption of each of ``images`` (N, 3, height, width)."""
    sentences = []
    with torch.inference_mode():
        for part in torch.split(images, 256):
            ids = greedy(network, part, MAX_TOKENS).tolist()
            sentences += [vocab.decode(row) for row in ids]
    return sentences


def to_tensor(preprocessor: Preprocessor, frames: Sequence[U8Image]) -> Tensor:
    """Return pre-processed pictures of any sizes as one tensor (N, 3, height, width)."""
    out = np.empty((len(frames), *preprocessor.spec.shape[1:]), np.float32)
    for i, frame in enumerate(frames):
        preprocessor.into(frame, out[i : i + 1])
    return torch.from_numpy(out)


def make_batch(
    recipe: CaptioningRecipe,
    preprocessor: Preprocessor,
    vocab: Vocab,
    first: int,
    frames: list[U8Image],
) -> Batch:
    """Return what one step learns from.

    Returns:
        images (N, 3, height, width); tokens (N, T), ``<bos>`` to ``<eos>`` and padding; looks
        (N, T - 1), the cell of the thing whose size, colour or shape comes next, else ``NOWHERE``;
        and for each thing in the pictures a row (picture, cell, colour, shape, size, role).
    """
    split = Scenes(recipe.data.seed, "train")
    scenes = [split.scene(first + i) for i in range(len(frames))]
    told = [wording_in_order(s, random.Random(first + i)) for i, s in enumerate(scenes)]
    ids = [[BOS, *vocab.encode(sentence), EOS] for sentence, _ in told]
    tokens = np.full((len(ids), max(map(len, ids))), PAD, np.int64)
    looks = np.full((len(ids), tokens.shape[1] - 1), NOWHERE, np.int64)
    stride = recipe.widths().stride
    grid = tuple(side // stride for side in recipe.image.size_hw)
    for n, (scene, (sentence, named)) in enumerate(zip(scenes, told, strict=True)):
        tokens[n, : len(ids[n])] = ids[n]
        starts = [i for i, word in enumerate(sentence.split(), start=1) if word == "a"]
        for start, thing in zip(starts, named, strict=True):
            looks[n, start : start + 3] = _cell(scene.things[thing], grid)
    things = [
        (
            n,
            _cell(thing, grid),
            COLORS.index(thing.color),
            SHAPES.index(thing.shape),
            SIZES.index(thing.size),
            ROLES.index(role),
        )
        for n, scene in enumerate(scenes)
        for thing, (_, _, role) in zip(scene.things, scene.combinations, strict=True)
    ]
    pictures = to_tensor(preprocessor, frames)
    return pictures, torch.from_numpy(tokens), torch.from_numpy(looks), torch.tensor(things)


def lesson_loss(recipe: CaptioningRecipe, lesson: nn.Module, batch: Batch) -> Tensor:
    """Return the mean loss of the words plus the weighted one of the cells."""
    assert isinstance(lesson, Lesson)
    images, tokens, looks, things = batch
    options, captioner = recipe.lesson, lesson.captioner
    features, h, c = captioner.encode(images)
    heard = tokens[:, :-1]
    hidden = (torch.rand(heard.shape) < options.hide_words) & (heard != BOS)
    # Single words are small work: the casts of mixed precision would cost more than they save.
    with torch.autocast("cpu", enabled=False):
        features = features.float()
        heard = torch.where(hidden, UNK, heard)
        logits, weights = captioner.read(heard, h.float(), c.float(), features)
        of_words = functional.cross_entropy(
            logits.flatten(0, 1),
            tokens[:, 1:].flatten(),
            ignore_index=PAD,
            label_smoothing=recipe.train.label_smoothing,
        )
        cells = lesson.cells(features[:, :, : captioner.options.channels[-1]])
        of_looks = functional.nll_loss(
            (weights + 1e-6).log().flatten(0, 1), looks.flatten(), ignore_index=NOWHERE
        )
        return of_words + options.looks * of_looks + options.cells * _cells_loss(cells, things)


def _cells_loss(cells: Tensor, things: Tensor) -> Tensor:
    """Return how badly ``cells`` (N, P, sum of _PARTS) tell where and what the things are."""
    picture, cell, *kinds = things.unbind(1)
    there = torch.zeros(cells.shape[:2])
    there[picture, cell] = 1.0
    loss = functional.binary_cross_entropy_with_logits(
        cells[:, :, 0], there, pos_weight=torch.tensor(8.0)
    )
    for logits, kind in zip(
        torch.split(cells[picture, cell], list(_PARTS), 1)[1:], kinds, strict=True
    ):
        loss = loss + functional.cross_entropy(logits, kind)
    return loss


def _cell(thing: Thing, grid: tuple[int, ...]) -> int:
    """Return the grid position a thing's centre lies in."""
    rows, columns = grid
    return int(thing.y * rows) * columns + int(thing.x * columns)


def _facts(recipe: CaptioningRecipe) -> dict[str, Any]:
    """Return what the run was trained on: enough to see whether two runs had the same data."""
    splits = {}
    split: Split
    for split in ("train", "val", "test"):
        scenes = Scenes(recipe.data.seed, split)
        digest = hashlib.sha256()
        for i in range(256):
            digest.update(repr(scenes.scene(i)).encode())
        splits[split] = {"sha256_of_256_scenes": digest.hexdigest()}
    return {
        "name": "scenes",
        "seed": recipe.data.seed,
        "camera_px": recipe.data.camera_px,
        "splits": splits,
        "held_out": "colour, shape and role together: see edgedl.data.scenes.HELD_OUT_ROLE",
    }
