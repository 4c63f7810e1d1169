"""How an INT8 precision is made good enough: other ranges first, then layers back in float."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from edgedl.errors import BundleError
from edgedl.export.fewest import fewest
from edgedl.export.quantize import (
    LEAST_WEIGHTS,
    Prepared,
    Recipe,
    places,
    recipes_for,
    write_int8,
)
from edgedl.export.replay import feeds_of
from edgedl.export.sensitivity import Layer, output_error, rank_layers
from edgedl.export.speed import time_answers
from edgedl.timing import allowed_cores, machine_facts

if TYPE_CHECKING:
    from edgedl.export.job import Job
    from edgedl.runtime.session import Session

BOUND = {"points": 0.1, "relative": 0.5, "std": 1.0}
"""An INT8 graph that loses more on the samples settings are chosen by is made more carefully."""

_MARGIN = 0.8
"""Of ``--max-drop`` on the samples settings are chosen by: on others it may be a little more."""

_FAR = 5  # times BOUND
_RANKED_BY = 64  # samples by which layers are compared
_FEEDS = 8  # of a graph, of those; half of them for single layers
_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class Try:
    """One way to quantise that was looked at.

    Attributes:
        recipe: The way.
        error: What the outputs of the graphs change by, see ``output_error``; of several graphs
            the largest.
        lost: By the rule of ``--max-drop``, on the samples settings are chosen by.
        speedup: Times as fast as fp32, where it was timed.
    """

    recipe: Recipe
    error: float
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

    The ways of ``recipes_for`` are tried in the order of what they change the outputs by, and again
    with channels made alike; not those that change them much as one did that lost far too much. If
    none is good enough, layers are ranked by what they lose, and the fewest of the worst that
    suffice go back to float, searched from where their errors say; a graph that is no faster than
    fp32 then is not looked at further. This follows NNCF's "quantization with accuracy control",
    which reverts the worst operations until the drop is met.

    Raises:
        BundleError: E445 there is nothing to quantise.
    """
    if not any(places(precision, graph) for graph in job.prepared.values()):
        why = "no convolution or matrix product outside of branches and loops can be so"
        if precision == "int8-cpu":
            why = f"no product that can be so has {LEAST_WEIGHTS} weights or more"
        msg = f"{precision} has nothing to gain: {why}"
        raise BundleError("E445", msg)
    search = _Search(job, precision)
    recipes = recipes_for(precision, machine_facts(), job.prepared)
    if not job.origin.is_sampled:  # never written: one look suffices to tell its number
        search.look_at(recipes[0])
        return Search(recipes[0], search.tries)
    for recipe, error in search.in_order(recipes):
        if not search.is_hopeless(error) and search.look_at(recipe).lost <= search.bound:
            return Search(recipe, search.tries)
    best = min(search.tries, key=lambda one: one.lost)
    job.say(f"ranking the layers of {precision} by what they lose")
    feeds = {role: given[::2] for role, given in search.feeds.items()}
    layers = rank_layers(precision, best.recipe, search.graphs(best.recipe), feeds)
    recipe = search.fewest_in_float(best.recipe, layers)
    search.write(recipe)
    return Search(recipe, search.tries, layers)


