"""Rendered scenes: a captioning data set that needs no download.

A scene is one or two coloured shapes on a varied background, seen by a noisy camera. A small
grammar says in several wordings what is there: ``a small red ring to the left of a big blue
square``. Everything follows from a seed.

The split ``test`` holds combinations that training never shows. Each (colour, shape) pair plays
five roles: alone, left, right, above, below. In exactly one of them, ``HELD_OUT_ROLE``, it is
held out: scenes of ``train`` and ``val`` have no such thing, every scene of ``test`` has one.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.errors import ConfigError
from edgedl.options import suggest

if TYPE_CHECKING:
    from edgedl.frame import U8Image

Split = Literal["train", "val", "test"]
Size = Literal["small", "large"]
Relation = Literal["left of", "right of", "above", "below"]

MAX_TOKENS = 18
"""A caption is cut after so many; the longest sentence has 14 words."""

COLORS_BGR: dict[str, tuple[int, int, int]] = {
    "red": (38, 34, 214),
    "orange": (18, 138, 246),
    "yellow": (36, 228, 248),
    "green": (62, 160, 34),
    "blue": (222, 92, 30),
    "purple": (176, 42, 132),
    "white": (248, 248, 248),
    "black": (20, 18, 18),
}
COLORS = tuple(COLORS_BGR)
SHAPES = ("circle", "square", "triangle", "diamond", "ring", "star", "cross")
SIZES: tuple[Size, ...] = get_args(Size)
RADIUS: dict[Size, tuple[float, float]] = {"small": (0.088, 0.108), "large": (0.160, 0.185)}
ROLES = ("alone", "left", "right", "above", "below")

SIZE_WORDS: dict[Size, tuple[str, str]] = {"small": ("small", "little"), "large": ("large", "big")}
RELATION_WORDS: dict[Relation, tuple[str, str]] = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above", "over"),
    "below": ("below", "under"),
}
INVERSE: dict[Relation, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
_RELATIONS: tuple[Relation, ...] = get_args(Relation)
_ROLE = {relation: relation.split()[0] for relation in _RELATIONS}
FRAMES_ONE = ("{a}", "there is {a}", "only {a}", "{a} alone")
FRAMES_TWO = ("{a} {rel} {b}", "there is {a} {rel} {b}", "{a} is {rel} {b}", "{rel} {b} is {a}")

_MARGIN = 0.03  # smallest gap between two things and to the border, of the picture's side
_SLOPE = 0.45  # a relation's other axis differs by at most this part of the main axis

HELD_OUT_ROLE = {
    (color, shape): ROLES[(2 * i + j) % len(ROLES)]
    for i, color in enumerate(COLORS)
    for j, shape in enumerate(SHAPES)
}


class Random(Protocol):
    """What is asked of a random generator; ``random.Random`` and NumPy's both have it."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True)
class Thing:
    """One coloured shape.

    Attributes:
        shape: One of ``SHAPES``.
        color: One of ``COLORS``.
        size: ``small`` or ``large``.
        x: Centre, 0 at the left border, 1 at the right.
        y: Centre, 0 at the upper border, 1 at the lower.
        radius: Half the extent, as a part of the picture's side.
        angle: Rotation in degrees, a few only: a diamond stays a diamond.
    """

    shape: str
    color: str
    size: Size
    x: float
    y: float
    radius: float
    angle: float = 0.0


@dataclass(frozen=True, slots=True)
class Scene:
    """One or two things and the seed of everything else that is seen.

    Attributes:
        things: One or two; where there are two, exactly one of the four relations holds.
        look: Seed of background, light, blur and noise level.
    """

    things: tuple[Thing, ...]
    look: int = 0

    @property
    def relation(self) -> Relation | None:
        """How the first thing lies to the second; None for a single thing."""
        if len(self.things) < 2:
            return None
        first, second = self.things
        dx, dy = second.x - first.x, second.y - first.y
        if abs(dx) > abs(dy):
            return "left of" if dx > 0 else "right of"
        return "above" if dy > 0 else "below"

    @property
    def combinations(self) -> tuple[tuple[str, str, str], ...]:
        """(Colour, shape, role) of each thing: what the held-out split is defined by."""
        relation = self.relation
        if relation is None:
            return ((self.things[0].color, self.things[0].shape, "alone"),)
        roles = (_ROLE[relation], _ROLE[INVERSE[relation]])
        return tuple((t.color, t.shape, role) for t, role in zip(self.things, roles, strict=True))


def is_held_out(color: str, shape: str, role: str) -> bool:
    """Return whether a colour and shape in a role belong to ``test`` only."""
    return HELD_OUT_ROLE[color, shape] == role


