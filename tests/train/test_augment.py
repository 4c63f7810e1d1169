"""Augmentation against plain loops over pixels."""

import colorsys

import numpy as np
import pytest
import torch

from edgedl.errors import ConfigError
from edgedl.train.augment import (
    AugmentOptions,
    augment,
    erase,
    flip,
    jitter_time,
    mixup,
    move,
    recolour,
    warp,
)

DTYPES = [torch.uint8, torch.float32]


def pictures(n=6, channels=3, height=7, width=9, dtype=torch.uint8):
    torch.manual_seed(8)
    drawn = torch.randint(0, 256, (n, channels, height, width), dtype=torch.uint8)
    return drawn if dtype == torch.uint8 else drawn / 255


def came_from(index, length, padding):
    """Where a pixel of a moved row comes from; None: from nowhere."""
    if 0 <= index < length:
        return index
    if padding == "zero":
        return None
    if padding == "edge":
        return min(max(index, 0), length - 1)
    while not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding", ["reflect", "edge", "zero"])
def test_move(padding, dtype):
    x = pictures(dtype=dtype)
    down, right = torch.tensor([0, 1, -2, 3, -6, 4]), torch.tensor([0, -1, 4, -8, 0, 3])
    want = torch.zeros_like(x)
    for n in range(6):
        for i in range(7):
            for j in range(9):
                y = came_from(i - int(down[n]), 7, padding)
                z = came_from(j - int(right[n]), 9, padding)
                if y is not None and z is not None:
                    want[n, :, i, j] = x[n, :, y, z]
    assert torch.equal(move(x, down, right, padding), want)


def test_moves_are_drawn_from_all():
    x = torch.zeros(400, 1, 9, 9)
    x[:, :, 4, 4] = 1
    moved = augment(x, AugmentOptions(translate=2, padding="zero"))
    places = moved.sum(dim=0)[0]
    assert places[2:7, 2:7].min() > 0
    assert places[2:7, 2:7].sum() == 400


def test_flip():
    x = pictures(n=3)
    got = flip(x, torch.tensor([True, False, True]))
    assert np.array_equal(got[0], x[0].numpy()[:, :, ::-1])
    assert np.array_equal(got[2], x[2].numpy()[:, :, ::-1])
    assert torch.equal(got[1], x[1])


def is_mirrored(got, x):
    return (got != x).flatten(1).any(dim=1)


def test_random_flips_are_about_half():
    x = pictures(n=400, height=2)
    share = is_mirrored(augment(x, AugmentOptions(flip="random")), x).float().mean()
    assert 0.4 < share < 0.6


def test_alternating_flips():
    x, options = pictures(n=400, height=2), AugmentOptions(flip="alternate")
    indices = torch.arange(1000, 1400)
    first, second, third = (
        is_mirrored(augment(x, options, epoch=epoch, indices=indices), x) for epoch in range(3)
    )
    assert 0.4 < first.float().mean() < 0.6
    assert torch.equal(second, ~first)
    assert torch.equal(third, first)
    order = torch.randperm(400)
    again = augment(x[order], options, indices=indices[order])
    assert torch.equal(is_mirrored(again, x[order]), first[order])
    together = (first[1:] == first[:-1]).float().mean()
    assert 0.4 < together < 0.6  # no pattern from one sample to the next


def bilinear(picture, y, x):
    """The value between pixels, those at the border continuing outside."""
    _, height, width = picture.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    a, b = y - top, x - left
    return (
        (1 - a) * ((1 - b) * picture[:, top, left] + b * picture[:, top, right])
        + a * ((1 - b) * picture[:, down, left] + b * picture[:, down, right])
    )  # fmt: skip


def test_warp():
    x = pictures(n=2, dtype=torch.float32)
    matrices = torch.tensor([[[0.9, 0.3], [-0.2, 1.1]], [[0.0, -1.0], [1.0, 0.0]]])
    want = torch.zeros_like(x)
    for n in range(2):
        for i in range(7):
            for j in range(9):
                right, down = matrices[n] @ torch.tensor([j - 4.0, i - 3.0])
                want[n, :, i, j] = bilinear(x[n], 3 + float(down), 4 + float(right))
    torch.testing.assert_close(warp(x, matrices), want, atol=1e-5, rtol=0)
    eight_bit = warp((x * 255).to(torch.uint8), matrices)
    torch.testing.assert_close(eight_bit / 255, want, atol=0.01, rtol=0)


def turned_by(got):
    """Degrees between the long axis of a bright bar and the row."""
    weights = got[0, 0].double().numpy()
    y, x = np.mgrid[:41, :41] - 20.0
    moments = [(weights * a * b).sum() for a, b in ((x, x), (y, y), (x, y))]
    return np.degrees(0.5 * np.arctan2(2 * moments[2], moments[0] - moments[1]))


