"""A run of ours as the origin of an export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from edgedl.bundle import sha256_file
from edgedl.bundle.manifest import Parent
from edgedl.errors import BundleError
from edgedl.evaluate import open_evaluation, warn_if_changed
from edgedl.export.to_onnx import write_graphs
from edgedl.train.run_folder import Run
from edgedl.train.torch_session import torch_sessions

if TYPE_CHECKING:
    from torch import nn

    from edgedl.evaluate import Evaluation
    from edgedl.export.replay import Feeds
    from edgedl.train.torch_session import TorchSession


class RunOrigin:
    """A trained network in its run, see ``edgedl.export.origin.Origin``.

    Args:
        path: A folder written by ``edgedl train``.

    Raises:
        BundleError: E400 no run, and what ``Run.open`` raises.
    """

    what = "the trained network"
    is_sampled = True

    def __init__(self, path: Path | str) -> None:
        self.run = Run.open(path)
        self.spec = self.run.model_spec

    @property
    def parent(self) -> Parent:
        """Return the digest of the weights."""
        return Parent(kind="run", sha256=sha256_file(self.run.path / "weights.safetensors"))

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the recipe's ``[data]``."""
        return self.run.data_table

    @property
    def licences(self) -> tuple[str, ...]:
        """Return those of the data."""
        return tuple(self.run.data.get("licences", ()))

    @property
    def curves_png(self) -> bytes | None:
        """Return the training curves."""
        curves = self.run.path / "curves.png"
        return curves.read_bytes() if curves.is_file() else None

    @cached_property
    def sessions(self) -> dict[str, TorchSession]:
        """Return the trained network, a session for each part."""
        return torch_sessions(self.spec, self.run.network())

    def conversion_errors(self, feeds: Sequence[Feeds]) -> Mapping[str, float]:  # noqa: ARG002
        """Return nothing: the sessions are the network."""
        return {}

    def write_graphs(self, folder: Path) -> None:
        """Export each part of the network.

        Raises:
            BundleError: E414 a weight is no number, and what ``to_onnx.write_graphs`` raises.
        """
        check_finite(self.run.network())
        write_graphs(self.sessions, folder)

    def samples(self, split: str, limit: int) -> Evaluation:
        """Return samples of the data it was trained on."""
        found = open_evaluation(self.spec, self.run.data_table, split, limit)
        warn_if_changed(found, self.run.data)
        return found

    def explain_no_samples(self) -> str:
        """Name the data."""
        data = self.run.data_table
        place = data.get("path") or data.get("generated")
        return (
            f"{place} has no split 'test', on which an export measures each precision; "
            f"hold samples back in its [data] and train {self.run.path} again"
        )


def check_finite(network: nn.Module) -> None:
    """Raise when a weight is no number.

    Raises:
        BundleError: E414 naming the weight.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"weights of {name!r} are not finite (NaN or infinity); train again"
            raise BundleError("E414", msg)
