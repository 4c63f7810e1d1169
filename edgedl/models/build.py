"""Networks by name: what a recipe's ``[model]`` and a run's ``model.json`` mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgedl.errors import BundleError, ConfigError
from edgedl.models.airbench import Airbench, AirbenchOptions
from edgedl.models.captioner import Captioner, CaptionerOptions
from edgedl.models.cnn import Lenet, LenetOptions, Vgg, VggOptions
from edgedl.models.mobilenet import Mobilenet, MobilenetOptions
from edgedl.models.resnet import Resnet, ResnetOptions
from edgedl.models.sequences import (
    CharLm,
    CharLmOptions,
    ClipClassifier,
    ClipClassifierOptions,
    Regressor,
    RegressorOptions,
    RowClassifier,
    RowClassifierOptions,
    TextClassifier,
    TextClassifierOptions,
)
from edgedl.options import options_from, suggest

if TYPE_CHECKING:
    from torch import nn

Options = (
    LenetOptions
    | VggOptions
    | AirbenchOptions
    | ResnetOptions
    | MobilenetOptions
    | RowClassifierOptions
    | CharLmOptions
    | TextClassifierOptions
    | ClipClassifierOptions
    | RegressorOptions
    | CaptionerOptions
)


class Network(Protocol):
    """What every network offers, besides being an ``nn.Module``."""

    @property
    def options(self) -> Options:
        """The record it was built from."""
        ...

    def parts(self) -> dict[str, nn.Module]:
        """Return role -> module with exactly the tensors of that role's graph, in their order.

        The arguments of a module's ``forward`` are named like the graph's inputs.
        """
        ...


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of network.

    Attributes:
        options: What a recipe may choose.
        sizes: What comes from the data, with the range of each.
        network: Made from both.
    """

    options: type[Options]
    sizes: Mapping[str, tuple[int, int]]
    network: Callable[..., nn.Module]


def families() -> dict[str, Family]:
    """Return every family by its name."""
    channels, classes, vocab = (1, 3), (2, 1 << 16), (5, 1 << 20)
    steps, side, columns = (1, 4096), (1, 8192), (1, 4096)
    picture = {"channels": channels, "classes": classes}
    resnet = Family(ResnetOptions, picture, Resnet)
    vgg = Family(VggOptions, picture, Vgg)
    mobilenet = Family(MobilenetOptions, picture, Mobilenet)
    sized = {"image_channels": channels, "size_hw": side, "classes": classes}
    return {
        "lenet": Family(LenetOptions, picture, Lenet),
        "airbench": Family(AirbenchOptions, picture, Airbench),
        "resnet18": resnet,
        "resnet20": resnet,
        "resnet50": resnet,
        "mobilenetv2": mobilenet,
        "mobilenetv3-small": mobilenet,
        "mobilenetv3-large": mobilenet,
        "vgg11": vgg,
        "vgg16": vgg,
        "row-classifier": Family(RowClassifierOptions, sized, RowClassifier),
        "char-lm": Family(CharLmOptions, {"vocab_size": vocab}, CharLm),
        "text-classifier": Family(
            TextClassifierOptions,
            {"vocab_size": vocab, "length": steps, "classes": classes},
            TextClassifier,
        ),
        "clip-classifier": Family(
            ClipClassifierOptions, {**sized, "frames": steps}, ClipClassifier
        ),
        "regressor": Family(
            RegressorOptions, {"inputs": columns, "outputs": columns, "window": steps}, Regressor
        ),
        "captioner": Family(CaptionerOptions, {"vocab_size": vocab}, Captioner),
    }


def model_options(table: Mapping[str, Any], where: str, others: Collection[str] = ()) -> Options:
    """Read a recipe's ``[model]``: ``family`` and that family's options, not the keys ``others``.

    Raises:
        ConfigError: E203 an unknown family or key, E204 a wrong type, E205 out of range.
    """
    known = families()
    family = table.get("family")
    if family not in known:
        hint = suggest(str(family), known) or f"; known: {', '.join(known)}"
        msg = f"{where}: unknown family {family!r}{hint}"
        raise ConfigError("E203", msg)
    return _options(known[family], table, where, others)


def model_table(options: Options, **sizes: int | tuple[int, ...]) -> dict[str, Any]:
    """Return what ``model.json`` says: the family, the options, and what comes from the data.

    Args:
        options: Of any family.
        sizes: Those of the family, see ``families``: e.g. ``channels=1, classes=10``.
    """
    table = {f.name: getattr(options, f.name) for f in dataclasses.fields(options)}
    family = table.pop("family", "captioner")
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in (sizes | table).items()}
    return {"family": family, **plain}


def build(table: Mapping[str, Any], where: str) -> nn.Module:
    """Build the ``Network`` that a ``model_table`` describes, with random weights.

    Args:
        table: The content of ``model.json``.
        where: Named in errors, e.g. its path.

    Raises:
        BundleError: E401 an unknown family, or a size is missing or out of range.
        ConfigError: E203, E204, E205 an option is wrong.
    """
    known = families()
    name = table.get("family")
    if name not in known:
        hint = suggest(str(name), known) or f"; known: {', '.join(known)}"
        msg = f"{where}: unknown family {name!r}{hint}"
        raise BundleError("E401", msg)
    family = known[name]
    sizes = {key: _size(key, table.get(key), limits, where) for key, limits in family.sizes.items()}
    options = _options(family, {k: v for k, v in table.items() if k not in sizes}, where)
    return family.network(options, **sizes)


def _options(
    family: Family, table: Mapping[str, Any], where: str, others: Collection[str] = ()
) -> Options:
    if family.options is CaptionerOptions:
        table = {k: v for k, v in table.items() if k != "family"}
    return options_from(family.options, table, where, others)


def _size(key: str, value: object, limits: tuple[int, int], where: str) -> int | tuple[int, ...]:
    low, high = limits
    numbers = value if key.endswith("_hw") and isinstance(value, (list, tuple)) else (value,)
    if (len(numbers) == 2) == key.endswith("_hw") and all(
        type(number) is int and low <= number <= high for number in numbers
    ):
        return tuple(numbers) if key.endswith("_hw") else numbers[0]
    wanted = "two numbers" if key.endswith("_hw") else "a number"
    msg = f"{where}: {key} must be {wanted} in {low}..{high}; got {value!r}"
    raise BundleError("E401", msg)
