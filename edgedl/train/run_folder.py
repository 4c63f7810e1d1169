"""The run: a folder with all that training leaves behind, and all that export needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.errors import BundleError
from edgedl.models.captioner import Captioner, CaptionerOptions
from edgedl.models.weights import load_weights
from edgedl.options import options_from, parse_toml, suggest
from edgedl.spec import ImageSpec
from edgedl.vocab import Vocab

if TYPE_CHECKING:
    from torch import nn

FAMILIES = ("captioner",)
MAX_JSON_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a folder written by ``edgedl train`` holds.

    Attributes:
        path: The folder.
        recipe: ``recipe.toml`` as resolved: defaults and overrides included.
        model: ``family``, ``vocab_size`` and the widths: enough to rebuild the network.
        spec: How a picture becomes the network's input.
        vocab: Words and their ids.
        data: What it was trained on: name, seed, splits and their digests.
        metrics: Quality on ``val`` and ``test``, time and machine.
    """

    path: Path
    recipe: dict[str, Any]
    model: dict[str, Any]
    spec: ImageSpec
    vocab: Vocab
    data: dict[str, Any]
    metrics: dict[str, Any]

    @classmethod
    def open(cls, path: Path | str) -> Run:
        """Read the small files of a run; ``network`` reads the weights.

        Raises:
            BundleError: E400 not a run, E401 one of its files cannot be read or understood.
            ConfigError: A value in it is out of range.
        """
        path = Path(path)
        if not (path / "model.json").is_file():
            msg = (
                f"{path} is not a run: model.json is missing; make one: "
                f"edgedl train scenes-captioner --out {path}"
            )
            raise BundleError("E400", msg)
        return cls(
            path=path,
            recipe=parse_toml(path / "recipe.toml"),
            model=_read_json(path / "model.json"),
            spec=ImageSpec.from_dict(_read_json(path / "spec.json"), f"{path / 'spec.json'}"),
            vocab=Vocab.open(path / "vocab.json"),
            data=_read_json(path / "data.json"),
            metrics=_read_json(path / "metrics.json"),
        )

    def network(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode.

        Raises:
            BundleError: E401 an unknown family, E403/E410/E413 weights that do not fit, E416 a
                vocabulary of another size.
        """
        module = network_from(self.model, f"{self.path / 'model.json'}")
        if self.model["vocab_size"] != len(self.vocab):
            msg = (
                f"{self.path}: vocab.json has {len(self.vocab)} tokens; model.json says "
                f"{self.model['vocab_size']}; train again"
            )
            raise BundleError("E416", msg)
        load_weights(module, self.path / "weights.safetensors")
        return module.eval()


def model_table(options: CaptionerOptions, vocab_size: int) -> dict[str, Any]:
    """Return what ``model.json`` says of a captioner."""
    table = {name: getattr(options, name) for name in CaptionerOptions.__dataclass_fields__}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in table.items()}
    return {"family": "captioner", "vocab_size": vocab_size, **plain}


def network_from(model: Mapping[str, Any], where: str) -> nn.Module:
    """Build the network ``model.json`` describes, with random weights.

    Raises:
        BundleError: E401 the family is unknown or a value is missing or out of range.
    """
    family, vocab_size = model.get("family"), model.get("vocab_size")
    if family not in FAMILIES:
        hint = suggest(str(family), FAMILIES) or f"; known: {', '.join(FAMILIES)}"
        msg = f"{where}: unknown family {family!r}{hint}"
        raise BundleError("E401", msg)
    if not isinstance(vocab_size, int) or not 4 < vocab_size <= 1 << 20:
        msg = f"{where}: vocab_size must be a number in 5..1048576; got {vocab_size!r}"
        raise BundleError("E401", msg)
    widths = {k: v for k, v in model.items() if k not in ("family", "vocab_size")}
    return Captioner(options_from(CaptionerOptions, widths, where), vocab_size)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write one file of a run folder that is being made."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