def test_turns_and_scales_stay_in_range():
    bar = torch.zeros(1, 1, 41, 41)
    bar[:, :, 19:22, 6:35] = 1
    angles = [turned_by(augment(bar, AugmentOptions(rotate=20))) for _ in range(40)]
    assert max(angles) < 21
    assert min(angles) > -21
    assert max(angles) > 8
    assert min(angles) < -8
    sizes = [float(augment(bar, AugmentOptions(scale=0.2)).sum() / bar.sum()) for _ in range(40)]
    assert 0.62 < min(sizes) < 0.85
    assert 1.15 < max(sizes) < 1.46
    sheared = augment(bar, AugmentOptions(shear=20))
    torch.testing.assert_close(sheared[:, :, 20], bar[:, :, 20])  # the row of the centre stays


@pytest.mark.parametrize("dtype", DTYPES)
def test_brightness_and_contrast(dtype):
    full = 255 if dtype == torch.uint8 else 1
    grey = torch.full((200, 3, 4, 4), 0.5 * full).to(dtype)
    shifts = augment(grey, AugmentOptions(brightness=0.2)).float() / full - 0.5
    assert (shifts.amax(dim=(1, 2, 3)) == shifts.amin(dim=(1, 2, 3))).all()
    assert 0.15 < shifts.max() <= 0.205
    assert -0.205 <= shifts.min() < -0.15
    x = pictures(n=200, dtype=dtype)
    x = (x // 2 + 64) if dtype == torch.uint8 else x / 2 + 0.25
    changed = augment(x, AugmentOptions(contrast=0.3)).float()
    factors = changed.std(dim=(1, 2, 3)) / x.float().std(dim=(1, 2, 3))
    torch.testing.assert_close(
        changed.mean(dim=(1, 2, 3)), x.float().mean(dim=(1, 2, 3)), atol=0.01 * full, rtol=0
    )
    assert 1.2 < factors.max() < 1.31
    assert 0.69 < factors.min() < 0.8


def test_hue_turns_around_grey_and_keeps_it():
    grey = torch.full((50, 3, 2, 2), 0.4)
    torch.testing.assert_close(recolour(grey, AugmentOptions(hue=0.5, saturation=0.9)), grey)
    red = torch.tensor([0.6, 0.3, 0.3]).view(1, 3, 1, 1).expand(300, 3, 1, 1)
    hues = [
        colorsys.rgb_to_hsv(*one.flatten().tolist())[0]
        for one in recolour(red, AugmentOptions(hue=0.1))
    ]
    around = [hue if hue < 0.5 else hue - 1 for hue in hues]
    assert 0.08 < max(around) < 0.115
    assert -0.115 < min(around) < -0.08


def test_saturation_scales_the_distance_to_grey():
    x = pictures(n=100, height=3, width=3, dtype=torch.float32) / 2 + 0.25
    changed = recolour(x, AugmentOptions(saturation=0.4))
    colour, before = changed - changed.mean(1, keepdim=True), x - x.mean(1, keepdim=True)
    factors = (colour * before).sum(dim=(1, 2, 3)) / (before * before).sum(dim=(1, 2, 3))
    torch.testing.assert_close(colour, before * factors.view(-1, 1, 1, 1), atol=1e-5, rtol=0)
    assert 1.3 < factors.max() <= 1.4
    assert 0.6 <= factors.min() < 0.7


EVERYTHING = AugmentOptions(
    translate=2, flip="random", rotate=5, scale=0.1, shear=5, brightness=0.1, saturation=0.1,
    hue=0.1, erase=2,
)  # fmt: skip


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("frames", [2, 3])
def test_each_frame_of_a_clip_changes_as_if_it_were_alone(frames, channels):
    clips = pictures(channels=frames * channels, dtype=torch.float32)
    torch.manual_seed(1)
    got = augment(clips, EVERYTHING, frames=frames)
    for t in range(frames):
        own = slice(t * channels, (t + 1) * channels)
        torch.manual_seed(1)
        torch.testing.assert_close(got[:, own], augment(clips[:, own], EVERYTHING))


def test_contrast_keeps_the_mean_of_a_clip():
    dark, light = torch.full((200, 1, 4, 4), 0.25), torch.full((200, 1, 4, 4), 0.75)
    got = augment(torch.cat((dark, light), dim=1), AugmentOptions(contrast=0.3), frames=2)
    torch.testing.assert_close(got.mean(dim=(1, 2, 3)), torch.full((200,), 0.5))
    differences = got[:, 1] - got[:, 0]
    assert 0.6 < differences.max() <= 0.65
    assert 0.35 <= differences.min() < 0.4


@pytest.mark.parametrize("dtype", DTYPES)
def test_erase(dtype):
    x = pictures(n=300, dtype=dtype).clamp(min=1 if dtype == torch.uint8 else 0.01)
    places = torch.zeros(7, 9)
    for one in (erase(x, 3, 0) == 0).all(dim=1):
        rows, columns = one.any(dim=1).nonzero(), one.any(dim=0).nonzero()
        assert one.sum() == 9
        assert rows.max() - rows.min() == columns.max() - columns.min() == 2
        places += one
    assert places.min() > 0
    filled = augment(x, AugmentOptions(erase=20, fill=51))
    assert (filled == (51 if dtype == torch.uint8 else 0.2)).all()


def test_mixup_mixes_pictures_and_classes_alike():
    x = torch.eye(5).view(5, 5, 1, 1)  # a picture tells what is in it
    targets = torch.tensor([3, 1, 0, 2, 4])
    torch.manual_seed(3)
    mixed, soft = mixup(x, targets, 6, 1.0)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(5))
    want = torch.zeros(5, 6)
    for n in range(5):
        for source in range(5):
            want[n, targets[source]] += mixed[n, source, 0, 0]
    torch.testing.assert_close(soft, want)
    same, hard = mixup(x, targets, 6, 0.0)
    assert torch.equal(same, x)
    assert hard.argmax(dim=1).tolist() == targets.tolist()


