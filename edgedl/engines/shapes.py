"""Sizes of dynamic inputs: which ranges an engine is built for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgedl.errors import UsageError
from edgedl.options import suggest

MAX_SIDE = (1 << 31) - 1
"""TensorRT counts no further along an axis."""

Shape = tuple[int, ...]
Shapes = tuple[Shape, Shape, Shape]
"""Smallest, most frequent and largest shape of one input."""
Profile = Mapping[str, Shapes]
"""The shapes of every dynamic input, by name."""


def profiles_of(
    inputs: Mapping[str, Shape],
    batches: Sequence[Sequence[int]],
    given: Sequence[Profile] = (),
) -> tuple[dict[str, Shapes], ...]:
    """Return the profiles an engine needs; none if all sizes are fixed.

    Args:
        inputs: Name to shape of every input, -1 for an axis whose size is not fixed.
        batches: (min, opt, max) sizes of a dynamic first axis, one for each profile.
        given: Whole profiles instead; needed where another axis is dynamic.

    Raises:
        UsageError: E110 a size is missing, or fits neither the input nor the others.
    """
    dynamic = {name: shape for name, shape in inputs.items() if -1 in shape}
    if not dynamic:
        return ()
    if given:
        return tuple(_checked(profile, dynamic) for profile in given)
    for name, shape in dynamic.items():
        if -1 in shape[1:]:
            msg = (
                f"input {name} of shape {shape} has a dynamic axis that is not the batch; give its "
                f"sizes: --shapes {name}=MIN:OPT:MAX, each like 1x3x224x224"
            )
            raise UsageError("E110", msg)
    return tuple(
        {name: _of_batch(batch, shape) for name, shape in dynamic.items()} for batch in batches
    )


def parse_shapes(text: str) -> tuple[str, Shapes]:
    """Read ``image=1x3x64x64:1x3x224x224:4x3x512x512``.

    Raises:
        UsageError: E110 it is not so.
    """
    name, _, sizes = text.rpartition("=")
    try:
        low, usual, high = (
            tuple(int(size) for size in shape.split("x")) for shape in sizes.split(":")
        )
    except ValueError as err:
        msg = f"--shapes takes INPUT=MIN:OPT:MAX, e.g. image=1x3x8x8:1x3x8x8:4x3x8x8; got {text!r}"
        raise UsageError("E110", msg) from err
    return name, (low, usual, high)


def check_batch(batch: Sequence[int]) -> None:
    """Check three sizes of a batch.

    Raises:
        UsageError: E110 they are not 1 <= min <= opt <= max, or are too large.
    """
    if len(batch) != 3 or not 1 <= batch[0] <= batch[1] <= batch[2] <= MAX_SIDE:
        msg = (
            f"[engine] batch must be three sizes 1 <= min <= opt <= max <= {MAX_SIDE}, "
            f"e.g. 1,1,8; got {','.join(map(str, batch))}"
        )
        raise UsageError("E110", msg)


def _of_batch(batch: Sequence[int], shape: Shape) -> Shapes:
    low, usual, high = ((size, *shape[1:]) for size in batch)
    return low, usual, high


def _checked(profile: Profile, dynamic: Mapping[str, Shape]) -> dict[str, Shapes]:
    for name in profile:
        if name not in dynamic:
            known = ", ".join(dynamic)
            hint = suggest(name, dynamic)
            msg = f"shapes are given for {name!r}, which is no dynamic input: {known}{hint}"
            raise UsageError("E110", msg)
    for name, shape in dynamic.items():
        if name not in profile:
            msg = f"input {name} of shape {shape} is dynamic; give its sizes: --shapes {name}=…"
            raise UsageError("E110", msg)
        low, usual, high = profile[name]
        fits = len(low) == len(usual) == len(high) == len(shape) and all(
            1 <= a <= b <= c <= MAX_SIDE and (fixed in (-1, a) and (fixed == -1 or a == c))
            for a, b, c, fixed in zip(low, usual, high, shape, strict=True)
        )
        if not fits:
            msg = (
                f"shapes of input {name} must fit {shape} and be min <= opt <= max on each axis, "
                f"at most {MAX_SIDE}; "
                f"got {low}, {usual}, {high}"
            )
            raise UsageError("E110", msg)
    return {name: profile[name] for name in dynamic}
