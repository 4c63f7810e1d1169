"""Sentences about rendered scenes, and a question whose answer hangs on the order of words.

The label of a sentence is the colour of the thing that lies to the left, or above: in "a red
circle left of a blue square" red, in "right of the red circle is a blue square" red as well. Which
colours occur does not tell; who stands where, and in which of the grammar's turns it is said, does.
"""

from __future__ import annotations

import random

from edgedl.data.scenes import Scenes, wording


def scene_texts(seed: int, count: int) -> list[tuple[str, str, str]]:
    """Return different sentences about scenes of two things of different colours.

    Args:
        seed: Of the scenes and the wording.
        count: How many, at most 500000: the grammar has 907264 such sentences.

    Returns:
        (sentence, label, ``""``) each.
    """
    scenes, rng = Scenes(seed, "train"), random.Random(seed)
    found: dict[str, str] = {}
    index = 0
    while len(found) < count:
        scene = scenes.scene(index)
        index += 1
        if scene.relation is None or scene.things[0].color == scene.things[1].color:
            continue
        is_first = scene.relation in ("left of", "above")
        found[wording(scene, rng)] = scene.things[0 if is_first else 1].color
    return [(text, label, "") for text, label in found.items()]
