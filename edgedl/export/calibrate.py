"""What INT8 ranges are found on: the run's own training samples, prepared as a user's are."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgedl.errors import DataError

if TYPE_CHECKING:
    from edgedl.evaluate import Evaluation

log = logging.getLogger(__name__)

ENOUGH = 128
"""Below this many samples the ranges of INT8 are a gamble, and export says so."""

_FLAT_STD = 1.0  # of 255: a picture with less is a covered lens or a test card


@dataclass(frozen=True, slots=True)
class Calibration:
    """Prepared samples.

    Attributes:
        tensors: (n, …) as the network gets them.
        sha256: Digest of the tensors in order.
        warnings: What is wrong with them, for the user and the report.
    """

    tensors: npt.NDArray[Any]
    sha256: str
    warnings: tuple[str, ...]


def calibration_of(evaluation: Evaluation) -> Calibration:
    """Look at the samples to calibrate on, and take their tensors.

    Raises:
        DataError: E353 there is none, E354 all pictures are flat: no range can be learnt from
            them.
    """
    n = len(evaluation)
    if not n:
        msg = (
            "nothing to calibrate on; fp16 and INT8 need samples: train on data that has a train "
            "split"
        )
        raise DataError("E353", msg)
    warnings = []
    if n < ENOUGH:
        warnings.append(
            f"only {n} calibration samples; {ENOUGH} or more give INT8 ranges to rely on"
        )
    is_flat = [
        float(picture.std()) < _FLAT_STD
        for i in range(n)
        for picture in evaluation.inputs(i).pictures
    ]
    flat = sum(is_flat)
    if is_flat and all(is_flat):
        msg = f"all {flat} calibration pictures are a single colour; look at the training data"
        raise DataError("E354", msg)
    if flat:
        warnings.append(f"{flat} of {len(is_flat)} calibration pictures are a single colour")
    tensors = np.ascontiguousarray(evaluation.tensors)
    if len({hashlib.sha256(tensor.tobytes()).digest() for tensor in tensors}) < n / 2:
        warnings.append(f"more than half of {n} calibration samples are repetitions")
    for text in warnings:
        log.warning("calibration: %s", text)
    return Calibration(tensors, hashlib.sha256(tensors.data).hexdigest(), tuple(warnings))
