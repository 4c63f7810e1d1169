"""The run: a folder with all that training leaves behind, and all that export needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.errors import BundleError
from edgedl.models.build import build
from edgedl.models.weights import load_weights, save_weights
from edgedl.options import parse_toml
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from torch import nn

    from edgedl.train.recipe import Recipe
    from edgedl.train.task import Task

MAX_JSON_BYTES = 16 << 20
UNFINISHED = ".unfinished"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a folder written by ``edgedl train`` holds.

    Attributes:
        path: The folder.
        recipe: ``recipe.toml`` as resolved: defaults and overrides included.
        model: The ``models.build.model_table``: enough to rebuild the network.
        model_spec: How the network is fed and its answer read.
        data: What it was trained on: counts, digests, warnings.
        metrics: Quality on ``val`` and ``test``, time and machine.
    """

    path: Path
    recipe: dict[str, Any]
    model: dict[str, Any]
    model_spec: ModelSpec
    data: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Read the small files of a run; ``network`` reads the weights.

        Raises:
            BundleError: E400 not a run, E401 one of its files cannot be read or understood, E435
                its training has not ended.
            ConfigError: A value in it is out of range.
        """
        path = Path(path)
        if not (path / "model.json").is_file():
            _explain_missing(path)
        return cls(
            path=path,
            recipe=parse_toml(path / "recipe.toml"),
            model=_read_json(path / "model.json"),
            model_spec=ModelSpec.from_dict(_read_json(path / "spec.json")),
            data=_read_json(path / "data.json"),
            metrics=_read_json(path / "metrics.json"),
        )

    @property
    def spec(self) -> ImageSpec:
        """How a picture becomes the network's input; only of runs that take pictures."""
        assert self.model_spec.image is not None
        return self.model_spec.image

    @property
    def vocab(self) -> Vocab:
        """Words and their ids; only of runs that know words."""
        return Vocab(self.model_spec.tokens)

    @property
    def data_table(self) -> dict[str, Any]:
        """The recipe's ``[data]``: where the data is and how it is split."""
        return dict(self.recipe.get("data", {}))

    def network(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode.

        Raises:
            BundleError: E401 an unknown family, E403/E410/E413 weights that do not fit, E416 a
                vocabulary of another size.
        """
        size, tokens = self.model.get("vocab_size"), self.model_spec.tokens
        if isinstance(size, int) and size != len(tokens):
            msg = (
                f"{self.path}: spec.json has {len(tokens)} tokens; model.json says {size}; "
                "train again"
            )
            raise BundleError("E416", msg)
        module = build(self.model, f"{self.path / 'model.json'}")
        load_weights(module, self.path / "weights.safetensors")
        return module.eval()


def write_run(folder: Path, recipe: Recipe, task: Task, metrics: Mapping[str, Any]) -> None:
    """Write all files of a run but the pictures and the report."""
    spec = task.spec
    save_weights(task.kept, folder / "weights.safetensors")
    (folder / "recipe.toml").write_text(to_toml(recipe.to_dict()), encoding="utf-8")
    write_json(folder / "model.json", task.model)
    write_json(folder / "spec.json", spec.to_dict())
    if spec.tokens:
        (folder / "vocab.json").write_text(Vocab(spec.tokens).to_json(), encoding="utf-8")
    if spec.labels:
        labels = json.dumps(spec.labels, indent=2, ensure_ascii=False) + "\n"
        (folder / "labels.json").write_text(labels, encoding="utf-8")
    write_json(folder / "data.json", task.facts)
    write_json(folder / "metrics.json", metrics)


def unfinished(out: Path) -> Path:
    """Return where the training of a run lies until it has ended."""
    return out.with_name(out.name + UNFINISHED)


def _explain_missing(path: Path) -> None:
    """Say why there is no run at ``path`` and what to do.

    Raises:
        BundleError: E435 its training has not ended, E400 it is something else.
    """
    out = path.with_name(path.name.removesuffix(UNFINISHED))
    if unfinished(out).is_dir():
        msg = f"the training of {out} has not ended; go on: edgedl train --out {out} --resume"
        raise BundleError("E435", msg)
    if (path / "manifest.json").is_file():
        msg = f"{path} is not a run, but a bundle; give the run or the model that it was made of"
        raise BundleError("E400", msg)
    msg = (
        f"{path} is not a run: model.json is missing; make one: "
        f"edgedl train scenes-captioner --out {'run' if path.exists() else path}"
    )
    raise BundleError("E400", msg)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    r"""Write one file of a run folder that is being made.

    The names of files may hold bytes that are no UTF-8; JSON has ``\udcff`` for those.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def to_toml(table: Mapping[str, Any]) -> str:
    """Return TOML for a table of plain values, lists, and one level of such tables."""
    lines = [f"{k} = {_toml_value(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
    for name, section in table.items():
        if isinstance(section, Mapping):
            lines += ["", f"[{name}]"]
            lines += [f"{k} = {_toml_value(v)}" for k, v in section.items()]
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    # JSON's strings, numbers and booleans are TOML's; there is no null.
    return json.dumps(value, ensure_ascii=False)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(path)
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise TypeError(table)
    except (OSError, ValueError, TypeError, RecursionError) as err:
        msg = f"{path} cannot be read as a JSON object; train again"
        raise BundleError("E401", msg) from err
    return table
