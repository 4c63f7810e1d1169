"""Which sizes an engine is built for."""

import pytest

from edgedl.engines.shapes import parse_shapes, profiles_of
from edgedl.errors import UsageError

FIXED = {"a": (2, 3)}
BATCH = {"a": (-1, 3), "b": (4,), "c": (-1,)}


def test_fixed_sizes_need_no_profile() -> None:
    assert profiles_of(FIXED, [(1, 2, 4)]) == ()
    assert profiles_of(FIXED, [(1, 2, 4)], [{"a": ((2, 3),) * 3}]) == ()


def test_a_profile_for_each_batch_holds_the_dynamic_inputs() -> None:
    assert profiles_of(BATCH, [(1, 2, 4), (8, 8, 8)]) == (
        {"a": ((1, 3), (2, 3), (4, 3)), "c": ((1,), (2,), (4,))},
        {"a": ((8, 3), (8, 3), (8, 3)), "c": ((8,), (8,), (8,))},
    )


def test_given_profiles_go_before_batches() -> None:
    given = {"a": ((1, 3), (1, 3), (2, 3)), "c": ((1,), (1,), (2,))}
    assert profiles_of(BATCH, [(1, 2, 4)], [given]) == (given,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"b": ((4,),) * 3}, "'b', which is no dynamic input: a, c"),
        ({"a": ((1, 3),) * 3}, r"input c of shape \(-1,\) is dynamic; give its sizes"),
        ({"a": ((1, 3),) * 3, "c": ((2,), (1,), (2,))}, "input c must fit"),
        ({"a": ((1, 3),) * 3, "c": ((0,), (1,), (2,))}, "input c must fit"),
        ({"a": ((1, 3), (1, 4), (1, 4)), "c": ((1,),) * 3}, r"input a must fit \(-1, 3\)"),
        ({"a": ((1, 2), (1, 3), (1, 3)), "c": ((1,),) * 3}, r"input a must fit \(-1, 3\)"),
        ({"a": ((1,),) * 3, "c": ((1,),) * 3}, "input a must fit"),
        ({"a": ((1, 3),) * 3, "c": ((1,), (1,), (1 << 31,))}, r"at most 2147483647; got \(1,\)"),
    ],
)
def test_shapes_that_do_not_fit(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        profiles_of(BATCH, [(1, 1, 1)], [given])  # type: ignore[list-item]
    assert caught.value.code == "E110"


def test_parse() -> None:
    assert parse_shapes("a=b=1x2:3x4:5x6") == ("a=b", ((1, 2), (3, 4), (5, 6)))


@pytest.mark.parametrize("text", ["", "a", "a=1x2", "a=1:2", "a=1:2:x", "a=1:2:3:4"])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="--shapes takes INPUT=MIN:OPT:MAX") as caught:
        parse_shapes(text)
    assert caught.value.code == "E110"
