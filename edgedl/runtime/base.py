"""What the pipelines of all kinds have in common: a bundle, what was chosen, and its sessions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from edgedl.errors import BundleError, UsageError
from edgedl.runtime.engine_file import engine_of
from edgedl.runtime.session import ENGINE_BACKENDS, Session, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from edgedl.bundle import Bundle
    from edgedl.engines.tensorrt_api import Package
    from edgedl.runtime.choose import Choice
    from edgedl.runtime.model import Model
    from edgedl.spec import TensorSpec

_TENSORS = {
    ("captioning", "encoder"): (
        {"image": "NCHW"},
        {"features": "NPD", "h": "NH", "c": "NH"},
    ),
    ("captioning", "step"): (
        {"token": "N", "h_in": "NH", "c_in": "NH", "features": "NPD"},
        {"logits": "NV", "h_out": "NH", "c_out": "NH"},
    ),
    ("classification", "model"): ({"image": "NCHW"}, {"logits": "NK"}),
    ("clip-classification", "encoder"): ({"image": "NCHW"}, {"features": "ND"}),
    ("clip-classification", "model"): ({"features": "NTD"}, {"logits": "NK"}),
    ("text-generation", "step"): (
        {"token": "N", "h_in": "NLH", "c_in": "NLH"},
        {"logits": "NV", "h_out": "NLH", "c_out": "NLH"},
    ),
    ("text-classification", "model"): ({"tokens": "NT"}, {"logits": "NK"}),
    ("regression", "model"): ({"window": "NTF"}, {"values": "NO"}),
}
"""Task and role to inputs and outputs with their axes; all but N have a fixed size."""


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

    def __init__(
        self, bundle: Bundle, choice: Choice, threads: int, allow_prebuilt_engine: bool = False
    ) -> None:
        self.bundle = bundle
        self.choice = choice
        self._allow_prebuilt_engine = allow_prebuilt_engine
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
        if image.shape[1:] != spec.shape[1:]:
            msg = (
                f"{self.bundle.path}: expected image of {spec.shape[1:]}; "
                f"got a graph for {image.shape[1:]}"
            )
            raise BundleError("E413", msg)

    def check_width(self, session: Session, output: str, width: int, what: str) -> None:
        """Compare the last axis of an output with how many names there are for it."""
        shape = next(spec.shape for spec in session.outputs if spec.name == output)
        if shape[-1] != width:
            msg = f"{self.bundle.path}: the bundle has {width} {what}; got {output} {shape}"
            raise BundleError("E416", msg)

    def close(self) -> None:
        """Give back memory and threads; calling it twice is fine."""
        self._opened.close()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _open(self, role: str, threads: int) -> Session:
        """Open a graph, or the engine built from it, from the bytes that were checked."""
        name = self.bundle.graph(role, self.precision)
        file = name.relative_to(self.bundle.path).as_posix()
        raw: bytes | memoryview
        if self.backend in ENGINE_BACKENDS:
            name, raw = self._engine(role)
        elif name.suffix == ".safetensors":
            raw = self.bundle.map(file)
        else:
            raw = self.bundle.read(file)
        session = open_session(raw, self.backend, threads, str(name))
        task = self.bundle.model_spec.task
        if task == "tensor":
            self._check_declared(session, role)
            return session
        ins, outs = _TENSORS[task, role]
        if task == "text-generation" and "c_in" not in [s.name for s in session.inputs]:
            ins, outs = ({k: v for k, v in side.items() if k[0] != "c"} for side in (ins, outs))
        for what, specs, wanted in (
            ("inputs", session.inputs, ins),
            ("outputs", session.outputs, outs),
        ):
            found = tuple(spec.name for spec in specs)
            if sorted(found) != sorted(wanted):
                msg = f"{name}: expected {what} {', '.join(wanted)}; got {', '.join(found)}"
                raise BundleError("E413", msg)
            for spec in specs:
                self._check_tensor(spec, wanted[spec.name], name)
        return session

    def _check_declared(self, session: Session, role: str) -> None:
        """Compare names, types and ranks with what the manifest says of the graph."""
        graph = self.bundle.find_graph(role, self.precision)
        assert graph is not None
        for what, found, told in (
            ("inputs", session.inputs, graph.inputs),
            ("outputs", session.outputs, graph.outputs),
        ):
            kinds = [[(s.name, s.dtype, len(s.shape)) for s in side] for side in (found, told)]
            if kinds[0] != kinds[1]:
                msg = (
                    f"{self.bundle.path / graph.file}: expected {what} (name, type, rank) "
                    f"{kinds[1]}; got {kinds[0]}"
                )
                raise BundleError("E413", msg)

    def _engine(self, role: str) -> tuple[Path, bytes]:
        package: Package = "tensorrt" if self.backend == "tensorrt" else "tensorrt_rtx"
        allowed = self._allow_prebuilt_engine
        found = engine_of(self.bundle, role, self.precision, package, allowed)
        return found.path, found.plan

    def _check_tensor(self, spec: TensorSpec, axes: str, graph: Path) -> None:
        """Compare type, rank and sizes of an input or output with what the task has."""
        dtype = "int64" if spec.name in ("token", "tokens") else "float32"
        if spec.name == "image":
            dtype = self.bundle.spec.dtype
        is_fixed = all(isinstance(size, int) for size in spec.shape[1:])
        if spec.dtype != dtype or len(spec.shape) != len(axes) or not is_fixed:
            msg = (
                f"{graph}: expected {spec.name} ({', '.join(axes)}) {dtype}, "
                f"all sizes but N fixed; got ({', '.join(map(str, spec.shape))}) {spec.dtype}"
            )
            raise BundleError("E413", msg)
