"""Pictures of a training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from edgedl.train.fit import History


def draw_curves(history: History, path: Path) -> None:
    """Write loss, learning rate and validation score over the steps as a PNG."""
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True)
    steps, losses, rates = zip(*history.losses, strict=True)
    upper.semilogy(steps, losses, color="tab:blue")
    upper.set_ylabel("loss")
    upper.grid(alpha=0.3)
    at, scores = zip(*history.scores, strict=True)
    lower.plot(at, scores, "o-", color="tab:green")
    lower.set_ylim(0, 1)
    lower.set_ylabel("exact on val")
    lower.set_xlabel("step")
    lower.grid(alpha=0.3)
    rate = lower.twinx()
    rate.plot(steps, rates, ":", color="gray")
    rate.set_ylabel("learning rate")
    figure.suptitle(
        f"{history.steps} steps in {history.seconds:.0f} s, {history.precision}, "
        f"best {history.best_score:.1%}"
    )
    figure.savefig(path, dpi=100)
