"""Scenes: the grammar against a parser of its own, geometry, splits, pictures."""

import itertools
import random

import cv2
import numpy as np
import pytest

from edgedl.data import scenes as sc
from edgedl.errors import ConfigError

MANY = 3000


def parse(sentence):
    """Return (first, relation, second), or (only, None, None); independent of the grammar's code.

    A thing is (size, colour, shape), sizes and relations in one spelling each.
    """
    sizes = {"small": "small", "little": "small", "large": "large", "big": "large"}
    spellings = {
        "to the left of": "left of",
        "to the right of": "right of",
        "left of": "left of",
        "right of": "right of",
        "above": "above",
        "over": "above",
        "below": "below",
        "under": "below",
    }

    def thing(text):
        article, size, color, shape = text.split(" ")
        assert article == "a"
        return (sizes[size], color, shape)

    text = sentence.removeprefix("there is ").removeprefix("only ").removesuffix(" alone")
    for words, relation in spellings.items():
        if text.startswith(words + " "):
            second, _, first = text.removeprefix(words + " ").partition(" is ")
            return thing(first), relation, thing(second)
        if f" {words} " in text:
            first, _, second = text.partition(f" {words} ")
            return thing(first.removesuffix(" is")), relation, thing(second)
    return thing(text), None, None


def truth(scene):
    """Return what may be said of a scene, from its geometry alone."""
    things = [(t.size, t.color, t.shape) for t in scene.things]
    if len(things) == 1:
        return {(things[0], None, None)}
    (one, other), (a, b) = scene.things, things
    dx, dy = other.x - one.x, other.y - one.y
    if abs(dx) > abs(dy):
        pair = ("left of", "right of") if dx > 0 else ("right of", "left of")
    else:
        pair = ("above", "below") if dy > 0 else ("below", "above")
    return {(a, pair[0], b), (b, pair[1], a)}


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_sentences_say_what_the_geometry_says(split):
    data = sc.Scenes(5, split)
    for i in range(200):
        scene = data.scene(i)
        sentences = sc.captions(scene)
        assert {parse(sentence) for sentence in sentences} == truth(scene)
        assert all(sc.is_exact(sentence, scene) for sentence in sentences)
        assert len(set(sentences)) >= 8


def test_a_sentence_about_another_scene_is_not_exact():
    data = sc.Scenes(5, "train")
    scenes = [data.scene(i) for i in range(60)]
    for one, other in itertools.permutations(scenes, 2):
        if truth(one).isdisjoint(truth(other)):
            assert not sc.is_exact(sc.captions(other)[0], one)


def test_swapped_relation_is_not_exact():
    things = (
        sc.Thing("ring", "red", "small", 0.2, 0.5, 0.1),
        sc.Thing("square", "blue", "large", 0.7, 0.5, 0.17),
    )
    scene = sc.Scene(things)
    assert sc.is_exact("a small red ring to the left of a big blue square", scene)
    assert sc.is_exact("right of a little red ring is a large blue square", scene)
    assert not sc.is_exact("a small red ring right of a large blue square", scene)
    assert not sc.is_exact("a large red ring left of a large blue square", scene)
    assert not sc.is_exact("a small red ring", scene)
    assert not sc.is_exact("", scene)


def test_wordings_are_licensed_and_varied():
    scene = next(s for s in map(sc.Scenes(5, "train").scene, range(99)) if len(s.things) == 2)
    rng = random.Random(0)
    drawn = {sc.wording(scene, rng) for _ in range(2000)}
    assert drawn == set(sc.captions(scene))


def test_references_are_five_different_licensed_sentences():
    for i in range(50):
        scene = sc.Scenes(5, "val").scene(i)
        refs = sc.references(scene, random.Random(i))
        assert len(set(refs)) == 5
        assert set(refs) <= set(sc.captions(scene))


def test_words_are_all_words_of_sentences():
    data = sc.Scenes(5, "train")
    used = {w for i in range(MANY) for w in sc.wording(data.scene(i), random.Random(i)).split()}
    assert used == set(sc.words())
    assert all(word.isalpha() and word.islower() for word in sc.words())


def combinations(split, count=MANY):
    data = sc.Scenes(7, split)
    return [set(data.scene(i).combinations) for i in range(count)]


def test_every_test_scene_has_a_combination_never_trained():
    trained = set().union(*combinations("train"), *combinations("val"))
    assert all(held_out - trained for held_out in combinations("test"))
    # Not by chance: training covers all the others.
    assert len(trained) == len(sc.COLORS) * len(sc.SHAPES) * (len(sc.ROLES) - 1)


def test_every_color_shape_and_role_is_trained_in_every_pairing_of_two():
    trained = set().union(*combinations("train"))
    for axes, count in (((0, 1), 56), ((0, 2), 40), ((1, 2), 35)):
        assert len({tuple(c[a] for a in axes) for c in trained}) == count


def test_validation_is_not_training():
    train, val = sc.Scenes(7, "train"), sc.Scenes(7, "val")
    assert {train.scene(i) for i in range(300)}.isdisjoint(val.scene(i) for i in range(300))


@pytest.mark.parametrize("split", ["train", "test"])
def test_things_are_whole_apart_and_clearly_related(split):
    data = sc.Scenes(3, split)
    for i in range(MANY):
        scene = data.scene(i)
        assert_clear(scene)


