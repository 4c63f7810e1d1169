"""Weights on disk: safetensors, never pickles."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from edgedl.errors import BundleError
from edgedl.options import suggest

if TYPE_CHECKING:
    from torch import nn


def save_weights(module: nn.Module, path: Path) -> None:
    """Write all parameters and buffers of ``module`` to a ``.safetensors`` file."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in module.state_dict().items()}
    save_file(tensors, path)


def load_weights(module: nn.Module, path: Path) -> None:
    """Read parameters and buffers of ``module``; names, shapes and types must be equal.

    Raises:
        BundleError: E403 the file is missing, E410 it is not safetensors, E413 it belongs to
            another network.
    """
    if not path.is_file():
        msg = f"{path} is missing; train again"
        raise BundleError("E403", msg)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as err:
        msg = f"{path} is not a safetensors file: {err}; train again"
        raise BundleError("E410", msg) from err
    wanted = module.state_dict()
    for name in tensors.keys() ^ wanted.keys():
        if name in wanted:
            msg = f"{path} lacks {name!r}{suggest(name, tensors)}; model.json is of another network"
        else:
            msg = f"{path} has an extra {name!r}{suggest(name, wanted)}; model.json is of another"
        raise BundleError("E413", msg)
    for name, tensor in wanted.items():
        got = tensors[name]
        if got.shape != tensor.shape or got.dtype != tensor.dtype:
            msg = (
                f"{path} {name!r} must be {tuple(tensor.shape)} {tensor.dtype}; "
                f"got {tuple(got.shape)} {got.dtype}; model.json is of another network"
            )
            raise BundleError("E413", msg)
    module.load_state_dict(tensors)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What of a file became part of a network.

    Attributes:
        loaded: Names of the network's tensors that were set.
        kept: Names that keep their values, for want of a tensor in the file; the head's too.
        unused: Names of the file's tensors that fit nowhere.
    """

    loaded: tuple[str, ...]
    kept: tuple[str, ...]
    unused: tuple[str, ...]


def load_backbone(module: nn.Module, path: Path, *, head: str = "") -> Loaded:
    """Set what fits by name and shape from a weights file; the head stays as it is.

    Args:
        module: Any network.
        path: ``.safetensors``, or a PyTorch file, of which only tensors are read.
        head: Name of the layer that depends on the classes; default: ``module.head`` if it has one.

    Raises:
        BundleError: E403 the file is missing, E410 it is not a file of weights, E413 nothing in it
            fits.
    """
    tensors = {_bare(name): tensor for name, tensor in _read(path).items()}
    head = head or getattr(module, "head", "")
    wanted = module.state_dict()
    fitting = {
        name: tensors[name]
        for name, own in wanted.items()
        if name in tensors
        and tensors[name].shape == own.shape
        and not (head and name.startswith(f"{head}."))
    }
    if not any(name.endswith("weight") for name in fitting):
        example = next(iter(tensors), "nothing")
        msg = (
            f"nothing in {path} fits the network: it holds {example!r} and {len(tensors) - 1} "
            f"more, the network {next(iter(wanted))!r}; take weights of its family and width"
        )
        raise BundleError("E413", msg)
    module.load_state_dict(fitting, strict=False)
    return Loaded(
        loaded=tuple(fitting),
        kept=tuple(name for name in wanted if name not in fitting),
        unused=tuple(name for name in tensors if name not in fitting),
    )


def _bare(name: str) -> str:
    """Return a tensor's name without what wrappers put in front."""
    for prefix in ("module.", "_orig_mod.", "model."):
        name = name.removeprefix(prefix)
    return name


def _read(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of either format; of a PyTorch file nothing but tensors."""
    if not path.is_file():
        msg = f"{path} is missing; name a .safetensors or PyTorch file"
        raise BundleError("E403", msg)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of garbage that looks like a newer pickle
            table = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # on garbage the readers raise whatever comes
        first = str(err).partition("\n")[0]
        if isinstance(err, pickle.UnpicklingError):  # torch's own words say how to run it
            first = "it holds more than tensors, or is damaged"
        msg = f"{path} is not a file of weights alone: {first}; save a state_dict"
        raise BundleError("E410", msg) from err
    for key in ("state_dict", "model"):
        table = table.get(key, table) if isinstance(table, dict) else table
    tensors = table if isinstance(table, dict) else {}
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }
    if not tensors:
        msg = f"{path} holds no named tensors; save a state_dict"
        raise BundleError("E410", msg)
    return tensors
