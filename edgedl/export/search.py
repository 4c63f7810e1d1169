"""How an INT8 precision is made good enough: other ranges first, then layers back in float."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from edgedl.export.quantize import Recipe, recipes_for, write_int8
from edgedl.export.replay import feeds_of
from edgedl.export.sensitivity import Layer, rank_layers
from edgedl.export.speed import time_answers
from edgedl.timing import machine_facts

if TYPE_CHECKING:
    from edgedl.export.job import Job
    from edgedl.export.replay import Feeds

BOUND = {"points": 0.1, "relative": 0.5, "std": 1.0}
"""An INT8 graph that loses more on the samples settings are chosen by is made more carefully."""

_RANKED_BY = 64  # samples by which layers are compared
_FEEDS = 16  # of a graph, of those
_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Try:
    """One way to quantise that was looked at.

    Attributes:
        recipe: The way.
        lost: By the rule of ``--max-drop``, on the samples settings are chosen by.
        speedup: Times as fast as fp32, where it was timed.
    """

    recipe: Recipe
    lost: float
    speedup: float | None = None


@dataclass
class Search:
    """What was found.

    Attributes:
        recipe: The way that was taken.
        tries: All ways that were looked at, in order.
        layers: Those of the graphs by what they lose, worst first; empty if nobody had to ask.
    """

    recipe: Recipe
    tries: list[Try] = field(default_factory=list)
    layers: list[Layer] = field(default_factory=list)


def quantize(job: Job, precision: str) -> Search:
    """Write the graphs of an INT8 precision so that they keep the quality, if that can be done.

    Ranges are tried in the order of ``recipes_for``. If none is good enough, layers are ranked by
    what they lose, and the fewest of the worst that suffice go back to float, found by bisection;
    a graph that is no faster than fp32 then is not looked at further. This follows NNCF's
    "quantization with accuracy control", which reverts the worst operations until the drop is met.
    """
    bound = min(BOUND[job.metric.unit], job.options.max_drop)
    tries = []
    for recipe in recipes_for(precision, machine_facts(), job.prepared):
        tries.append(_try(job, precision, recipe))
        if tries[-1].lost <= bound or not job.origin.is_sampled:
            return Search(recipe, tries)
    best = min(tries, key=lambda one: one.lost)
    job.say(f"ranking the layers of {precision} by what they lose")
    layers = rank_layers(precision, best.recipe, job.prepared, _feeds(job))
    recipe = _fewest_in_float(job, precision, best.recipe, layers, bound, tries)
    _write(job, precision, recipe)
    return Search(recipe, tries, layers)


def _fewest_in_float(
    job: Job,
    precision: str,
    recipe: Recipe,
    layers: Sequence[Layer],
    bound: float,
    tries: list[Try],
) -> Recipe:
    """Return the recipe with the fewest layers in float that meets ``bound``.

    If there is none, return the one that loses least.
    """
    good: Recipe | None = None
    too_few, enough = 0, len(layers)
    while enough - too_few > 1:
        count = (too_few + enough) // 2
        in_float = tuple(layer.place for layer in layers[:count])
        tries.append(_try(job, precision, replace(recipe, in_float=in_float), is_timed=True))
        is_slow = tries[-1].speedup is not None and tries[-1].speedup <= 1
        if tries[-1].lost <= bound and not is_slow:
            good, enough = tries[-1].recipe, count
        elif is_slow:  # and so is all with more of them
            enough = count
        else:
            too_few = count
    return good or min(tries, key=lambda one: one.lost).recipe


def _try(job: Job, precision: str, recipe: Recipe, *, is_timed: bool = False) -> Try:
    _write(job, precision, recipe)
    found = job.judge(precision, job.choosing).main
    lost = job.metric.drop(found, job.chosen_against)
    speedup = _speedup(job, precision) if is_timed and precision == "int8-cpu" else None
    speed = "" if speedup is None else f", {speedup:.2f}x as fast as fp32"
    job.say(f"{precision} ({recipe}): loses {job.metric.show_drop(lost)}{speed}")
    return Try(recipe, lost, speedup)


def _speedup(job: Job, precision: str) -> float:
    with ExitStack() as stack:
        models = {name: stack.enter_context(job.open(name)) for name in ("fp32", precision)}
        times = time_answers(models, job.choosing.tensors, _ROUNDS, warmup=5)
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians["fp32"] / medians[precision]


def _feeds(job: Job) -> dict[str, list[Feeds]]:
    """Return a few inputs of each graph, spread over what it sees."""
    with job.open("fp32") as model:
        feeds = feeds_of(model, job.choosing.tensors[:_RANKED_BY])
    return {role: given[:: max(1, len(given) // _FEEDS)] for role, given in feeds.items()}


def _write(job: Job, precision: str, recipe: Recipe) -> None:
    job.say(f"quantising {precision} ({recipe})")
    for role, prepared in job.prepared.items():
        write_int8(precision, prepared, job.path(role, precision), recipe)
