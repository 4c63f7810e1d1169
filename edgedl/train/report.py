"""What a training leaves for people: one page with its quality, curves and samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgedl.html_page import escape, page, section, table, tile_row
from edgedl.timing import describe
from edgedl.train import charts
from edgedl.train.samples import sample_sections

if TYPE_CHECKING:
    from edgedl.train.measure import Measured
    from edgedl.train.run_folder import Run

_ENDS = ("_low", "_high")
_TILES = 3


def write_report(run: Run, measured: Mapping[str, Measured | None], path: Path) -> None:
    """Write one self-contained page.

    Args:
        run: Complete but for the page itself.
        measured: What was measured of each split; the samples shown are of ``test``, or of
            ``val`` where there is no test.
        path: ``report.html``.
    """
    metrics = run.metrics
    lead = (
        f"{metrics['steps']} steps in {metrics['seconds']:.0f} s with {metrics['precision']}, "
        f"{metrics['samples_per_s']} samples a second; {describe(metrics['machine'])}"
    )
    shown = measured.get("test") or measured.get("val")
    body = [
        f"<h1>{escape(run.model_spec.task)}: {escape(run.data['name'])}</h1>",
        f'<p class="lead">{escape(lead)}</p>',
        _warnings(run),
        _tiles(run),
        _quality(run),
        _folds(run),
        section("Training", "", charts.image((run.path / "curves.png").read_bytes(), "curves")),
        *(sample_sections(run, shown) if shown else []),
        section("Recipe", "", f"<pre>{escape(_text(run.path / 'recipe.toml'))}</pre>"),
    ]
    text = page("training report", "\n".join(body))
    path.write_text(text, encoding="utf-8", errors="backslashreplace")  # names of files


def _warnings(run: Run) -> str:
    found = run.data.get("warnings", ())
    if not found:
        return ""
    items = "".join(f"<li>{escape(warning)}</li>" for warning in found)
    return section("The data", "", f"<ul>{items}</ul>", "warn")


def _tiles(run: Run) -> str:
    split = next((s for s in ("test", "val") if s in run.metrics), None)
    if split is None:
        return ""
    found = run.metrics[split]
    names = [n for n in found if not n.endswith(_ENDS) and n != "n"][:_TILES]
    return tile_row([(_number(found[name]), f"{name} on {split}") for name in names])


def _quality(run: Run) -> str:
    splits = [split for split in ("val", "test") if split in run.metrics]
    names = list(dict.fromkeys(name for split in splits for name in run.metrics[split]))
    names = [name for name in names if not name.endswith(_ENDS)]
    rows = []
    for split in splits:
        found = run.metrics[split]
        cells = [_with_interval(found, name) for name in names]
        rows.append(([escape(split), *cells], ""))
    return section("Quality", "", table(["split", *names], rows))


def _folds(run: Run) -> str:
    folds = run.metrics.get("folds")
    if not folds:
        return ""
    lead = f"{folds['mean']:.4f} ± {folds['std']:.4f} (standard deviation); the best is kept."
    rows = [([str(i + 1), _number(score)], "") for i, score in enumerate(folds["scores"])]
    return section("Folds", lead, table(["fold", "score on what it held back"], rows))


def _with_interval(found: Mapping[str, Any], name: str) -> str:
    if name not in found:
        return ""
    ends = [found.get(name + end) for end in _ENDS]
    interval = "" if None in ends else f" ({_number(ends[0])} – {_number(ends[1])})"
    return escape(_number(found[name]) + interval)


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:.4g}"
    return str(value)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
