"""Training: from a recipe to a run folder."""

from __future__ import annotations
