"""Generated clips: the class is the motion, found here by other means, and a frame hides it."""

import numpy as np
import pytest

from edgedl.data.moving import MOTIONS, MovingDigits, MovingThings, course

SIDE, FRAMES = 32, 10
STEPS = {"left": (0, -1), "right": (0, 1), "up": (-1, 0), "down": (1, 0)}
GROWTH = {"approaching": 1, "receding": -1}
KINDS = {"digits": MovingDigits, "scenes": MovingThings}


@pytest.fixture(scope="module", params=sorted(KINDS))
def clips(request):
    """Clips of all classes in turn, gray (n, T, H, W)."""
    source = KINDS[request.param](7, FRAMES, SIDE)
    some = [source.clip(i).astype(np.float64) for i in range(120)]
    return np.stack([clip if clip.ndim == 3 else clip.mean(3) for clip in some])


def motion_of(index):
    return MOTIONS[index % len(MOTIONS)]


def correlation(first, second):
    """The circular cross-correlation of two frames, by Fourier transform; its place is the shift.

    What leaves at one side comes in at the other, so the shift is exact.
    """
    one, other = (np.fft.fft2(frame - frame.mean()) for frame in (first, second))
    return np.fft.ifft2(other * one.conj()).real


def shift_between(first, second):
    """Return by how much ``second`` is ``first`` moved, (down, right) in pixels."""
    product = correlation(first, second)
    place = np.unravel_index(product.argmax(), product.shape)
    return np.array([(at + SIDE // 2) % SIDE - SIDE // 2 for at in place])


def shifts(clip):
    return np.array([shift_between(clip[t], clip[t + 1]) for t in range(FRAMES - 1)])


def test_the_six_classes():
    assert MOTIONS == ("left", "right", "up", "down", "approaching", "receding")


def test_things_move_as_their_class_says(clips):
    for i, clip in enumerate(clips):
        down, right = shifts(clip).mean(0) / SIDE
        step = STEPS.get(motion_of(i), (0, 0))
        for found, wanted in zip((down, right), step, strict=True):
            if wanted:
                assert 0.03 < found * wanted < 0.10, (i, motion_of(i))
            else:
                assert abs(found) < 0.025, (i, motion_of(i))


def test_digits_grow_and_shrink_as_their_class_says():
    """What is bright covers more and more of the picture, or less and less, or as much as before.

    What lies on the edge wraps around it, so its area is whole.
    """
    source, change = MovingDigits(3, FRAMES, SIDE), {motion: [] for motion in MOTIONS}
    for i in range(180):
        clip = source.clip(i).astype(np.float64)
        light = (clip - np.median(clip, axis=(1, 2), keepdims=True)).sum((1, 2))
        change[motion_of(i)].append(np.log(light[-3:].mean() / light[:3].mean()))
    for motion, found in change.items():
        wanted = GROWTH.get(motion, 0)
        if wanted:
            assert (np.array(found) * wanted > 0.3).all()
        else:
            assert np.abs(found).max() < 0.3


def circular_mean(frame):
    """Return where in the picture the light is, as an angle of each axis."""
    light = np.abs(frame - np.median(frame))
    turn = np.exp(2j * np.pi * np.arange(SIDE) / SIDE)
    return np.angle((light.sum(1) * turn).sum()), np.angle((light.sum(0) * turn).sum())


def courses(motion, n=600, frames=12, seed=0):
    rng = np.random.default_rng((seed, MOTIONS.index(motion)))
    some = [course(rng, motion, frames) for _ in range(n)]
    return {name: np.array([getattr(c, name) for c in some]) for name in ("y", "x", "size")}


CHANCE = 2.5  # times sqrt(1/n + 1/m): a distance that chance reaches once in 10^5 times


def distance(one, other):
    """The largest distance between two distribution functions (Kolmogorov and Smirnov)."""
    at = np.sort(np.concatenate([one, other]))
    parts = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, other)]
    return np.abs(parts[0] - parts[1]).max()


def test_a_course_is_a_straight_way_at_one_pace():
    for motion in MOTIONS:
        made, step = courses(motion, 50), STEPS.get(motion, (0, 0))
        for name, sign in zip(("y", "x"), step, strict=True):
            paces = np.diff(made[name], axis=1)
            np.testing.assert_allclose(paces, paces[:, :1] * np.ones_like(paces), atol=1e-12)
            assert (paces * sign >= 0.04 - 1e-12).all() if sign else (paces == 0).all()
            assert np.abs(paces).max() <= 0.09
        ratios = made["size"][:, 1:] / made["size"][:, :-1]
        np.testing.assert_allclose(ratios, ratios[:, :1] * np.ones_like(ratios), atol=1e-12)
        growth = GROWTH.get(motion, 0)
        assert ((ratios - 1) * growth > 0.03).all() if growth else (ratios == 1).all()
        assert made["size"].min() >= 0.6 - 1e-9
        assert made["size"].max() <= 1.5 + 1e-9


def test_where_a_thing_lies_is_alike_in_every_class():
    """In the first frame and in any other: uniform, whatever the motion."""
    uniform = np.linspace(0, 1, 10_000)
    for motion in MOTIONS:
        made = courses(motion)
        for name in ("y", "x"):
            for t in (0, 5, 11):
                assert distance(made[name][:, t] % 1, uniform) < CHANCE / 600**0.5


def test_how_large_a_thing_is_is_alike_in_every_class():
    """Over all frames: the time of a frame, which a frame does not show, is not given."""
    rng, sizes = np.random.default_rng(1), {}
    for motion in MOTIONS:
        size = courses(motion, 1200)["size"]
        sizes[motion] = size[np.arange(1200), rng.integers(0, 12, 1200)]
    for motion in MOTIONS[1:]:
        assert distance(sizes["left"], sizes[motion]) < CHANCE * (2 / 1200) ** 0.5


def test_first_frames_hide_the_class():
    """Where the light of a clip's first frame lies: no class differs from the rest."""
    source = MovingDigits(11, 2, SIDE)
    places = np.array([circular_mean(source.clip(i)[0].astype(np.float64)) for i in range(900)])
    for number in range(len(MOTIONS)):
        of_class = places[number :: len(MOTIONS)]
        rest = np.delete(places, np.s_[number :: len(MOTIONS)], axis=0)
        for axis in (0, 1):
            assert distance(of_class[:, axis], rest[:, axis]) < CHANCE * (1 / 150 + 1 / 750) ** 0.5


def test_reversed_in_time_is_the_opposite_class(clips):
    opposite = {"left": "right", "right": "left", "up": "down", "down": "up"}
    for i, clip in enumerate(clips):
        if motion_of(i) in opposite:
            moved = shifts(clip[::-1]).mean(0)
            assert (np.sign(moved.round()) == STEPS[opposite[motion_of(i)]]).all()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_clip_depends_on_seed_and_index_alone(kind):
    one, same, other = (KINDS[kind](seed, 4, 24) for seed in (5, 5, 6))
    wanted = [one.clip(i) for i in (3, 0, 9)]
    for i, clip in zip((9, 0, 3), wanted[::-1], strict=True):
        np.testing.assert_array_equal(same.clip(i), clip)
    assert not np.array_equal(other.clip(3), wanted[0])
    assert not np.array_equal(one.clip(9), wanted[0])  # of the same class


@pytest.mark.parametrize(("kind", "channels"), [("digits", ()), ("scenes", (3,))])
@pytest.mark.parametrize(("frames", "side"), [(2, 24), (7, 33)])
def test_shape_and_range(kind, channels, frames, side):
    clip = KINDS[kind](1, frames, side).clip(4)
    assert clip.shape == (frames, side, side, *channels)
    assert clip.dtype == np.uint8
    assert clip.max() > clip.min() + 50
