"""A confusion matrix as HTML: numbers for few classes, a picture for many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedl.html_page import escape
from edgedl.train import charts

if TYPE_CHECKING:
    import numpy.typing as npt

    Counts = npt.NDArray[np.int64]

_NUMBERED = 20  # classes; a table of more would not fit a page
_DARK = ' class="dark"'


def confusion_html(counts: Counts, labels: Sequence[str]) -> str:
    """Return what was told (columns) for what it was (rows); counts (K, K).

    The darker, the larger a part of its row. Names are text of the page, so that every script that
    the reader has a font for is shown.
    """
    parts = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    if len(labels) > _NUMBERED:
        return charts.image(charts.heat_map(parts, "told", "true"), "confusion matrix")
    head = "".join(f"<th><span>{escape(label)}</span></th>" for label in labels)
    rows = "".join(
        f"<tr><th>{escape(label)}</th>{_cells(counts[k], parts[k])}</tr>"
        for k, label in enumerate(labels)
    )
    return (
        f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _cells(counts: Counts, parts: npt.NDArray[np.float64]) -> str:
    return "".join(
        f'<td style="--part:{part:.3f}"{_DARK if part > 0.5 else ""}>{count or ""}</td>'
        for count, part in zip(counts.tolist(), parts.tolist(), strict=True)
    )
