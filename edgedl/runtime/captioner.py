"""Captions pictures: an encoder that sees, and a step that says one word after another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.bundle.manifest import DecodeOptions
from edgedl.errors import UsageError
from edgedl.runtime.base import Pipeline, Result
from edgedl.runtime.decode import Decoded, beam, greedy
from edgedl.runtime.stages import timed
from edgedl.vocab import BOS, Vocab

if TYPE_CHECKING:
    from edgedl.frame import Frame
    from edgedl.runtime.lots import Rows
    from edgedl.runtime.model import Model
    from edgedl.runtime.preprocess import FramePreprocessor
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec


class Captioner:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a captioning model.
        sessions: ``encoder`` and ``step``.
        preprocess: Makes a picture the encoder's input.
        decode: How captions are searched.

    Attributes:
        search: How captions are searched; may be replaced at any time.
    """

    compared: tuple[str, ...] = ("features", "logits")

    def __init__(
        self,
        spec: ModelSpec,
        sessions: Mapping[str, Session],
        preprocess: FramePreprocessor,
        decode: DecodeOptions | None = None,
    ) -> None:
        self.spec = spec
        self.encoder, self.step = sessions["encoder"], sessions["step"]
        self.vocab = Vocab(spec.tokens)
        self.search = decode or DecodeOptions()
        self.preprocess = preprocess

    def prepare(self, given: Given) -> Array:
        """Return the picture's tensor, (1, C, H, W)."""
        return self.preprocess(given.pictures[0])

    def expect(self, tensor: Array) -> Expected:
        """Return the caption of one tensor, what was seen, and the first word's logits."""
        seen = self.encoder.run({"image": tensor})
        feeds = {"h_in": seen["h"], "c_in": seen["c"], "features": seen["features"]}
        first = self.step.run({"token": np.full(1, BOS, np.int64), **feeds})
        caption = self.decode(seen)[0]
        arrays = {name: seen[name][0].astype(np.float32) for name in ("features", "h", "c")}
        arrays["logits"] = first["logits"][0].astype(np.float32)
        return Expected({"text": caption.text, "log_prob": caption.log_prob}, arrays)

    def encode(self, tensors: Array) -> dict[str, Array]:
        """Return ``features`` (N, P, D), ``h`` and ``c`` (N, H) of pictures (N, C, H, W)."""
        return self.encoder.run({"image": tensors})

    def decode(self, seen: Mapping[str, Array]) -> list[Decoded]:
        """Return the captions of what ``encode`` saw."""
        start = (self.step, seen["features"], seen["h"], seen["c"], self.vocab)
        if self.search.method == "beam":
            return beam(*start, self.search)
        return greedy(*start, self.search.max_tokens)

    def captions(self, tensors: Rows, lot: int = 64) -> list[Decoded]:
        """Caption any number of pictures (n, C, H, W).

        Args:
            tensors: Prepared pictures.
            lot: Pictures per call. 1 where activations are quantised at run time: their range is
                that of all pictures of a call, and a camera sends one.
        """
        lots = range(0, len(tensors), lot)
        return [text for i in lots for text in self.decode(self.encode(tensors[i : i + lot]))]


def change_search(model: Model, changes: Mapping[str, float]) -> None:
    """Search captions in another way than the bundle says.

    Args:
        model: A captioner, unless there are no changes.
        changes: Names of ``DecodeOptions`` to values, e.g. ``{"beams": 5}``.

    Raises:
        UsageError: E130 the model is no captioner.
        ConfigError: E205 a value is out of range.
    """
    if not changes:
        return
    if not isinstance(model, Captioner):
        name = next(iter(changes)).replace("_", "-")
        msg = f"--{name} changes nothing for a model for {model.spec.task}; leave it out"
        raise UsageError("E130", msg)
    model.search = model.search.changed(changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionResult(Result):
    """What was seen in one frame.

    Attributes:
        log_prob: Natural log of the caption's probability; <= 0.
        is_complete: False when it was cut at the longest length.
        alternatives: Other captions with their log-probabilities, best first, of beam search.
    """

    log_prob: float
    is_complete: bool
    alternatives: tuple[tuple[str, float], ...] = ()


class CaptionPipeline(Pipeline):
    """Captions frames with one bundle. Made by ``load``; a context manager."""

    model: Captioner

    def __call__(self, picture: Frame | Any) -> CaptionResult:
        """Caption one picture.

        Args:
            picture: A ``Frame``, or pixels in the ``source_format`` of ``load``.

        Raises:
            UsageError: The pixels do not have the shape or type of their format.
        """
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "preprocess"):
            tensor = self.model.preprocess(picture)
        with timed(stage_ms, "encode"):
            seen = self.model.encode(tensor)
        with timed(stage_ms, "decode_text"):
            decoded = self.model.decode(seen)[0]
        return CaptionResult(
            text=decoded.text,
            log_prob=decoded.log_prob,
            is_complete=decoded.is_complete,
            alternatives=tuple((one.text, one.log_prob) for one in decoded.alternatives),
            stage_ms=stage_ms,
            **self.ran_by,
        )

    def preprocess(self, picture: Frame | Any) -> Array:
        """Return the encoder's input of one picture, (1, C, H, W)."""
        return self.model.preprocess(picture)

    def batch(self, tensors: Array) -> list[Decoded]:
        """Caption pre-processed pictures (N, C, H, W) together."""
        return self.model.decode(self.model.encode(tensors))

    def check_fit(self) -> None:
        """Compare the graphs with the image spec and the vocabulary."""
        self.check_image(self.model.encoder)
        self.check_width(self.model.step, "logits", len(self.model.vocab), "tokens")
