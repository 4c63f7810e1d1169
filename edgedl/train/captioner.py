"""Trains a captioner on rendered scenes.

Each batch is fresh: pictures of scenes never shown before, and for each one sentence drawn from
all that the grammar licenses. Beside the words the network learns, from a layer that is thrown
away afterwards, what lies in each cell of its grid and in which role; so the encoder learns to see
within seconds instead of waiting for what comes back through fifteen words.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgedl.data.feed import open_feed
from edgedl.data.scenes import (
    COLORS,
    ROLES,
    SHAPES,
    SIZES,
    Scene,
    Scenes,
    Split,
    Thing,
    captions,
    is_exact,
    references,
    wording_in_order,
    words,
)
from edgedl.metrics.caption import bleu, cider_d
from edgedl.metrics.interval import wilson
from edgedl.models.captioner import Captioner, greedy
from edgedl.models.weights import save_weights
from edgedl.runtime.preprocess import Preprocessor
from edgedl.timing import machine_facts
from edgedl.train.fit import Batch, History, Progress, fit
from edgedl.train.report import Captioned
from edgedl.train.run_folder import Run, model_table, to_toml, write_json
from edgedl.vocab import BOS, EOS, PAD, UNK, Vocab

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.spec import ImageSpec
    from edgedl.train.recipe import Recipe

NOWHERE = -100  # in place of a cell: any
MAX_TOKENS = 18  # the longest sentence has 14 words
OTHER_SIDES_PX = (64, 384)  # besides the camera's, what the result is measured at

_PARTS = (1, len(COLORS), len(SHAPES), len(SIZES), len(ROLES))  # what the lesson asks of a cell


class Lesson(nn.Module):
    """A captioner and the layer that says what lies in each cell; only the first is kept."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__()
        self.captioner = captioner
        self.cells = nn.Linear(captioner.options.channels[-1], sum(_PARTS))


