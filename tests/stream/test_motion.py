"""The motion gate: what passes, what is held back, and where it moved."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgedl.errors import ConfigError, UsageError
from edgedl.frame import Frame
from edgedl.spec import ClipSpec, ImageSpec, ModelSpec
from edgedl.stream.captions import caption_source
from edgedl.stream.motion import MotionGate, MotionOptions, motion_gate

RNG = np.random.default_rng(2)
GROUND = cv2.resize(RNG.integers(0, 256, (9, 16, 3), np.uint8), (640, 360))


def with_thing(x: int, y: int, size: int = 60) -> np.ndarray:
    picture = GROUND.copy()
    picture[y : y + size, x : x + size] = 255 - picture[y : y + size, x : x + size] // 2
    return picture


def noisy(picture: np.ndarray) -> np.ndarray:
    return (picture + RNG.normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8)


def test_noise_is_held_back_and_a_thing_passes() -> None:
    gate = MotionGate()
    first = gate(Frame(GROUND))
    assert (first.fraction, first.passes) == (1.0, True)
    assert first.boxes_xyxy.tolist() == [[0, 0, 640, 360]]
    for _ in range(5):
        still = gate(Frame(noisy(GROUND)))
        assert (still.fraction, still.passes, len(still.boxes_xyxy)) == (0.0, False, 0)
    moved = gate(Frame(noisy(with_thing(200, 100))))
    assert moved.passes
    assert gate.held_back == 5
    (box,) = moved.boxes_xyxy
    assert np.abs(box - [200, 100, 260, 160]).max() <= 12  # 4 of a reduced pixel, blur and spread
    assert 60 * 60 <= moved.fraction * GROUND.shape[0] * GROUND.shape[1] <= 84 * 84


def test_slow_changes_add_up() -> None:
    gate = MotionGate(MotionOptions(threshold=10))
    passed = [gate(Frame(np.full((90, 160), level, np.uint8), pixel_format="gray8")).passes
              for level in range(100, 124)]  # fmt: skip
    assert [i for i, p in enumerate(passed) if p] == [0, 11, 22]


def test_small_regions_and_small_fractions_are_held_back() -> None:
    frames = [Frame(GROUND), Frame(with_thing(200, 100))]
    for options in (MotionOptions(min_area_px=600), MotionOptions(min_fraction=0.05)):
        gate = MotionGate(options)
        assert [gate(frame).passes for frame in frames] == [True, False]


@pytest.mark.parametrize("pixel_format", ["rgb8", "gray8", "yuyv", "nv12", "i420", "planes"])
def test_every_pixel_format_sees_the_same_motion(pixel_format: str) -> None:
    def frame(bgr: np.ndarray) -> Frame:
        y, u, v = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV))
        half = cv2.resize(u, (320, 180))
        pixels = {
            "rgb8": lambda: bgr[:, :, ::-1].copy(),
            "gray8": lambda: y,
            "yuyv": lambda: np.stack([y, u], axis=2),
            "nv12": lambda: np.concatenate([y, v[:180]]),
            "i420": lambda: cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420),
            "planes": lambda: (y, half, half),
        }[pixel_format]()
        return Frame(pixels, pixel_format="i420" if pixel_format == "planes" else pixel_format)

    gate = MotionGate()
    assert [gate(frame(p)).passes for p in (GROUND, GROUND, with_thing(300, 200))] == [
        True,
        False,
        True,
    ]
    (box,) = gate(frame(GROUND)).boxes_xyxy
    assert np.abs(box - [300, 200, 360, 260]).max() <= 12


def test_another_size_or_connection_passes() -> None:
    gate = MotionGate()
    frames = [Frame(GROUND), Frame(GROUND[:180]), Frame(GROUND[:180], connection=1)]
    assert all(gate(frame).passes for frame in frames)
    tiny = MotionGate(MotionOptions(min_area_px=1))
    assert [tiny(Frame(np.full((1, 1, 3), v, np.uint8))).passes for v in (0, 5, 99)] == [
        True,
        False,
        True,
    ]


class Frames:
    """A source of three pictures: the second one shows nothing new."""

    def __init__(self) -> None:
        self.left = [Frame(p) for p in (GROUND, GROUND, with_thing(9, 9))]

    @property
    def ended(self) -> bool:
        return not self.left

    def read(self, _timeout_s: float) -> Frame:
        return self.left.pop(0)


def test_only_what_passes_is_answered() -> None:
    gate = motion_gate(0.0, ModelSpec(task="tensor"))
    seen = []
    assert caption_source(lambda f: seen.append(f), Frames(), [], None, None, gate) == 0
    assert len(seen) == 2
    assert gate is not None
    assert gate.held_back == 1


def test_wrong_options_are_named() -> None:
    assert motion_gate(None, ModelSpec(task="tensor")) is None
    with pytest.raises(ConfigError, match=r"motion must be a fraction in \[0, 1\); got 1.5"):
        motion_gate(1.5, ModelSpec(task="tensor"))
    with pytest.raises(ConfigError, match=r"motion threshold must be in 0..255; got 256"):
        MotionOptions(threshold=256)
    clips = ModelSpec(
        task="clip-classification",
        image=ImageSpec(size_hw=(8, 8)),
        clip=ClipSpec(frames=4),
        labels=("a", "b"),
    )
    with pytest.raises(UsageError, match=r"needs every"):
        motion_gate(0.1, clips)
    with pytest.raises(UsageError, match=r"\[frame_difference\] pixels must be uint8"):
        MotionGate()(Frame(np.zeros((4, 4), np.float32), pixel_format="gray8"))