def assert_clear(scene):
    for thing in scene.things:
        low, high = sc.RADIUS[thing.size]
        assert low <= thing.radius <= high
        assert thing.radius < thing.x < 1 - thing.radius
        assert thing.radius < thing.y < 1 - thing.radius
    if scene.relation:
        one, other = scene.things
        dx, dy = abs(other.x - one.x), abs(other.y - one.y)
        assert max(dx, dy) > one.radius + other.radius + 0.02
        assert min(dx, dy) <= 0.46 * max(dx, dy)


def test_same_seed_same_picture_other_seed_another():
    one, same, other = sc.Scenes(1, "train"), sc.Scenes(1, "train"), sc.Scenes(2, "train")
    for i in range(5):
        assert one.scene(i) == same.scene(i)
        np.testing.assert_array_equal(one.picture(i), same.picture(i))
        assert one.scene(i) != other.scene(i)


def test_sensor_noise_differs_between_frames_of_one_scene():
    scene = sc.Scenes(1, "train").scene(0)
    one = sc.render(scene, (64, 64), random.Random(1)).astype(int)
    other = sc.render(scene, (64, 64), np.random.default_rng(2)).astype(int)
    assert 0 < np.abs(one - other).mean() < 12


def still(*things):
    """A scene whose look has next to no blur and noise."""
    look = min(range(300), key=lambda seed: haze(sc.Scene(things, seed)))
    return sc.Scene(things, look)


def haze(scene):
    frames = [sc.render(scene, (64, 64), random.Random(i)).astype(int) for i in range(2)]
    return np.abs(frames[0] - frames[1]).mean()


@pytest.mark.parametrize("color", sc.COLORS)
def test_the_centre_of_a_square_has_its_color(color):
    scene = still(sc.Thing("square", color, "large", 0.4, 0.6, 0.17))
    picture = sc.render(scene, (200, 200), random.Random(0))
    centre = picture[116:124, 76:84].reshape(-1, 3).mean(axis=0)
    nearest = min(sc.COLORS, key=lambda c: np.abs(centre - sc.COLORS_BGR[c]).sum())
    assert nearest == color


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("circle", np.pi),
        ("ring", np.pi * (1 - 0.54**2)),
        ("square", 1.8**2),
        ("diamond", 2 * 0.84 * 1.12),
        ("triangle", 1.02 * 1.85),
        ("cross", 4 - 4 * 0.66**2),
    ],
)
def test_drawn_area_is_the_shapes(shape, expected):
    scene = still(sc.Thing(shape, "white", "large", 0.5, 0.5, 0.18))
    bare = sc.Scene((), scene.look)
    drawn, empty = (
        sc.render(s, (400, 400), random.Random(0)).astype(int).sum(axis=2) for s in (scene, bare)
    )
    white = np.percentile(drawn, 99.5)
    area = (drawn > (empty + white) / 2).mean() / 0.18**2
    assert area == pytest.approx(expected, rel=0.04)


def test_stretching_commutes_with_drawing():
    scene = still(
        sc.Thing("ring", "red", "large", 0.3, 0.4, 0.17),
        sc.Thing("star", "white", "small", 0.8, 0.6, 0.1),
    )
    wide = sc.render(scene, (256, 512), random.Random(0))
    back = cv2.resize(wide, (256, 256), interpolation=cv2.INTER_AREA).astype(int)
    square = sc.render(scene, (256, 256), random.Random(0)).astype(int)
    assert np.abs(back - square).mean() < 4


@pytest.mark.parametrize("size_hw", [(16, 16), (64, 64), (360, 640), (1080, 1920)])
def test_any_size(size_hw):
    picture = sc.render(sc.Scenes(1, "val").scene(0), size_hw, random.Random(0))
    assert picture.shape == (*size_hw, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous


def test_colors_stand_out_from_every_background():
    """Hardly a background comes closer than 20 (CIE76) to a colour."""
    pixels = []
    for i in range(150):
        scene = sc.Scene((), i)
        picture = cv2.blur(sc.render(scene, (64, 64), random.Random(i)), (5, 5))
        pixels.append(picture[::8, ::8].reshape(-1, 3))
    back = np.concatenate(pixels)[None]
    lab = cv2.cvtColor(back.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    colors = np.array([list(sc.COLORS_BGR.values())], np.float32) / 255
    for color in cv2.cvtColor(colors, cv2.COLOR_BGR2LAB)[0]:
        assert np.percentile(np.linalg.norm(lab - color, axis=1), 1) > 20


def test_moving_scene_glides_and_changes():
    moving = sc.MovingScene(3)
    told = []
    for step in range(400):
        scene = moving.at(step / 10)
        assert_clear(scene)
        told.append(sc.captions(scene)[0])
        if scene.look:
            assert scene.look == moving.at(0).look
    assert len(set(told)) >= 8
    for step in range(39):
        one, other = moving.at(step / 10), moving.at((step + 1) / 10)
        for a, b in zip(one.things, other.things, strict=True):
            assert abs(a.x - b.x) + abs(a.y - b.y) < 0.12
    assert moving.at(0).things != moving.at(2).things


def test_unknown_split():
    with pytest.raises(ConfigError, match="split must be one of train, val, test; got 'tset'") as e:
        sc.Scenes(1, "tset")
    assert e.value.code == "E204"
    assert "did you mean 'test'?" in str(e.value)
