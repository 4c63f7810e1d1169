"""What the pipelines of all kinds have in common: a bundle, what was chosen, and its sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict

from edgedl.errors import BundleError, UsageError
from edgedl.runtime.session import Session, open_session

if TYPE_CHECKING:
    from edgedl.bundle import Bundle
    from edgedl.runtime.choose import Choice
    from edgedl.runtime.model import Model

_TENSORS = {
    ("captioning", "encoder"): (("image",), ("features", "h", "c")),
    ("captioning", "step"): (("token", "h_in", "c_in", "features"), ("logits", "h_out", "c_out")),
    ("classification", "model"): (("image",), ("logits",)),
    ("clip-classification", "encoder"): (("image",), ("features",)),
    ("clip-classification", "model"): (("features",), ("logits",)),
    ("text-classification", "model"): (("tokens",), ("logits",)),
    ("regression", "model"): (("window",), ("values",)),
}
"""Task and role to the names of inputs and outputs; a text generator checks its own."""


class RanBy(TypedDict):
    """What a result says of what made it."""

    backend: str
    precision: str
    model_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a pipeline answers.

    Attributes:
        text: The answer on one line, for people.
        stage_ms: Time of each stage.
        backend: What ran it.
        precision: Which graphs.
        model_hash: First 12 digits of the manifest's digest.
    """

    text: str
    stage_ms: Mapping[str, float]
    backend: str
    precision: str
    model_hash: str

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values, times rounded to microseconds."""
        table = {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {**table, "stage_ms": {stage: round(ms, 3) for stage, ms in self.stage_ms.items()}}


def check_takes_pictures(bundle: Bundle, who: str, tasks: tuple[str, ...]) -> None:
    """Refuse a bundle that the frames of a source are nothing for.

    Raises:
        UsageError: E102 its task is none of ``tasks``.
    """
    if bundle.manifest.task not in tasks:
        msg = (
            f"{bundle.path} is a {bundle.manifest.kind}; {who} takes models for "
            f"{', '.join(tasks)}: see edgedl run --help"
        )
        raise UsageError("E102", msg)


class Pipeline:
    """A bundle at work. Made by ``edgedl.load``; a context manager.

    Attributes:
        bundle: What it runs.
        choice: Backend and precision, and why those.
        model: The graphs and what they mean.
    """

    model: Model

    def __init__(self, bundle: Bundle, choice: Choice, threads: int) -> None:
        self.bundle = bundle
        self.choice = choice
        self.sessions: dict[str, Session] = {}
        with ExitStack() as opened:
            for role in bundle.model_spec.roles:
                self.sessions[role] = self._open(role, threads)
                opened.callback(self.sessions[role].close)
            self._opened = opened.pop_all()

    @property
    def backend(self) -> str:
        """Name of the runtime."""
        return self.choice.backend

    @property
    def precision(self) -> str:
        """Name of the graphs that run."""
        return self.choice.precision

    @property
    def model_hash(self) -> str:
        """First 12 digits of the manifest's digest."""
        return self.bundle.manifest.digest[:12]

    @property
    def ran_by(self) -> RanBy:
        """What results say of what made them."""
        return {
            "backend": self.backend,
            "precision": self.precision,
            "model_hash": self.model_hash,
        }

    def reset(self) -> None:
        """Forget what came before; for kinds that answer each sample by itself there is nothing."""

    @abstractmethod
    def check_fit(self) -> None:
        """Compare the graphs with the rest of the bundle.

        Raises:
            BundleError: E413 or E416 they do not fit.
        """

    def check_image(self, session: Session) -> None:
        """Compare a graph's input with the image spec."""
        spec, image = self.bundle.spec, session.inputs[0]
        if image.shape[1:] != spec.shape[1:] or image.dtype != spec.dtype:
            msg = (
                f"{self.bundle.path}: expected image of {spec.shape[1:]} {spec.dtype}; "
                f"got a graph for {image.shape[1:]} {image.dtype}"
            )
            raise BundleError("E413", msg)

    def check_width(self, session: Session, output: str, width: int, what: str) -> None:
        """Compare the last axis of an output with how many names there are for it."""
        shape = next(spec.shape for spec in session.outputs if spec.name == output)
        if isinstance(shape[-1], int) and shape[-1] != width:
            msg = f"{self.bundle.path}: the bundle has {width} {what}; got {output} {shape}"
            raise BundleError("E416", msg)

    def close(self) -> None:
        """Give back memory and threads; calling it twice is fine."""
        self._opened.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, role: str, threads: int) -> Session:
        """Open a graph from the bytes that were checked."""
        name = self.bundle.graph(role, self.precision)
        raw = self.bundle.read(name.relative_to(self.bundle.path).as_posix())
        session = open_session(raw, self.backend, threads, str(name))
        wanted = _TENSORS.get((self.bundle.model_spec.task, role))
        if wanted is None:
            return session
        for what, specs, names in (
            ("inputs", session.inputs, wanted[0]),
            ("outputs", session.outputs, wanted[1]),
        ):
            found = tuple(spec.name for spec in specs)
            if sorted(found) != sorted(names):
                msg = f"{name}: expected {what} {', '.join(names)}; got {', '.join(found)}"
                raise BundleError("E413", msg)
        return session
