"""Training: from a recipe to a run folder."""

from __future__ import annotations

from edgedl.train.history import Progress
from edgedl.train.job import train
from edgedl.train.run_folder import Run
from edgedl.train.stop import Stopped

__all__ = ["Progress", "Run", "Stopped", "train"]
