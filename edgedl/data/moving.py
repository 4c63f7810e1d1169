"""Generated clips whose class is a motion; a single frame tells nothing about it.

Everything that a frame shows is drawn from the same distribution for every class: which digit,
where it lies (uniform; what leaves at one side comes in at the other), how it is turned (uniform).
Only the change from frame to frame differs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edgedl.data.scenes import Scene, Scenes, render

Motion = Literal["left", "right", "up", "down", "clockwise", "counter-clockwise"]
MOTIONS: tuple[Motion, ...] = get_args(Motion)

_STEP = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
_TURN = {"clockwise": -1, "counter-clockwise": 1}


def _change(rng: np.random.Generator, motion: Motion, side: int) -> tuple[float, float, float]:
    """Return pixels down, pixels right and degrees per frame."""
    down, right = _STEP.get(motion, (0, 0))
    pace = side * rng.uniform(0.04, 0.09)
    return down * pace, right * pace, _TURN.get(motion, 0) * rng.uniform(9, 20)


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
        motion, side = MOTIONS[index % len(MOTIONS)], self._side
        digit = _digit(rng, side)
        down, right, turn = _change(rng, motion, side)
        y, x, angle = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, 360)
        noise, light = rng.uniform(2, 12), rng.uniform(0, 40)
        shown = np.empty((self._frames, side, side), np.float32)
        placed = _turned(digit, angle)
        for t in range(self._frames):
            placed = _turned(digit, angle + t * turn) if turn else placed
            shift = (round(y + t * down), round(x + t * right))
            shown[t] = np.roll(placed, shift, axis=(0, 1))
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
        motion, side = MOTIONS[index % len(MOTIONS)], self._side
        down, right, turn = (part / side for part in _change(rng, motion, side))
        scene = self._scenes.scene(index)
        shape = "triangle" if scene.things[0].shape == "circle" else scene.things[0].shape
        thing = replace(scene.things[0], shape=shape)
        y, x, angle = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0, 360)
        pictures = []
        for t in range(self._frames):
            moved = replace(thing, x=0.5, y=0.5, angle=angle + t * turn * side)
            picture = render(Scene((moved,), look=scene.look), (side, side), rng)
            shift = (round((y + t * down) * side), round((x + t * right) * side))
            pictures.append(np.roll(picture, shift, axis=(0, 1)))
        return np.stack(pictures)


def _digit(rng: np.random.Generator, side: int) -> npt.NDArray[np.float32]:
    """Return a digit in the middle of a black picture: 1 to 7 without 0, 6, 8, 9.

    A turned 6 is a 9, and 0 and 8 hardly show that they turn.
    """
    picture = np.zeros((side, side), np.uint8)
    text = str(rng.choice([1, 2, 3, 4, 5, 7]))
    font = cv2.FONT_HERSHEY_SIMPLEX if rng.random() < 0.5 else cv2.FONT_HERSHEY_DUPLEX
    scale, thick = side / 32 * rng.uniform(0.55, 0.75), max(1, round(side / 20))
    (width, height), _ = cv2.getTextSize(text, font, scale, thick)
    place = ((side - width) // 2, (side + height) // 2)
    cv2.putText(picture, text, place, font, scale, int(rng.integers(150, 216)), thick, cv2.LINE_AA)
    return picture.astype(np.float32)


def _turned(picture: npt.NDArray[np.float32], degrees: float) -> npt.NDArray[np.float32]:
    middle = ((picture.shape[1] - 1) / 2, (picture.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, math.fmod(degrees, 360), 1.0)
    turned = cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=cv2.INTER_LINEAR)
    return np.asarray(turned, np.float32)
