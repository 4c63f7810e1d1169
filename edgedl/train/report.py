"""What a training leaves for people: its curves, and a page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from edgedl.html_page import escape, jpeg_uri, page, png_uri, section, table, tile_row
from edgedl.timing import describe

if TYPE_CHECKING:
    from edgedl.frame import U8Image
    from edgedl.train.fit import History
    from edgedl.train.run_folder import Run

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Captioned:
    """A held-out picture and what the trained network said.

    Attributes:
        picture: bgr8.
        caption: Of the network.
        is_right: Whether the scene licenses it.
        truth: One sentence that it licenses.
    """

    picture: U8Image
    caption: str
    is_right: bool
    truth: str


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


def write_report(run: Run, captioned: Sequence[Captioned], path: Path) -> None:
    """Write one self-contained page: quality, curves, right and wrong captions, the recipe.

    Args:
        run: Complete but for the page itself.
        captioned: Held-out pictures; a few right and wrong ones are shown.
        path: ``report.html``.
    """
    metrics = run.metrics
    recipe = (run.path / "recipe.toml").read_text(encoding="utf-8")
    lead = (
        f"{metrics['steps']} steps in {metrics['seconds']:.0f} s with {metrics['precision']}, "
        f"{metrics['pictures_per_s']} pictures a second; {describe(metrics['machine'])}"
    )
    wrong = [item for item in captioned if not item.is_right]
    right = [item for item in captioned if item.is_right]
    body = [
        f"<h1>{escape(run.data.get('name', run.path.name))}</h1>",
        f'<p class="lead">{escape(lead)}</p>',
        _tiles(run),
        _quality(run),
        section("Training", "", f'<img class="wide" src="{png_uri(_curves(run))}" alt="curves">'),
        _pictures(f"Wrong: {len(wrong)} of the first {len(captioned)} held-out pictures", wrong),
        _pictures("Right", right),
        section("Recipe", "", f"<pre>{escape(recipe)}</pre>"),
    ]
    path.write_text(page("training report", "\n".join(body)), encoding="utf-8")


def _curves(run: Run) -> bytes:
    return (run.path / "curves.png").read_bytes()


def _tiles(run: Run) -> str:
    test = run.metrics["test"]
    return tile_row(
        [
            (f"{test['exact']:.1%}", f"exact on held-out pictures, n = {test['n']}"),
            (f"{test['bleu4']:.3f}", "BLEU-4"),
            (f"{test['cider_d']:.2f}", "CIDEr-D"),
        ]
    )


def _quality(run: Run) -> str:
    rows = []
    for split, what in (("val", "seen combinations"), ("test", "held-out combinations")):
        found = run.metrics[split]
        low, high = found["exact_interval"]
        cells = [f"{split}, {what}", f"{found['exact']:.2%}", f"{low:.1%} – {high:.1%}"]
        cells += [f"{found['bleu4']:.3f}", f"{found['cider_d']:.2f}", str(found["n"])]
        rows.append((cells, ""))
    head = ["split", "exact", "95 % interval", "BLEU-4", "CIDEr-D", "n"]
    note = (
        "Exact: the caption is one that the grammar licenses for the picture. Five of all licensed "
        "sentences are references, so that BLEU and CIDEr-D stay below their best even when every "
        "caption is right."
    )
    return section("Quality", escape(note), table(head, rows))


def _pictures(title: str, captioned: Sequence[Captioned]) -> str:
    if not captioned:
        return ""
    figures = []
    for item in captioned[:_SHOWN]:
        said = escape(item.caption)
        if not item.is_right:
            said = f'<span class="wrong">✗ {said}</span><small>{escape(item.truth)}</small>'
        uri = jpeg_uri(item.picture)
        figures.append(f'<figure><img src="{uri}" alt=""><figcaption>{said}</figcaption></figure>')
    return section(title, "", f'<div class="grid">{"".join(figures)}</div>')
