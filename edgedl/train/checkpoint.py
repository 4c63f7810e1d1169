"""All that a training needs to go on, in one file; nothing in it is pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from edgedl.bundle.files import write_file
from edgedl.errors import BundleError


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write tensors and plain JSON values, at once or not at all.

    Raises:
        BundleError: E430 no room on the disk, E431 the folder cannot be written.
    """
    plain = torch.contiguous_format
    own = {name: tensor.detach().clone(memory_format=plain) for name, tensor in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(own, {"state": json.dumps(state)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what ``save_checkpoint`` wrote.

    Raises:
        BundleError: E434 the file is no checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = json.loads((file.metadata() or {})["state"])
        if not isinstance(state, dict):
            raise TypeError(state)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as err:
        msg = f"{path} is not a checkpoint; start again with --force instead of --resume"
        raise BundleError("E434", msg) from err
    return tensors, state


def copy_into(targets: Mapping[str, Tensor], tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Copy ``prefix + name`` into each target; each keeps its memory layout.

    Raises:
        BundleError: E434 one is missing or has another shape: the checkpoint is another network's.
    """
    for name, target in targets.items():
        source = tensors.get(prefix + name)
        if source is None or source.shape != target.shape:
            got = "is missing" if source is None else f"has shape {tuple(source.shape)}"
            msg = (
                f"checkpoint: {prefix}{name} {got}, the network needs {tuple(target.shape)}; "
                "start again with --force instead of --resume"
            )
            raise BundleError("E434", msg)
        with torch.no_grad():
            target.copy_(source)
