"""Small pictures first: most of what there is to learn shows in them, and they cost less."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch.nn import functional

from edgedl.errors import ConfigError

if TYPE_CHECKING:
    from edgedl.train.task import Batch


def side_px(sides: Sequence[int], until: Sequence[float], done: float) -> int:
    """Return the side of the pictures in a part of the training, 0 for their own.

    Args:
        sides: Pixels, in the order in which they come.
        until: 0..1, where in the training each of them ends.
        done: 0..1, how far the training is.
    """
    return next((side for side, end in zip(sides, until, strict=True) if done < end), 0)


def relative_cost(sides: Sequence[int], until: Sequence[float], full: int) -> float:
    """Return about what a training costs, as a part of one whose pictures always have ``full``."""
    parts = [end - start for start, end in pairwise((0.0, *until, 1.0))]
    areas = [(side / full) ** 2 for side in (*sides, full)]
    return sum(part * area for part, area in zip(parts, areas, strict=True))


def shrunk(batch: Batch, side: int) -> Batch:
    """Return a batch whose pictures (N, C, H, W) have ``side`` pixels each way; averaged, not cut.

    Raises:
        ConfigError: E205 the first tensor holds no pictures.
    """
    pictures, *rest = batch
    if pictures.ndim != 4:
        msg = f"train.sides is for pictures; got batches of the shape {tuple(pictures.shape)}"
        raise ConfigError("E205", msg)
    small = functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
    return small, *rest