def train_captioner(
    recipe: Recipe, folder: Path, report: Callable[[Progress], None] | None = None
) -> History:
    """Train by ``recipe`` and write all files of a run but ``curves.png`` into ``folder``."""
    vocab = Vocab.build(words())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = Captioner(recipe.model, len(vocab))
        history = _fit(recipe, network, vocab, report)
    measured = {
        split: measure(network, recipe.image, vocab, _held(recipe, split))
        for split in ("val", "test")
    }
    at_px = {}
    for side in OTHER_SIDES_PX:
        few = _held(recipe, "test", side, recipe.scenes.test // 4 + 1)
        at_px[str(side)] = measure(network, recipe.image, vocab, few)["exact"]
    save_weights(network, folder / "weights.safetensors")
    (folder / "recipe.toml").write_text(to_toml(recipe.to_dict()), encoding="utf-8")
    (folder / "vocab.json").write_text(vocab.to_json(), encoding="utf-8")
    write_json(folder / "model.json", model_table(recipe.model, len(vocab)))
    write_json(folder / "spec.json", recipe.image.to_dict())
    write_json(folder / "data.json", _describe_data(recipe, history))
    write_json(
        folder / "metrics.json",
        {
            "task": "captioning",
            **measured,
            "test_exact_at_px": at_px,
            "seconds": round(history.seconds, 1),
            "steps": history.steps,
            "pictures_per_s": round(history.steps * recipe.train.batch / history.seconds),
            "precision": history.precision,
            "step_ms": {name: round(ms, 1) for name, ms in history.step_ms.items()},
            "scores": history.scores,
            "machine": machine_facts(),
        },
    )
    return history


def calibration_frames(run: Run, n: int) -> list[U8Image]:
    """Return ``n`` pictures of the split ``train`` as the camera sees them, bgr8 (H, W, 3)."""
    scenes = _scenes(run, "train")
    return [scenes.picture(i) for i in range(n)]


def held_out(run: Run, n: int) -> list[tuple[U8Image, Scene]]:
    """Return ``n`` pictures of the split ``test`` as the camera sees them, with their scenes."""
    scenes = _scenes(run, "test")
    return [(scenes.picture(i), scenes.scene(i)) for i in range(n)]


def look(run: Run, n: int) -> list[Captioned]:
    """Return ``n`` held-out pictures with what the trained network says about them."""
    data = held_out(run, n)
    tensor = to_tensor(Preprocessor(run.spec), [frame for frame, _ in data])
    said = caption_all(cast("Captioner", run.network()), tensor, run.vocab)
    return [
        Captioned(frame, text, is_exact(text, scene), captions(scene)[0])
        for (frame, scene), text in zip(data, said, strict=True)
    ]


def measure(
    network: Captioner, spec: ImageSpec, vocab: Vocab, data: Sequence[tuple[U8Image, Scene]]
) -> dict[str, Any]:
    """Caption pictures greedily and compare with what their scenes license.

    Args:
        network: In evaluation mode.
        spec: How a picture becomes its input.
        vocab: Its words.
        data: Pictures and scenes, at least one.

    Returns:
        ``exact`` 0..1 with its Wilson interval, ``bleu4`` 0..1, ``cider_d`` 0..10, and ``n``.
    """
    hyps = caption_all(network, to_tensor(Preprocessor(spec), [frame for frame, _ in data]), vocab)
    scenes = [scene for _, scene in data]
    refs = [references(scene, random.Random(i)) for i, scene in enumerate(scenes)]
    right = sum(is_exact(hyp, scene) for hyp, scene in zip(hyps, scenes, strict=True))
    low, high = wilson(right, len(data))
    return {
        "n": len(data),
        "exact": right / len(data),
        "exact_interval": [round(low, 4), round(high, 4)],
        "bleu4": round(bleu(hyps, refs)[3], 4),
        "cider_d": round(cider_d(hyps, refs), 4),
    }


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
    recipe: Recipe, preprocessor: Preprocessor, vocab: Vocab, first: int, frames: list[U8Image]
) -> Batch:
    """Return what one step learns from.

    Returns:
        images (N, 3, height, width); tokens (N, T), ``<bos>`` to ``<eos>`` and padding; looks
        (N, T - 1), the cell of the thing whose size, colour or shape comes next, else ``NOWHERE``;
        and for each thing in the pictures a row (picture, cell, colour, shape, size, role).
    """
    split = Scenes(recipe.seed, "train")
    scenes = [split.scene(first + i) for i in range(len(frames))]
    told = [wording_in_order(s, random.Random(first + i)) for i, s in enumerate(scenes)]
    ids = [[BOS, *vocab.encode(sentence), EOS] for sentence, _ in told]
    tokens = np.full((len(ids), max(map(len, ids))), PAD, np.int64)
    looks = np.full((len(ids), tokens.shape[1] - 1), NOWHERE, np.int64)
    grid = tuple(side // recipe.model.stride for side in recipe.image.size_hw)
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


def lesson_loss(recipe: Recipe, lesson: nn.Module, batch: Batch) -> Tensor:
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
            label_smoothing=options.label_smoothing,
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


def _fit(
    recipe: Recipe,
    network: Captioner,
    vocab: Vocab,
    report: Callable[[Progress], None] | None,
) -> History:
    preprocessor, scenes = Preprocessor(recipe.image), recipe.scenes
    val = _held(recipe, "val")
    images, truths = to_tensor(preprocessor, [f for f, _ in val]), [scene for _, scene in val]

    def score(lesson: nn.Module) -> float:
        assert isinstance(lesson, Lesson)
        said = caption_all(lesson.captioner, images, vocab)
        return sum(map(is_exact, said, truths)) / len(truths)

    def loss(lesson: nn.Module, batch: Batch) -> Tensor:
        return lesson_loss(recipe, lesson, batch)

    def batches(feed: Iterator[list[U8Image]]) -> Iterator[Batch]:
        for index, frames in enumerate(feed):
            yield make_batch(recipe, preprocessor, vocab, index * recipe.train.batch, frames)

    with open_feed(recipe.seed, recipe.train.batch, scenes.train_px) as feed:
        return fit(Lesson(network), batches(feed), loss, score, recipe.train, report)


def _held(
    recipe: Recipe, split: Split, side_px: int = 0, count: int = 0
) -> list[tuple[U8Image, Scene]]:
    """Return the pictures a split is measured on, or some of them at another size."""
    side = side_px or recipe.scenes.camera_px
    scenes = Scenes(recipe.seed, split, (side, side))
    numbers = range(count or getattr(recipe.scenes, split))
    return [(scenes.picture(i), scenes.scene(i)) for i in numbers]


def _scenes(run: Run, split: Split) -> Scenes:
    side = run.recipe["scenes"]["camera_px"]
    return Scenes(run.recipe["seed"], split, (side, side))


def _describe_data(recipe: Recipe, history: History) -> dict[str, Any]:
    """Return what the run was trained on: enough to see whether two runs had the same data."""
    splits = {}
    for split in ("train", "val", "test"):
        scenes = Scenes(recipe.seed, split)
        digest = hashlib.sha256()
        for i in range(256):
            digest.update(repr(scenes.scene(i)).encode())
        splits[split] = {"sha256_of_256_scenes": digest.hexdigest()}
    return {
        "name": "scenes",
        "seed": recipe.seed,
        "pictures_trained_on": history.steps * recipe.train.batch,
        "camera_px": recipe.scenes.camera_px,
        "splits": splits,
        "held_out": "colour, shape and role together: see edgedl.data.scenes.HELD_OUT_ROLE",
    }
