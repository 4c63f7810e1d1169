"""From a frame to a caption: pre-processing, two sessions, and the search between them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from edgedl.bundle import Bundle
from edgedl.errors import BundleError
from edgedl.frame import Frame, PixelFormat
from edgedl.runtime.choose import Choice, choose
from edgedl.runtime.decode import Decoded, greedy
from edgedl.runtime.preprocess import Preprocessor
from edgedl.runtime.session import Array, Session, open_session

INPUTS = {"encoder": ("image",), "step": ("token", "h_in", "c_in", "features")}
OUTPUTS = {"encoder": ("features", "h", "c"), "step": ("logits", "h_out", "c_out")}


@dataclass(frozen=True, slots=True)
class CaptionResult:
    """What was seen in one frame.

    Attributes:
        text: The caption.
        log_prob: Natural log of its probability; <= 0.
        is_complete: False when it was cut at the longest length.
        stage_ms: Time of ``preprocess``, ``encode`` and ``decode_text``.
        backend: What ran it.
        precision: Which graphs.
        model_hash: First 12 digits of the manifest's digest.
    """

    text: str
    log_prob: float
    is_complete: bool
    stage_ms: Mapping[str, float]
    backend: str
    precision: str
    model_hash: str

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values, times rounded to microseconds."""
        rounded = {stage: round(ms, 3) for stage, ms in self.stage_ms.items()}
        return {**asdict(self), "log_prob": round(self.log_prob, 6), "stage_ms": rounded}


class Pipeline:
    """Captions frames with one bundle. Made by ``load``; a context manager.

    Attributes:
        bundle: What it runs.
        choice: Backend and precision, and why those.
        encoder: Session from picture to features and first state.
        step: Session from one token and state to the next.
    """

    def __init__(
        self, bundle: Bundle, choice: Choice, source_format: PixelFormat, threads: int
    ) -> None:
        self.bundle = bundle
        self.choice = choice
        self._source_format = source_format
        self._preprocessors: dict[str, Preprocessor] = {}
        self._preprocessor(source_format)
        self.encoder = self._open("encoder", threads)
        self.step = self._open("step", threads)
        self._vocab = bundle.vocab
        _check_fit(self)

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

    def __call__(self, picture: Frame | Any) -> CaptionResult:
        """Caption one picture.

        Args:
            picture: A ``Frame``, or pixels in the ``source_format`` of ``load``.

        Raises:
            UsageError: The pixels do not have the shape or type of their format.
        """
        started = time.perf_counter_ns()
        tensor = self.preprocess(picture)
        preprocessed = time.perf_counter_ns()
        seen = self.encoder.run({"image": tensor})
        encoded = time.perf_counter_ns()
        decoded = self._decode(seen)[0]
        done = time.perf_counter_ns()
        return CaptionResult(
            text=decoded.text,
            log_prob=decoded.log_prob,
            is_complete=decoded.is_complete,
            stage_ms={
                "preprocess": (preprocessed - started) / 1e6,
                "encode": (encoded - preprocessed) / 1e6,
                "decode_text": (done - encoded) / 1e6,
            },
            backend=self.backend,
            precision=self.precision,
            model_hash=self.model_hash,
        )

    def preprocess(self, picture: Frame | Any) -> Array:
        """Return the encoder's input of one picture, (1, C, H, W)."""
        if isinstance(picture, Frame):
            return self._preprocessor(picture.pixel_format)(picture.pixels)
        return self._preprocessor(self._source_format)(picture)

    def batch(self, tensors: Array) -> list[Decoded]:
        """Caption pre-processed pictures together.

        Args:
            tensors: (N, C, H, W) as the bundle's spec says.

        Returns:
            One caption each.
        """
        return self._decode(self.encoder.run({"image": tensors}))

    def close(self) -> None:
        """Give back memory and threads; calling it twice is fine."""
        self.encoder.close()
        self.step.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _decode(self, seen: Mapping[str, Array]) -> list[Decoded]:
        max_tokens = self.bundle.manifest.decode.max_tokens
        return greedy(self.step, seen["features"], seen["h"], seen["c"], self._vocab, max_tokens)

    def _preprocessor(self, pixel_format: PixelFormat) -> Preprocessor:
        """Return the pre-processing of frames of that format, made when first needed."""
        if pixel_format not in self._preprocessors:
            self._preprocessors[pixel_format] = Preprocessor(self.bundle.spec, pixel_format)
        return self._preprocessors[pixel_format]

    def _open(self, role: str, threads: int) -> Session:
        """Open a graph from the bytes that were checked."""
        name = self.bundle.graph(role, self.precision)
        raw = self.bundle.read(name.relative_to(self.bundle.path).as_posix())
        session = open_session(raw, self.backend, threads, str(name))
        for what, specs, wanted in (
            ("inputs", session.inputs, INPUTS[role]),
            ("outputs", session.outputs, OUTPUTS[role]),
        ):
            found = tuple(spec.name for spec in specs)
            if sorted(found) != sorted(wanted):
                msg = f"{name}: expected {what} {', '.join(wanted)}; got {', '.join(found)}"
                raise BundleError("E413", msg)
        return session


def load(
    path: Path | str | Bundle,
    backend: str = "auto",
    precision: str = "auto",
    source_format: PixelFormat = "bgr8",
    threads: int = 1,
) -> Pipeline:
    """Open a bundle to caption frames with.

    Args:
        path: The bundle's folder, or an opened bundle.
        backend: ``"auto"`` or ``"onnxruntime"``.
        precision: ``auto fp32 fp16 int8``; auto takes the fastest that kept its quality.
        source_format: Pixel format of bare arrays; a ``Frame`` says its own.
        threads: CPU threads of one inference, >= 1.

    Raises:
        EdgedlError: The bundle, a graph of it, or an argument is wrong; see ``Bundle.open``,
            ``choose`` and ``open_session``.
    """
    bundle = path if isinstance(path, Bundle) else Bundle.open(path)
    return Pipeline(bundle, choose(bundle.manifest, backend, precision), source_format, threads)


def _check_fit(pipeline: Pipeline) -> None:
    """Compare the graphs with the image spec and the vocabulary."""
    wanted = pipeline.bundle.spec.shape[1:]
    image = pipeline.encoder.inputs[0]
    if image.shape[1:] != wanted or image.dtype != pipeline.bundle.spec.dtype:
        msg = (
            f"{pipeline.bundle.path}: encoder expected image of {wanted} "
            f"{pipeline.bundle.spec.dtype}; got {image.shape[1:]} {image.dtype}"
        )
        raise BundleError("E413", msg)
    logits = next(spec for spec in pipeline.step.outputs if spec.name == "logits")
    words = len(pipeline.bundle.vocab)
    if isinstance(logits.shape[-1], int) and logits.shape[-1] != words:
        msg = f"{pipeline.bundle.path}: vocabulary has {words} tokens; got logits {logits.shape}"
        raise BundleError("E416", msg)