class _Search:
    """The way through the recipes of one precision.

    Attributes:
        bound: What may be lost on the samples settings are chosen by.
        feeds: A few inputs of each graph, spread over what it sees.
        tries: What was looked at so far.
    """

    def __init__(self, job: Job, precision: str) -> None:
        self.job, self.precision = job, precision
        self.bound = min(BOUND[job.metric.unit], _MARGIN * job.options.max_drop)
        self.tries: list[Try] = []
        with job.open("fp32") as model:
            seen = feeds_of(model, job.choosing.tensors[:_RANKED_BY])
        self.feeds = {role: given[:: max(1, len(given) // _FEEDS)] for role, given in seen.items()}
        with job.sessions("fp32", allowed_cores()) as fp32:
            self._expected = {
                role: [fp32[role].run(one) for one in given] for role, given in self.feeds.items()
            }

    def in_order(self, recipes: Sequence[Recipe]) -> Iterator[tuple[Recipe, float]]:
        """Yield the recipes by what they change the outputs by, then those of equalized graphs."""
        yield from self._sorted(recipes)
        ranged = [
            one
            for one in self.job.equalized.values()
            if not one.finds_ranges_as_it_runs(self.precision)
        ]
        if ranged:
            yield from self._sorted([replace(recipe, equalized=True) for recipe in recipes])

    def _sorted(self, recipes: Sequence[Recipe]) -> list[tuple[Recipe, float]]:
        return sorted(((one, self.error(one)) for one in recipes), key=lambda pair: pair[1])

    def is_hopeless(self, error: float) -> bool:
        """Return whether one that changed the outputs no more than twice as much lost far more."""
        far = _FAR * BOUND[self.job.metric.unit]
        return any(one.lost > far and error > one.error / 2 for one in self.tries)

    def graphs(self, recipe: Recipe) -> dict[str, Prepared]:
        """Return what the graphs of a recipe are made from."""
        return self.job.prepared | (self.job.equalized if recipe.equalized else {})

    def write(self, recipe: Recipe) -> None:
        """Write the graphs."""
        for role, prepared in self.graphs(recipe).items():
            write_int8(self.precision, prepared, self.job.path(role, self.precision), recipe)

    def error(self, recipe: Recipe) -> float:
        """Return what the outputs change by; the graphs are those of ``recipe`` afterwards."""
        self.write(recipe)
        with self.job.sessions(self.precision, allowed_cores()) as found:
            return self._error(found)

    def _error(self, found: Mapping[str, Session]) -> float:
        return max(
            output_error(found[role], given, self._expected[role])
            for role, given in self.feeds.items()
        )

    def look_at(self, recipe: Recipe, *, is_timed: bool = False) -> Try:
        """Quantise by a recipe, judge it, and time it if it is good and made for this machine."""
        job = self.job
        self.write(recipe)
        with job.sessions(self.precision, allowed_cores()) as found:
            error = self._error(found)
            main = job.judge(self.precision, job.choosing, found).main
        lost = job.metric.drop(main, job.chosen_against)
        is_timed = is_timed and self.precision == "int8-cpu" and lost <= self.bound
        speedup = self._speedup() if is_timed else None
        speed = "" if speedup is None else f", {speedup:.2f}x as fast as fp32"
        job.say(f"{self.precision} ({recipe}): loses {job.metric.show_drop(lost)}{speed}")
        self.tries.append(Try(recipe, error, lost, speedup))
        return self.tries[-1]

    def fewest_in_float(self, recipe: Recipe, layers: Sequence[Layer]) -> Recipe:
        """Return the recipe with the fewest layers in float that meets the bound.

        If there is none, return the one that loses least.
        """
        good: list[Recipe] = []

        def is_enough(count: int) -> bool:
            in_float = tuple(layer.place for layer in layers[:count])
            tried = self.look_at(replace(recipe, in_float=in_float), is_timed=True)
            is_slow = tried.speedup is not None and tried.speedup <= 1
            if tried.lost <= self.bound and not is_slow:
                good.append(tried.recipe)
            return tried.lost <= self.bound or is_slow  # more in float would be slower still

        fewest(len(layers), self._foreseen(recipe, layers), is_enough)
        return good[-1] if good else min(self.tries, key=lambda one: one.lost).recipe

    def _foreseen(self, recipe: Recipe, layers: Sequence[Layer]) -> int:
        """Return how many layers in float should do, if their errors have nothing in common.

        Then squares add up, and what is lost goes with the root of the sum.
        """
        lost = next(one.lost for one in self.tries if one.recipe == recipe)
        squares = np.array([layer.error**2 for layer in layers])
        left = squares.sum() - np.cumsum(squares)
        is_good = lost * np.sqrt(left.clip(0) / squares.sum()) <= self.bound
        return min(max(int(np.argmax(is_good)) + 1, 1), len(layers) - 1)

    def _speedup(self) -> float:
        with ExitStack() as stack:
            models = {n: stack.enter_context(self.job.open(n)) for n in ("fp32", self.precision)}
            times = time_answers(models, self.job.choosing.tensors, _ROUNDS, warmup=5)
        medians = {name: statistics.median(values) for name, values in times.items()}
        return medians["fp32"] / medians[self.precision]