class Scenes:
    """An endless, indexable set of scenes, a pure function of (seed, split, index).

    Attributes:
        size_hw: Size of its pictures; the default is what the live test camera shows.
    """

    def __init__(self, seed: int, split: Split, size_hw: tuple[int, int] = (256, 256)) -> None:
        splits = get_args(Split)
        if split not in splits:
            msg = f"split must be one of {', '.join(splits)}; got {split!r}{suggest(split, splits)}"
            raise ConfigError("E204", msg)
        self.size_hw = size_hw
        self._key = (seed * len(splits) + splits.index(split)) << 40
        self._split: Split = split

    def scene(self, index: int) -> Scene:
        """Return one scene."""
        rng = random.Random(self._key + 2 * index)
        two = rng.random() < 0.8
        return _two_things(rng, self._split) if two else _one_thing(rng, self._split)

    def picture(self, index: int, size_hw: tuple[int, int] | None = None) -> U8Image:
        """Return the picture of scene ``index``, bgr8, shape (H, W, 3)."""
        rng = random.Random(self._key + 2 * index + 1)
        return render(self.scene(index), size_hw or self.size_hw, rng)


class MovingScene:
    """Things that drift, and every few seconds are others; for a live test camera.

    The background stays. Every ``EPISODE_S`` seconds other things appear, of the split ``test``;
    within an episode they glide from one valid placement to another of the same relation.
    """

    EPISODE_S = 4.0

    def __init__(self, seed: int) -> None:
        self._scenes = Scenes(seed, "test")
        self._seed = seed

    def at(self, time_s: float) -> Scene:
        """Return the scene at ``time_s`` >= 0."""
        index, part = divmod(max(time_s, 0.0), self.EPISODE_S)
        start = replace(self._scenes.scene(int(index)), look=self._seed)
        end = self._end(start, int(index))
        t = 0.5 - 0.5 * math.cos(math.pi * part / self.EPISODE_S)
        things = tuple(
            replace(a, x=a.x + (b[0] - a.x) * t, y=a.y + (b[1] - a.y) * t)
            for a, b in zip(start.things, end, strict=True)
        )
        return replace(start, things=things)

    def _end(self, start: Scene, index: int) -> tuple[tuple[float, float], ...]:
        """Place the things of ``start`` anew; placements of one relation are a convex set."""
        rng = random.Random((self._seed << 32) + index)
        if start.relation is None:
            return (_place_one(rng, start.things[0].radius),)
        radii = (start.things[0].radius, start.things[1].radius)
        return _place_two(rng, start.relation, radii)


def captions(scene: Scene) -> tuple[str, ...]:
    """Return every sentence the grammar licenses for ``scene``."""
    relation = scene.relation
    if relation is None:
        return tuple(f.format(a=a) for f in FRAMES_ONE for a in _phrases(scene.things[0]))
    first, second = (_phrases(thing) for thing in scene.things)
    return tuple(
        frame.format(a=a, b=b, rel=words)
        for one, other, rel in ((first, second, relation), (second, first, INVERSE[relation]))
        for frame in FRAMES_TWO
        for words in RELATION_WORDS[rel]
        for a in one
        for b in other
    )


def references(scene: Scene, rng: Random, count: int = 5) -> tuple[str, ...]:
    """Return ``count`` different sentences of ``captions(scene)``, at least 8 are there."""
    left = list(captions(scene))
    return tuple(left.pop(int(rng.random() * len(left))) for _ in range(count))


def wording(scene: Scene, rng: Random) -> str:
    """Return one sentence of ``captions(scene)``, all equally likely, without making the rest."""
    return wording_in_order(scene, rng)[0]


def wording_in_order(scene: Scene, rng: Random) -> tuple[str, tuple[int, ...]]:
    """Return one sentence of ``captions(scene)``, and the things in the order it names them."""
    phrases = [_phrases(thing)[rng.random() < 0.5] for thing in scene.things]
    relation = scene.relation
    if relation is None:
        return FRAMES_ONE[int(rng.random() * len(FRAMES_ONE))].format(a=phrases[0]), (0,)
    first, second = (0, 1) if rng.random() < 0.5 else (1, 0)
    if first:
        relation = INVERSE[relation]
    words = RELATION_WORDS[relation][rng.random() < 0.5]
    frame = FRAMES_TWO[int(rng.random() * len(FRAMES_TWO))]
    sentence = frame.format(a=phrases[first], b=phrases[second], rel=words)
    named = (first, second) if frame.index("{a}") < frame.index("{b}") else (second, first)
    return sentence, named


def is_exact(sentence: str, scene: Scene) -> bool:
    """Return whether the grammar licenses ``sentence`` for ``scene``."""
    return sentence in captions(scene)


