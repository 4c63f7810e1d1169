"""Tells whether held-out samples are still those that were held out when a run was trained."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgedl.evaluate.evaluation import Evaluation

log = logging.getLogger(__name__)


def warn_if_changed(evaluation: Evaluation, trained_on: Mapping[str, Any]) -> None:
    """Log that a split is another than it was at training: where chance splits, it leaks.

    Args:
        evaluation: Samples, read again. Only pictures know their digest.
        trained_on: What ``data.json`` of the run says.
    """
    then = trained_on.get("splits", {}).get(evaluation.split, {})
    now = getattr(evaluation, "sha256", "")
    if then.get("sha256") and now and then["sha256"] != now:
        log.warning(
            "the split %s is not what it was when training read the data: pictures were added, "
            "removed or changed, or are decoded otherwise here; some of it may have been learnt, "
            "so that its quality is worth little",
            evaluation.split,
        )
