"""Where an export begins: with a run of ours, or with somebody else's model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgedl.deps import explain_missing
from edgedl.errors import UsageError

if TYPE_CHECKING:
    from edgedl.bundle.manifest import Parent
    from edgedl.evaluate import Evaluation
    from edgedl.export.options import ExportOptions
    from edgedl.export.replay import Feeds
    from edgedl.runtime.session import Session
    from edgedl.spec import ModelSpec

MODEL_ENDINGS = (".onnx", ".pt2")


class Origin(Protocol):
    """What an export is made of.

    Attributes:
        spec: How the model is fed and read.
        what: Of what the fp32 graphs must give the answers, for errors.
        is_sampled: Whether its samples are real; ranges found on made up ones are worth nothing.
    """

    spec: ModelSpec
    what: str
    is_sampled: bool

    @property
    def parent(self) -> Parent:
        """Return what the manifest names as the bundle's parent."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """Return what it was trained on and how that is split, as far as that is known."""
        ...

    @property
    def licences(self) -> tuple[str, ...]:
        """Return those of weights and data."""
        ...

    @property
    def curves_png(self) -> bytes | None:
        """Return the picture of its training, None if there is none."""
        ...

    @property
    def sessions(self) -> Mapping[str, Session]:
        """Return role to the network itself, which the fp32 graphs are held against."""
        ...

    def conversion_errors(self, feeds: Sequence[Feeds]) -> Mapping[str, float]:
        """Return what turning the source into ``sessions`` changed: output to relative error."""
        ...

    def write_graphs(self, folder: Path) -> None:
        """Write ``ROLE.fp32.onnx`` for each role of ``spec`` into ``folder``."""
        ...

    def samples(self, split: str, limit: int) -> Evaluation:
        """Return at most ``limit`` samples of ``train``, ``val`` or ``test``."""
        ...

    def explain_no_samples(self) -> str:
        """Say why there is nothing in ``test``, and what to do."""
        ...


def open_origin(path: Path, options: ExportOptions) -> Origin:
    """Open what is to be exported: a file is a model, a folder a run. Only the latter needs torch.

    Raises:
        UsageError: E130 an option changes nothing for a run.
        MissingDependencyError: E600 torch is not installed.
    """
    if path.is_file() or path.suffix.lower() in MODEL_ENDINGS:
        from edgedl.export.model_origin import ModelOrigin

        return ModelOrigin(path, options.spec, options.samples)
    if options.spec or options.samples:
        name = "--spec" if options.spec else "--calib"
        msg = f"{name} is for model files, a run knows its data; leave it out for {path}"
        raise UsageError("E130", msg)
    with explain_missing(f"exporting the run {path}"):
        from edgedl.export.run_origin import RunOrigin
    return RunOrigin(path)
