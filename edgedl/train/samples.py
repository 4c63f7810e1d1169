"""What a report shows of single samples: where the network is wrong, and how it does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from edgedl.html_page import escape, jpeg_uri, section, table
from edgedl.metrics.classification import confusion, ece, per_class, reliability
from edgedl.runtime.probability import log_softmax
from edgedl.runtime.text_generator import draw
from edgedl.train import charts
from edgedl.train.confusion import confusion_html
from edgedl.vocab import SPECIAL

if TYPE_CHECKING:
    import numpy.typing as npt

    from edgedl.runtime.text_generator import TextGenerator
    from edgedl.train.measure import Measured
    from edgedl.train.run_folder import Run

_SHOWN = 12
_LOOKED_AT = 400  # captions, of which right and wrong ones are shown
_POINTS = 400  # of a series
_WRITTEN = 400  # characters or words of a sample
_TEMPERATURE = 0.8


def sample_sections(run: Run, shown: Measured) -> list[str]:
    """Return the sections of the report that depend on the task, as HTML."""
    task = run.model_spec.task
    if task in ("classification", "clip-classification", "text-classification"):
        return _label_sections(run.model_spec.labels, shown)
    if task == "captioning":
        return _caption_sections(shown)
    if task == "regression":
        return _series_sections(run, shown)
    return _text_sections(shown)


def _label_sections(labels: Sequence[str], shown: Measured) -> list[str]:
    truths = np.asarray(shown.evaluation.truths)
    found = np.asarray(shown.measurement.outputs)
    scores = np.asarray(shown.measurement.scores)
    counts = confusion(truths, found, len(labels))
    bins = charts.reliability(reliability(scores, truths), ece(scores, truths))
    wrong = np.flatnonzero(found != truths)
    worst = wrong[np.argsort(scores[wrong, truths[wrong]], kind="stable")]
    right = np.flatnonzero(found == truths)

    def caption(i: int) -> str:
        told = f"{labels[found[i]]} {scores[i, found[i]]:.0%}"
        if found[i] == truths[i]:
            return escape(told)
        true = f"{labels[truths[i]]} {scores[i, truths[i]]:.1%}"
        return f'<span class="wrong">✗ {escape(told)}</span><small>{escape(true)}</small>'

    return [
        section("Classes", "", _class_table(labels, truths, found)),
        section(
            "Confusion",
            "Rows are what it was, columns what the network told.",
            confusion_html(counts, labels),
        ),
        section("Calibration", "", charts.image(bins, "reliability diagram")),
        _gallery(
            f"Errors: {len(wrong)} of {len(truths)}, the worst first",
            shown,
            worst[:_SHOWN],
            caption,
        ),
        _gallery("Right", shown, right[:_SHOWN], caption),
    ]


def _class_table(
    labels: Sequence[str], truths: npt.NDArray[np.int64], found: npt.NDArray[np.int64]
) -> str:
    head = ["class", "precision", "recall", "F1", "samples"]
    classes = per_class(truths, found, len(labels))
    rows = [
        (
            [
                escape(label),
                *(f"{part:.2%}" for part in (c.precision, c.recall, c.f1)),
                str(c.support),
            ],
            "",
        )
        for label, c in zip(labels, classes, strict=True)
    ]
    return table(head, rows)


def _caption_sections(shown: Measured) -> list[str]:
    said = shown.measurement.outputs[:_LOOKED_AT]
    hits = shown.evaluation.hits(shown.measurement)[:_LOOKED_AT]

    def caption(i: int) -> str:
        text = escape(str(said[i]))
        return text if hits[i] else f'<span class="wrong">✗ {text}</span>'

    wrong, right = ([i for i, hit in enumerate(hits) if hit == want] for want in (False, True))
    return [
        _gallery(
            f"Wrong: {len(wrong)} of the first {len(hits)} pictures", shown, wrong[:_SHOWN], caption
        ),
        _gallery("Right", shown, right[:_SHOWN], caption),
    ]


def _series_sections(run: Run, shown: Measured) -> list[str]:
    assert run.model_spec.series is not None
    truths = np.asarray(shown.evaluation.truths)[:_POINTS]
    found = np.asarray(shown.measurement.outputs)[:_POINTS]
    return [
        section(name, "", charts.image(charts.series(truths[:, i], found[:, i]), name))
        for i, name in enumerate(run.model_spec.series.outputs)
    ]


def _text_sections(shown: Measured) -> list[str]:
    """Let the network go on from the beginning of the held-out text."""
    model = cast("TextGenerator", shown.model)
    prompt = str(shown.evaluation.inputs(0).text)
    written = "".join(_written(model, model.tokenizer.encode(prompt)))
    note = f"It goes on from the grey text; temperature {_TEMPERATURE}."
    body = f'<span class="lead">{escape(prompt)}</span>{escape(written)}'
    return [section("A sample", note, f"<pre>{body}</pre>")]


def _written(model: TextGenerator, tokens: Sequence[int]) -> Iterator[str]:
    state, rng = model.start(1), np.random.default_rng(1)
    logits = np.zeros((1, len(model.spec.tokens)), np.float32)
    glue = "" if model.tokenizer.spec.unit == "character" else " "
    for token in tokens:
        logits, state = model.step(np.array([token], np.int64), state)
    for _ in range(_WRITTEN):
        token = len(SPECIAL) + draw(log_softmax(logits[0, len(SPECIAL) :]), _TEMPERATURE, 0, rng)
        logits, state = model.step(np.array([token], np.int64), state)
        yield glue + model.spec.tokens[token]


def _gallery(
    title: str, shown: Measured, numbers: Iterable[int], caption: Callable[[int], str]
) -> str:
    """Return samples side by side: a picture or the first of a clip, or a text.

    The mouse over a picture shows its name, so that one of a wrong class can be found and moved.
    """
    figures = []
    names = getattr(shown.evaluation, "names", None)
    for i in map(int, numbers):
        given = shown.evaluation.inputs(i)
        pictures = given.pictures[:: max(1, len(given.pictures) // 4)][:4]
        images = "".join(f'<img src="{jpeg_uri(picture)}" alt="">' for picture in pictures)
        text = f"<p>{escape(given.text)}</p>" if given.text else ""
        name = f' title="{escape(names[i])}"' if names else ""
        figures.append(
            f"<figure{name}>{images}<figcaption>{text}{caption(i)}</figcaption></figure>"
        )
    return section(title, "", f'<div class="grid">{"".join(figures)}</div>') if figures else ""