def test_how_much_is_mixed_is_betas():
    parts = []
    for _ in range(500):
        soft = mixup(torch.zeros(2, 1), torch.tensor([0, 1]), 2, 0.4)[1]
        parts.append(float(soft[0, 0]))
    drawn = np.random.default_rng(1).beta(0.4, 0.4, 500)
    below = [np.mean([p < edge for p in parts if p < 1]) for edge in (0.2, 0.8)]
    assert below[0] == pytest.approx(np.mean(drawn < 0.2), abs=0.12)
    assert below[1] == pytest.approx(np.mean(drawn < 0.8), abs=0.12)


@pytest.mark.parametrize("strength", [1e-30, 0.001, 0.05])
def test_small_strengths_mix_hardly_anything(strength):
    torch.manual_seed(1)
    drawn = [
        mixup(torch.zeros(2, 1), torch.tensor([0, 1]), 2, strength)[1][0, 0] for _ in range(400)
    ]
    parts = torch.stack(drawn)
    inside = ((parts > 0.1) & (parts < 0.9)).float().mean()
    wanted = np.random.default_rng(1).beta(max(strength, 1e-3), max(strength, 1e-3), 4000)
    # the half of the batches that keep their order are not mixed at all
    assert inside == pytest.approx(np.mean((wanted > 0.1) & (wanted < 0.9)) / 2, abs=0.05)
    assert ((parts == 0.5).sum(), parts.isnan().sum()) == (0, 0)
    torch.manual_seed(1)
    again = mixup(torch.zeros(2, 1), torch.tensor([0, 1]), 2, strength)[1][0, 0]
    assert again == parts[0]


@pytest.mark.parametrize("most", [1, 3])
def test_frames_come_in_order_and_from_near(most):
    frames = torch.arange(10).view(1, 10, 1).expand(200, 10, 1)
    got = jitter_time(frames, most)[:, :, 0]
    assert (got.diff(dim=1) >= 0).all()
    distance = got - torch.arange(10)
    assert distance.abs().max() == most
    assert (distance != 0).any(dim=0).all()
    assert torch.equal(jitter_time(frames, 0), frames)


def test_nothing_is_changed_by_default_and_nothing_in_place():
    x = pictures()
    assert augment(x, AugmentOptions()) is x
    before = x.clone()
    everything = AugmentOptions(
        translate=2, flip="random", rotate=5, scale=0.1, shear=5, brightness=0.1, contrast=0.1,
        saturation=0.1, hue=0.05, erase=2,
    )  # fmt: skip
    torch.manual_seed(1)
    one = augment(x, everything)
    torch.manual_seed(1)
    assert torch.equal(augment(x, everything), one)
    assert torch.equal(x, before)
    assert one.dtype == torch.uint8
    grey = pictures(channels=1, dtype=torch.float32)
    assert augment(grey, everything).shape == grey.shape


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"translate": -1}, r"augment\.translate must be in 0\.\.64; got -1"),
        ({"hue": 0.6}, r"augment\.hue must be in 0\.\.0\.5; got 0\.6"),
        ({"scale": 0.95}, r"augment\.scale must be in 0\.\.0\.9; got 0\.95"),
        ({"fill": 256}, r"augment\.fill must be in 0\.\.255; got 256"),
        ({"mixup": float("nan")}, r"augment\.mixup must be in 0\.\.10; got nan"),
    ],
)
def test_out_of_range(change, text):
    with pytest.raises(ConfigError, match=text) as err:
        AugmentOptions(**change)
    assert err.value.code == "E205"
