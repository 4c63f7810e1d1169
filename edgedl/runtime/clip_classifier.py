"""Says what happens in a clip: features of each frame, and a network that reads them in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.bundle import Expected, Given
from edgedl.errors import BundleError
from edgedl.frame import Frame
from edgedl.runtime.base import Pipeline
from edgedl.runtime.classifier import LabelResult, label_expected, label_result
from edgedl.runtime.lots import in_lots
from edgedl.runtime.stages import timed

if TYPE_CHECKING:
    from edgedl.runtime.preprocess import FramePreprocessor
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import ModelSpec


class ClipClassifier:
    """The model, see ``edgedl.runtime.model.Model``.

    Args:
        spec: Of a clip-classification model.
        sessions: ``encoder`` and ``model``.
        preprocess: Makes a picture the network's input.
    """

    compared: tuple[str, ...] = ("features", "logits")

    def __init__(
        self,
        spec: ModelSpec,
        sessions: Mapping[str, Session],
        preprocess: FramePreprocessor,
    ) -> None:
        assert spec.clip is not None
        self.spec, self.clip = spec, spec.clip
        self.encoder, self.session = sessions["encoder"], sessions["model"]
        self.preprocess = preprocess

    def prepare(self, given: Given) -> Array:
        """Return the tensors of a clip's frames, (1, T, C, H, W)."""
        return np.concatenate([self.preprocess(frame) for frame in given.pictures])[None]

    def expect(self, tensor: Array) -> Expected:
        """Return label, probability, features and logits of one clip (1, T, C, H, W)."""
        features = self.features(tensor[0])
        expected = label_expected(self.logits(features[None]), self.spec.labels)
        arrays = {"features": features.astype(np.float32), **expected.arrays}
        return Expected(expected.output, arrays)

    def features(self, tensors: Array) -> Array:
        """Return (n, D) for any number of frames (n, C, H, W)."""
        return in_lots(lambda lot: self.encoder.run({"image": lot})["features"], tensors)

    def logits(self, features: Array) -> Array:
        """Return (n, K) for any number of clips (n, T, D)."""
        return in_lots(lambda lot: self.session.run({"features": lot})["logits"], features)

    def clip_logits(self, clips: Array) -> Array:
        """Return (n, K) for clips (n, T, C, H, W)."""
        features = self.features(clips.reshape(-1, *clips.shape[2:]))
        return self.logits(features.reshape(*clips.shape[:2], -1))


class ClipPipeline(Pipeline):
    """Classifies what happens in a stream: a window that slides over its frames.

    Made by ``load``; a context manager. Each frame goes through the encoder once. A camera that was
    away and came back begins a new window.

    Attributes:
        top: How many classes a result lists.
    """

    model: ClipClassifier
    top = 5
    _skip = 0
    _connection = 0

    def __call__(self, picture: Frame | Any) -> LabelResult | None:
        """Take the next frame of the stream.

        Args:
            picture: A ``Frame``, or pixels in the ``source_format`` of ``load``.

        Returns:
            What happens in the last T frames; None while the window fills, and for the frames
            between those that the clip takes.

        Raises:
            UsageError: The pixels do not have the shape or type of their format.
        """
        if isinstance(picture, Frame) and picture.connection != self._connection:
            self.reset()
            self._connection = picture.connection
        if self._skip:
            self._skip -= 1
            return None
        self._skip = self.model.clip.every - 1
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "preprocess"):
            tensor = self.model.preprocess(picture)
        with timed(stage_ms, "encode"):
            self._window.append(self.model.features(tensor)[0])
        if len(self._window) < self.model.clip.frames:
            return None
        with timed(stage_ms, "infer"):
            logits = self.model.logits(np.stack(self._window)[None])
        return label_result(logits, self.model.spec.labels, self.top, stage_ms, self.ran_by)

    def whole(self, frames: Sequence[Frame | Any]) -> LabelResult:
        """Classify one clip of T frames; the window stays as it is."""
        stage_ms: dict[str, float] = {}
        with timed(stage_ms, "preprocess"):
            tensors = np.concatenate([self.model.preprocess(frame) for frame in frames])
        with timed(stage_ms, "encode"):
            features = self.model.features(tensors)
        with timed(stage_ms, "infer"):
            logits = self.model.logits(features[None])
        return label_result(logits, self.model.spec.labels, self.top, stage_ms, self.ran_by)

    def reset(self) -> None:
        """Forget the frames so far: a new stream begins."""
        self._window: deque[Array] = deque(maxlen=self.model.clip.frames)
        self._skip = self._connection = 0

    def check_fit(self) -> None:
        """Compare the graphs with the specs and the labels."""
        self.check_image(self.model.encoder)
        self.check_width(self.model.session, "logits", len(self.model.spec.labels), "labels")
        features = self.model.session.inputs[0]
        if features.shape[1] != self.model.clip.frames:
            msg = (
                f"{self.bundle.path}: the clip has {self.model.clip.frames} frames; "
                f"got a graph for {features.shape}"
            )
            raise BundleError("E413", msg)
        self.reset()