def words() -> tuple[str, ...]:
    """Return all words of the grammar, sorted."""
    text = [*COLORS, *SHAPES, "a", *FRAMES_ONE, *FRAMES_TWO]
    text += [word for both in (*SIZE_WORDS.values(), *RELATION_WORDS.values()) for word in both]
    return tuple(sorted({w for line in text for w in line.split() if not w.startswith("{")}))


def render(scene: Scene, size_hw: tuple[int, int], rng: Random) -> U8Image:
    """Draw ``scene``. All lengths are parts of the sides, so stretching commutes with drawing.

    Args:
        scene: What to draw; its ``look`` seeds all but the sensor noise.
        size_hw: Height and width in pixels, 16 or more.
        rng: Sensor noise; two frames of one scene differ by it only.

    Returns:
        bgr8, shape (H, W, 3).
    """
    height, width = size_hw
    look = random.Random(scene.look)
    picture: cv2.typing.MatLike = _background(look, size_hw)
    for thing in scene.things:
        _draw(picture, thing, look)
    side = math.sqrt(height * width)
    sigma_px = look.random() * side * 0.010
    if sigma_px > 0.25:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
    gain, offset = 0.84 + 0.26 * look.random(), 12.0 * look.random() - 6.0
    level = 7.0 * look.random() / _BANK_STD
    noise = _noise(rng, (height, width * 3)).reshape(height, width, 3)
    return cv2.addWeighted(picture, gain, noise, level, offset, dtype=cv2.CV_8U)  # type: ignore[return-value]


def _phrases(thing: Thing) -> tuple[str, str]:
    one, other = SIZE_WORDS[thing.size]
    return f"a {one} {thing.color} {thing.shape}", f"a {other} {thing.color} {thing.shape}"


def _kind(rng: Random) -> tuple[str, str, Size, float, float]:
    """Return shape, colour, size, radius and angle of a thing."""
    size = SIZES[rng.random() < 0.5]
    low, high = RADIUS[size]
    return (
        SHAPES[int(rng.random() * len(SHAPES))],
        COLORS[int(rng.random() * len(COLORS))],
        size,
        low + (high - low) * rng.random(),
        20.0 * rng.random() - 10.0,
    )


def _thing(kind: tuple[str, str, Size, float, float], place: tuple[float, float]) -> Thing:
    shape, color, size, radius, angle = kind
    return Thing(shape, color, size, place[0], place[1], radius, angle)


def _one_thing(rng: random.Random, split: Split) -> Scene:
    while True:
        kind = _kind(rng)
        if is_held_out(kind[1], kind[0], "alone") == (split == "test"):
            break
    return Scene((_thing(kind, _place_one(rng, kind[3])),), rng.getrandbits(32))


def _two_things(rng: random.Random, split: Split) -> Scene:
    while True:
        first, second = _kind(rng), _kind(rng)
        relation = _RELATIONS[int(rng.random() * 4)]
        held_out = is_held_out(first[1], first[0], _ROLE[relation]) or is_held_out(
            second[1], second[0], _ROLE[INVERSE[relation]]
        )
        if held_out == (split == "test"):
            break
    one, other = _place_two(rng, relation, (first[3], second[3]))
    return Scene((_thing(first, one), _thing(second, other)), rng.getrandbits(32))


def _place_one(rng: Random, radius: float) -> tuple[float, float]:
    low = radius + _MARGIN
    return low + (1 - 2 * low) * rng.random(), low + (1 - 2 * low) * rng.random()


