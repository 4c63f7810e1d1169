"""The pictures of a training's report, drawn by matplotlib and kept as PNG.

Names from the data are not in them: matplotlib has fonts for few scripts.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from edgedl.html_page import escape, png_uri

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgedl.train.history import History


def curves(history: History) -> bytes:
    """Return loss, learning rate and validation score over the steps."""
    figure, (upper, lower) = _figure(8, 6, 2)
    steps, losses, rates = zip(*history.losses, strict=True)
    if min(losses) > 0:
        upper.semilogy(steps, losses, color="tab:blue")
        for axis in (upper.yaxis.set_major_formatter, upper.yaxis.set_minor_formatter):
            axis(ScalarFormatter())
    else:
        upper.plot(steps, losses, color="tab:blue")
    upper.set_ylabel("loss")
    upper.grid(alpha=0.3)
    lower.set_xlabel("step")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    lower.grid(alpha=0.3)
    rate = lower
    if history.scores:
        at, scores = zip(*history.scores, strict=True)
        lower.plot(at, scores, "o-", color="tab:green")
        lower.set_ylabel("score on val")
        rate = lower.twinx()
    rate.plot(steps, rates, ":", color="gray")
    rate.set_ylabel("learning rate")
    best = "" if history.best_score is None else f", best {history.best_score:.4g}"
    title = f"{history.steps} steps in {history.seconds:.0f} s, {history.precision}{best}"
    figure.suptitle(title)
    return _png(figure)


def heat_map(values: npt.NDArray[np.float64], across: str, down: str) -> bytes:
    """Return values (n, m) of 0..1, the larger the darker."""
    side = min(12.0, 2.5 + 0.42 * len(values))
    figure, (axes,) = _figure(side, side, 1)
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    return _png(figure)


def reliability(bins: Sequence[tuple[float, float, int]], ece: float) -> bytes:
    """Return how often the network is right against how sure it is.

    Args:
        bins: Mean confidence, part that is right, and number of samples of each.
        ece: Expected calibration error, 0..1.
    """
    figure, (upper, lower) = _figure(5, 5, 2)
    sure, right, counts = zip(*(b for b in bins if b[2]), strict=True)
    upper.plot([0, 1], [0, 1], ":", color="gray")
    upper.plot(sure, right, "o-", color="tab:blue")
    upper.set_ylabel("part that is right")
    upper.set_title(f"expected calibration error {ece:.2%}")
    upper.grid(alpha=0.3)
    lower.bar(sure, counts, width=0.05, color="tab:gray")
    lower.set_yscale("log")
    lower.set_ylabel("samples")
    lower.set_xlabel("confidence")
    return _png(figure)


def series(true: npt.NDArray[np.float32], found: npt.NDArray[np.float32]) -> bytes:
    """Return true and predicted values (n,) of one column, in their order."""
    figure, (axes,) = _figure(9, 3.5, 1)
    axes.plot(true, color="tab:gray", label="true", linewidth=1)
    axes.plot(found, color="tab:blue", label="predicted", linewidth=1)
    axes.set_xlabel("sample")
    axes.legend()
    axes.grid(alpha=0.3)
    return _png(figure)


def image(png: bytes, what: str) -> str:
    """Return the HTML of a PNG as wide as it is, or as the page."""
    return f'<img class="wide" src="{png_uri(png)}" alt="{escape(what)}">'


def _figure(width: float, height: float, rows: int) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, 1, sharex=rows > 1, squeeze=False)[:, 0].tolist()


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
