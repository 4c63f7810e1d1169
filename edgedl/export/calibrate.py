"""What INT8 ranges are found on: the run's own pictures, pre-processed as a camera's are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnxruntime.quantization import CalibrationDataReader

from edgedl.errors import DataError
from edgedl.runtime.preprocess import Preprocessor
from edgedl.vocab import BOS, EOS

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.runtime.session import Session
    from edgedl.spec import ImageSpec

log = logging.getLogger(__name__)

F32Array = npt.NDArray[np.float32]
Feeds = dict[str, npt.NDArray[Any]]

ENOUGH = 128
"""Below this many pictures the ranges of INT8 are a gamble, and export says so."""

_FLAT_STD = 1.0  # of 255: a picture with less is a covered lens or a test card


@dataclass(frozen=True, slots=True)
class CalibrationPictures:
    """Pre-processed pictures.

    Attributes:
        tensors: (n, 3, H, W) float32.
        sha256: Digest of the tensors in order.
        warnings: What is wrong with them, for the user and the report.
    """

    tensors: F32Array
    sha256: str
    warnings: tuple[str, ...]


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands feeds to ONNX Runtime's calibrator, as often as it starts over."""

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self.feeds = feeds
        self._rest: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        """Return the next feeds, None at the end."""
        return next(self._rest, None)

    def rewind(self) -> None:
        """Start over."""
        self._rest = iter(self.feeds)


def pre_process(spec: ImageSpec, frames: Sequence[U8Image]) -> F32Array:
    """Return the network's input for bgr8 ``frames``, (n, C, H, W), by the one definition."""
    preprocessor = Preprocessor(spec, source_format="bgr8")
    out = np.empty((len(frames), *spec.shape[1:]), np.float32)
    for index, frame in enumerate(frames):
        preprocessor.into(frame, out[index : index + 1])
    return out


def calibration_pictures(spec: ImageSpec, frames: Sequence[U8Image]) -> CalibrationPictures:
    """Pre-process the pictures to calibrate on, and look at them first.

    Raises:
        DataError: E353 there is none, E354 all are flat: no range can be learnt from them.
    """
    if not frames:
        msg = "no calibration pictures; INT8 needs some: train on data that has a train split"
        raise DataError("E353", msg)
    flat = sum(float(frame.std()) < _FLAT_STD for frame in frames)
    if flat == len(frames):
        msg = f"all {flat} calibration pictures are a single colour; look at the training data"
        raise DataError("E354", msg)
    warnings = []
    if len(frames) < ENOUGH:
        warnings.append(
            f"only {len(frames)} calibration pictures; {ENOUGH} or more give INT8 ranges to rely on"
        )
    if flat:
        warnings.append(f"{flat} of {len(frames)} calibration pictures are a single colour")
    if len({hashlib.sha256(frame.tobytes()).digest() for frame in frames}) < len(frames) / 2:
        warnings.append(f"more than half of {len(frames)} calibration pictures are repetitions")
    for text in warnings:
        log.warning("calibration: %s", text)
    tensors = pre_process(spec, frames)
    digest = hashlib.sha256(np.ascontiguousarray(tensors).data).hexdigest()
    return CalibrationPictures(tensors, digest, tuple(warnings))


def encoder_feeds(tensors: F32Array, batch: int = 16) -> list[Feeds]:
    """Return the pictures in batches, as the encoder takes them."""
    return [{"image": tensors[i : i + batch]} for i in range(0, len(tensors), batch)]


def step_feeds(
    encoder: Session, step: Session, pictures: Sequence[Feeds], max_tokens: int
) -> list[Feeds]:
    """Return what the step really sees: its inputs while it captions ``pictures``.

    Pictures whose caption has ended leave the batch, so that no range is learnt from states after
    the end.

    Args:
        encoder: The fp32 encoder.
        step: The fp32 step.
        pictures: From ``encoder_feeds``.
        max_tokens: Where captions are cut.
    """
    feeds: list[Feeds] = []
    for picture in pictures:
        seen: Mapping[str, npt.NDArray[Any]] = encoder.run(picture)
        features, h, c = (np.asarray(seen[name]) for name in ("features", "h", "c"))
        token = np.full(len(features), BOS, np.int64)
        for _ in range(max_tokens):
            feeds.append({"token": token, "h_in": h, "c_in": c, "features": features})
            out = step.run(feeds[-1])
            token = np.asarray(out["logits"]).argmax(axis=1)
            going = token != EOS
            if not going.any():
                break
            token, features = token[going], features[going]
            h, c = np.asarray(out["h_out"])[going], np.asarray(out["c_out"])[going]
    return feeds
