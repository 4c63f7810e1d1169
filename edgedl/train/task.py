"""What a training needs to know about what it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from torch import Tensor, nn

from edgedl.errors import DataError

if TYPE_CHECKING:
    from edgedl.spec import ModelSpec

Batch = tuple[Tensor, ...]
Part = TypeVar("Part")


class Task(Protocol):
    """One kind of model, its data, and what is learnt from a batch.

    Whatever is random in a step comes from ``order.rng(seed, step)``, or from torch's own
    generator, which the loop seeds with both before it asks for the batch. So a training that goes
    on at step 700 needs no state of any generator to do what an uninterrupted one does.
    """

    @property
    def spec(self) -> ModelSpec:
        """How the network is fed and how its answer is read."""
        ...

    @property
    def model(self) -> Mapping[str, Any]:
        """What ``model.json`` says: enough for ``models.build`` to make ``kept`` again."""
        ...

    @property
    def network(self) -> nn.Module:
        """What is trained, float32, with its first weights."""
        ...

    @property
    def kept(self) -> nn.Module:
        """The part of ``network`` that the run keeps; most often ``network`` itself."""
        ...

    @property
    def steps_per_epoch(self) -> int | None:
        """None where every batch is fresh and there are no epochs."""
        ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """What ``data.json`` says: counts, digests, warnings; plain JSON values."""
        ...

    def batch(self, step: int) -> Batch:
        """Return what step ``step`` (0, 1, 2 …) learns from: a pure function of seed and step."""
        ...

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the mean loss, a scalar; called under autocast when that is faster."""
        ...

    def score(self, network: nn.Module) -> float:
        """Return the quality on ``val``, higher is better, not a number without ``val``.

        ``network`` is ``self.network`` or a copy of it with other weights, in evaluation mode.
        """
        ...

    def close(self) -> None:
        """End processes and close files."""
        ...


def train_part(splits: Mapping[str, Part]) -> Part:
    """Return what there is to learn from.

    Raises:
        DataError: E352 nothing is.
    """
    if "train" not in splits:
        msg = f"the data has nothing in train, only {', '.join(splits) or 'nothing'}; "
        raise DataError("E352", msg + "leave some of it out of data.val_part and data.test_part")
    return splits["train"]
