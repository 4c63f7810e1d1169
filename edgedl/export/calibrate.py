"""What INT8 ranges are found on: the run's own training samples, prepared as a user's are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edgedl.errors import DataError
from edgedl.printable import counted

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
        tensors: (n, …) as the network gets them; of tensor models n tables of arrays.
        sha256: Digest of the tensors in order, of a table its arrays in the order of the inputs.
        warnings: What is wrong with them, for the user and the report.
    """

    tensors: Any
    sha256: str
    warnings: tuple[str, ...]


def calibration_of(
    evaluation: Evaluation, *, is_sampled: bool = True, reported: Evaluation | None = None
) -> Calibration:
    """Look at the samples to calibrate on, and take their tensors.

    Args:
        evaluation: The samples.
        is_sampled: They are real, and not made up.
        reported: Those that quality is measured on.

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
    if not is_sampled:
        warnings.append(
            f"{n} samples were made up of random numbers, for none were given: quality and ranges "
            "say little about real ones; give some with --calib DIR"
        )
    elif n < ENOUGH:
        warnings.append(
            f"only {counted(n, 'calibration sample')}; {ENOUGH} or more give INT8 ranges to rely on"
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
    whole, different = hashlib.sha256(), set()
    for tensor in evaluation.tensors:
        raw = _bytes(tensor)
        whole.update(raw)
        different.add(hashlib.sha256(raw).digest())
    if len(different) < n / 2:
        warnings.append(f"more than half of {n} calibration samples are repetitions")
    if is_sampled and n < ENOUGH and _share(different, reported):
        warnings.append(
            "quality is measured on samples that the ranges were found on, so nothing is held out; "
            "give more samples"
        )
    for text in warnings:
        log.warning("calibration: %s", text)
    return Calibration(evaluation.tensors, whole.hexdigest(), tuple(warnings))


def _share(digests: set[bytes], reported: Evaluation | None) -> bool:
    """Return whether samples to measure on are mostly ones of which the digests are given."""
    if reported is None:
        return False
    known = [hashlib.sha256(_bytes(tensor)).digest() in digests for tensor in reported.tensors]
    return 2 * sum(known) > len(known)


def _bytes(tensor: Any) -> bytes:
    """Return the bytes of an array, or of a table of arrays, in C order."""
    arrays = tensor.values() if isinstance(tensor, Mapping) else [tensor]
    return b"".join(np.asarray(array).tobytes() for array in arrays)