def _place_two(
    rng: Random, relation: Relation, radii: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return centres where ``relation`` holds clearly, nothing touches and nothing is cut."""
    before = relation in ("left of", "above")
    near, far = radii if before else radii[::-1]
    low_near, low_far = near + _MARGIN, far + _MARGIN
    gap_least = near + far + _MARGIN
    gap = gap_least + (1 - low_near - low_far - gap_least) * rng.random()
    start = low_near + (1 - low_near - low_far - gap) * rng.random()
    across_near = low_near + (1 - 2 * low_near) * rng.random()
    slack = _SLOPE * gap
    low = max(low_far, across_near - slack)
    high = min(1 - low_far, across_near + slack)
    across_far = low + (high - low) * rng.random()
    a, b = (start, across_near), (start + gap, across_far)
    if not before:
        a, b = b, a
    if relation in ("above", "below"):
        return a[::-1], b[::-1]
    return a, b


_Points: TypeAlias = npt.NDArray[np.float32]
_AA_GROWTH_PX = 0.65  # OpenCV's antialiased polygons are larger by this, on every side
_BANK_STD = 16.0


@lru_cache(maxsize=1)
def _bank() -> npt.NDArray[np.int8]:
    """Return normal noise of standard deviation 16, cut anywhere and reused: cheap and fixed."""
    noise = np.random.default_rng(20240229).normal(0, _BANK_STD, 1 << 21)
    return np.clip(noise, -128, 127).astype(np.int8)


def _noise(rng: Random, size_hw: tuple[int, int]) -> npt.NDArray[np.int8]:
    bank, count = _bank(), size_hw[0] * size_hw[1]
    if count > bank.size // 2:
        bank = np.tile(bank, 1 + 2 * count // bank.size)
    start = int(rng.random() * (bank.size - count))
    return bank[start : start + count].reshape(size_hw)


def _background(look: random.Random, size_hw: tuple[int, int]) -> U8Image:
    """Return a muted gradient or cloud of mid greys, so that every colour stands out."""
    height, width = size_hw
    cells = (2, 2, 3, 5)[int(look.random() * 4)]
    light, swing = 98 + 66 * look.random(), 14 + 34 * look.random()
    tint = [light + 24 * look.random() - 12 for _ in range(3)]
    values = []
    for _ in range(cells * cells):
        shift = swing * (2 * look.random() - 1)
        values += [level + shift + 16 * look.random() - 8 for level in tint]
    grid = np.clip(np.array(values, np.float32), 82, 182).astype(np.uint8)
    picture = cv2.resize(
        grid.reshape(cells, cells, 3), (width, height), interpolation=cv2.INTER_CUBIC
    )
    if look.random() < 0.4:
        n = 6 + int(look.random() * 18)
        grain = cv2.resize(
            _noise(look, (n, n)).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        level = 0.9 * look.random()
        grain3 = cv2.merge((grain, grain, grain))
        return cv2.addWeighted(picture, 1.0, grain3, level, 0.0, dtype=cv2.CV_8U)  # type: ignore[return-value]
    return picture  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _outlines() -> dict[str, tuple[tuple[_Points, _Points], ...]]:
    """Return the outlines of each shape, radius about 1, y down, and how they grow outwards."""

    def on_circle(count: int, radius: float = 1.0, start: float = -90.0) -> list[list[float]]:
        turns = [math.radians(start + 360.0 * i / count) for i in range(count)]
        return [[radius * math.cos(a), radius * math.sin(a)] for a in turns]

    outer, inner = on_circle(5, 1.08), on_circle(5, 0.44, -54.0)
    star = [point for pair in zip(outer, inner, strict=True) for point in pair]
    k, c = 0.34, 1.0
    cross = [
        [-k, -c], [k, -c], [k, -k], [c, -k], [c, k], [k, k],
        [k, c], [-k, c], [-k, k], [-c, k], [-c, -k], [-k, -k],
    ]  # fmt: skip
    shapes = {
        "circle": [on_circle(48)],
        "square": [[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]],
        "triangle": [[[0.0, -1.0], [1.02, 0.85], [-1.02, 0.85]]],
        "diamond": [[[0.0, -1.12], [0.84, 0.0], [0.0, 1.12], [-0.84, 0.0]]],
        "ring": [on_circle(48), on_circle(48, 0.54)],
        "star": [star],
        "cross": [cross],
    }
    arrays = {name: [np.array(p, np.float32) for p in parts] for name, parts in shapes.items()}
    arrays["ring"][1] = arrays["ring"][1][::-1]  # the hole runs the other way
    return {name: tuple((p, _outward(p)) for p in parts) for name, parts in arrays.items()}


def _outward(outline: _Points) -> _Points:
    """Return how each vertex moves when all edges move outwards by 1."""
    edge = np.roll(outline, -1, axis=0) - outline
    normal = np.stack((edge[:, 1], -edge[:, 0]), axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    before = np.roll(normal, 1, axis=0)
    cos = (normal * before).sum(axis=1, keepdims=True)
    moved: _Points = ((normal + before) / (1 + cos)).astype(np.float32)
    return moved


def _draw(picture: cv2.typing.MatLike, thing: Thing, look: random.Random) -> None:
    height, width = picture.shape[:2]
    cos, sin = math.cos(math.radians(thing.angle)), math.sin(math.radians(thing.angle))
    turn = np.array([[cos, sin], [-sin, cos]], np.float32)
    # Fixed point with 4 fractional bits; a pixel's centre is at +0.5.
    scale = np.array([thing.radius * width, thing.radius * height], np.float32) * 16
    centre = np.array([thing.x * width - 0.5, thing.y * height - 0.5], np.float32) * 16
    points = [
        ((outline @ turn) * scale + centre - (outward @ turn) * (_AA_GROWTH_PX * 16))
        .round()
        .astype(np.int32)
        for outline, outward in _outlines()[thing.shape]
    ]
    color = [min(255.0, max(0.0, c + 24 * look.random() - 12)) for c in COLORS_BGR[thing.color]]
    cv2.fillPoly(picture, points, color, cv2.LINE_AA, 4)
