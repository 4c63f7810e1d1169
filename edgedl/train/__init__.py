"""Training: from a recipe to a run folder."""

from __future__ import annotations

from edgedl.train.history import Progress
from edgedl.train.stop import Stopped

__all__ = ["Progress", "Stopped"]
