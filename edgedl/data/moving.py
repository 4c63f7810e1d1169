"""Generated clips whose class is a motion; a frame from anywhere in a clip tells nothing about it.

Everything that such a frame shows is drawn from the same distribution for every class: what it is,
where it lies (uniform; what leaves at one side comes in at the other), how large it is. Only the
order of the frames differs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.data.scenes import Scene, Scenes, render

Motion = Literal["left", "right", "up", "down", "approaching", "receding"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)

_STEP = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_GROWTH = {"approaching": 1, "receding": -1}
_SMALLEST, _LARGEST = 0.6, 1.5


@dataclass(frozen=True, slots=True)
class Course:
    """Where a thing is and how large, frame by frame.

    Attributes:
        y: (T,) from the upper border, in sides of the picture; 1.25 lies where 0.25 does.
        x: (T,) from the left border.
        size: (T,) factor on the thing's own size.
    """

    y: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    size: npt.NDArray[np.float64]


def course(rng: np.random.Generator, motion: Motion, frames: int) -> Course:
    """Draw a course of ``frames`` frames."""
    t = np.arange(frames)
    down, right = _STEP.get(motion, (0, 0))
    pace = rng.uniform(0.04, 0.09)
    (y, x), size = rng.uniform(0, 1, 2), _growing(rng, frames)
    if motion not in _GROWTH:  # keeps the size that it would have at some time if it grew
        size = np.full(frames, rng.choice(size))
    return Course(y + down * pace * t, x + right * pace * t, size[:: _GROWTH.get(motion, 1)])


def _growing(rng: np.random.Generator, frames: int) -> npt.NDArray[np.float64]:
    """Draw sizes that grow by the same factor from frame to frame."""
    smallest, largest = np.log(_SMALLEST), np.log(_LARGEST)
    reach = rng.uniform(0.5, 1.0) * (largest - smallest)
    first = rng.uniform(smallest, largest - reach)
    return np.asarray(np.exp(np.linspace(first, first + reach, frames)))


class MovingDigits:
    """Clips of a drawn digit, a pure function of (seed, index).

    Args:
        seed: Of everything.
        frames: T.
        side: Of the pictures in pixels.
    """

    def __init__(self, seed: int, frames: int, side: int) -> None:
        self._seed, self._frames, self._side = seed, frames, side

    def clip(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the frames of clip ``index``, (T, H, W) gray8; its class is index % 6."""
        rng = np.random.default_rng((self._seed, index))
        side = self._side
        way = course(rng, MOTIONS[index % len(MOTIONS)], self._frames)
        digit, noise, light = _digit(rng, side), rng.uniform(2, 12), rng.uniform(0, 40)
        shown = np.empty((self._frames, side, side), np.float32)
        for t, size in enumerate(way.size):
            shown[t] = _placed(_resized(digit, float(size)), way, t)
        shown += light + rng.normal(0, noise, shown.shape).astype(np.float32)
        return np.clip(shown, 0, 255).astype(np.uint8)


class MovingThings:
    """Clips of one of the rendered scenes' things, a pure function of (seed, index)."""

    def __init__(self, seed: int, frames: int, side: int) -> None:
        self._seed, self._frames, self._side = seed, frames, side
        self._scenes = Scenes(seed, "train", (side, side))

    def clip(self, index: int) -> npt.NDArray[np.uint8]:
        """Return the frames of clip ``index``, (T, H, W, 3) bgr8; its class is index % 6."""
        rng = np.random.default_rng((self._seed, index))
        way = course(rng, MOTIONS[index % len(MOTIONS)], self._frames)
        scene = self._scenes.scene(index)
        thing = replace(scene.things[0], x=0.5, y=0.5)
        pictures = []
        for t, size in enumerate(way.size):
            sized = replace(thing, radius=thing.radius * float(size))
            picture = render(Scene((sized,), look=scene.look), (self._side, self._side), rng)
            pictures.append(_placed(picture, way, t))
        return np.stack(pictures)


def _digit(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """Return a digit in the middle of a black picture."""
    picture = np.zeros((side, side), np.uint8)
    font = cv2.FONT_HERSHEY_SIMPLEX if rng.random() < 0.5 else cv2.FONT_HERSHEY_DUPLEX
    scale, thick = side / 32 * rng.uniform(0.55, 0.75), max(1, round(side / 20))
    text = str(rng.integers(0, 10))
    (width, height), _ = cv2.getTextSize(text, font, scale, thick)
    place = ((side - width) // 2, (side + height) // 2)
    cv2.putText(picture, text, place, font, scale, int(rng.integers(150, 216)), thick, cv2.LINE_AA)
    return picture.astype(np.float32)


def _resized(picture: npt.NDArray[np.float32], factor: float) -> npt.NDArray[np.float32]:
    """Scale what is shown around the middle; the picture keeps its size."""
    middle = (picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D(middle, 0.0, factor)
    resized = cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _placed(picture: npt.NDArray[np.generic], way: Course, t: int) -> npt.NDArray[np.generic]:
    """Move what is in the middle to where it is at time ``t``."""
    height, width = picture.shape[:2]
    shift = round((way.y[t] - 0.5) * height), round((way.x[t] - 0.5) * width)
    return np.roll(picture, shift, axis=(0, 1))
