"""A graph run at the smallest, usual and largest sizes that it shall take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from edgedl.errors import BundleError, EdgedlError
from edgedl.export.graph_scope import shape_of, sides
from edgedl.runtime.session import open_session

if TYPE_CHECKING:
    from edgedl.engines.shapes import Profile
    from edgedl.spec import TensorSpec

BATCH = (1, 2, 8)
"""Smallest, usual and largest size of a first axis that nobody said anything about."""


def try_shapes(path: Path, profile: Profile | None = None) -> None:
    """Run a graph at its smallest, usual and largest sizes; its outputs must be as declared.

    An exporter may fold the size of its example into the graph, which then runs with that one only,
    or answers in another shape than it says.

    Args:
        path: An ONNX file.
        profile: Input name to its smallest, usual and largest shape. An input that is not in it
            takes ``BATCH`` for a first axis of changing size.

    Raises:
        BundleError: E413 it does not run at a size, or an output has another shape than declared;
            E410, E412 as ``open_session``.
    """
    inputs, outputs = sides(onnx.load(path, load_external_data=False))
    declared = {value.name: shape_of(value) for value in (*inputs, *outputs)}
    session = open_session(path)
    try:
        for index, size in enumerate(("smallest", "usual", "largest")):
            feeds = {spec.name: _feed(spec, profile or {}, index, path) for spec in session.inputs}
            taken = ", ".join(f"{name} {feed.shape}" for name, feed in feeds.items())
            where = f"{path.name} at its {size} sizes, {taken}"
            try:
                found = session.run(feeds)
            except EdgedlError as err:
                msg = f"{where}: {err}; export it again with its dynamic axes named"
                raise BundleError("E413", msg) from err
            _check_outputs(declared, feeds, found, where)
    finally:
        session.close()


def _feed(spec: TensorSpec, profile: Profile, index: int, path: Path) -> npt.NDArray[Any]:
    """Return an input: noise, or zeros where integers may be places in a table."""
    given = profile.get(spec.name)
    if given is not None:
        shape = tuple(given[index])
    elif any(not isinstance(size, int) for size in spec.shape[1:]):
        msg = (
            f"{path.name}: {spec.name} {spec.shape} may change beyond its first axis; "
            "say its smallest, usual and largest shape"
        )
        raise BundleError("E413", msg)
    else:
        shape = tuple(size if isinstance(size, int) else BATCH[index] for size in spec.shape)
    if spec.dtype.startswith("float"):
        return np.random.default_rng(index).normal(size=shape).astype(spec.dtype)
    return np.zeros(shape, spec.dtype)


def _check_outputs(
    declared: Mapping[str, tuple[int | str, ...]],
    feeds: Mapping[str, npt.NDArray[Any]],
    found: Mapping[str, npt.NDArray[Any]],
    where: str,
) -> None:
    """Compare shapes with what is declared: sizes with sizes, and names with those of inputs."""
    named: dict[int | str, int] = {}
    for name, feed in feeds.items():
        named |= dict(zip(declared[name], feed.shape, strict=True))
    for name, array in found.items():
        sizes = [named.get(size, size) for size in declared[name]]
        fits = len(sizes) == array.ndim and all(
            not isinstance(size, int) or size == number
            for size, number in zip(sizes, array.shape, strict=True)
        )
        if not fits:
            msg = f"{where}: {name} is declared {declared[name]}, got {array.shape}"
            raise BundleError("E413", f"{msg}; export it again")
