"""What the stages of one export share: the model, its samples, and the precisions on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgedl.bundle.manifest import DecodeOptions
from edgedl.data.scenes import MAX_TOKENS
from edgedl.errors import UsageError
from edgedl.evaluate import Evaluation, Measurement, Metric, main_metric
from edgedl.export.calibrate import Calibration, calibration_of
from edgedl.export.equalize import find_pairs
from edgedl.export.graph_file import graph_name
from edgedl.export.quantize import Prepared, prepare
from edgedl.export.replay import feeds_of
from edgedl.runtime.model import open_model
from edgedl.runtime.session import Session, open_session
from edgedl.timing import allowed_cores

if TYPE_CHECKING:
    from edgedl.export.options import ExportOptions
    from edgedl.export.origin import Origin
    from edgedl.export.replay import Feeds
    from edgedl.export.search import Search
    from edgedl.runtime.model import Model
    from edgedl.spec import ModelSpec

Say = Callable[[str], None]

CHOSEN_BY = 2000
"""Samples, beside the reported ones, by which settings are chosen."""

CHOSEN_BY_ARRAYS = 128
"""The same of tensor models, whose answers are compared number by number."""


@dataclass
class Candidate:
    """One precision on its way.

    Attributes:
        precision: Its name.
        search: How it was quantised, for INT8.
        quality: On the held-out samples; None if it could not even be made.
        errors: Largest relative error of each output against fp32.
        times_ms: Of answers on this machine, where it was timed.
        size_bytes: Of its graphs together.
        problem: Why it is refused, None if it is not.
    """

    precision: str
    search: Search | None = None
    quality: Measurement | None = None
    errors: dict[str, float] = field(default_factory=dict)
    times_ms: list[float] = field(default_factory=list)
    size_bytes: int = 0
    problem: str | None = None


@dataclass
class Job:
    """One export.

    Attributes:
        origin: What is exported.
        options: What is asked for.
        folder: The bundle in the making.
        say: Takes one line per stage.
        origin_errors: Relative error of each output of the fp32 graphs against the network.
        missing_engines: Target to why it has no engines, though it was asked for.
        stand_ins: Precision to graphs by role that are judged in place of those written, which this
            machine cannot run.
    """

    origin: Origin
    options: ExportOptions
    folder: Path
    say: Say
    origin_errors: dict[str, float] = field(default_factory=dict)
    missing_engines: dict[str, str] = field(default_factory=dict)
    stand_ins: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def spec(self) -> ModelSpec:
        """Return how the model is fed and read."""
        return self.origin.spec

    @property
    def metric(self) -> Metric:
        """Return the number that decides."""
        return main_metric(self.spec.task)

    @cached_property
    def decode(self) -> DecodeOptions | None:
        """Return how captions are searched, None for other tasks."""
        if self.spec.task == "captioning":
            return DecodeOptions(max_tokens=MAX_TOKENS).changed(self.options.search)
        if self.options.search:
            name = next(iter(self.options.search)).replace("_", "-")
            msg = f"--{name} changes nothing for a model for {self.spec.task}; leave it out"
            raise UsageError("E130", msg)
        return None

    @cached_property
    def reported(self) -> Evaluation:
        """Return the samples whose results are published; nothing is chosen by them."""
        return self._samples("test", self.options.held_out)

    @cached_property
    def choosing(self) -> Evaluation:
        """Return other samples, to choose between settings: of ``val``, or else of ``train``."""
        limit = CHOSEN_BY_ARRAYS if self.spec.task == "tensor" else CHOSEN_BY
        found = self._samples("val", limit)
        return found if len(found) else self._samples("train", limit)

    @cached_property
    def chosen_against(self) -> float:
        """Return what fp32 reaches on ``choosing``; a tensor model is held against itself."""
        return 0.0 if self.spec.task == "tensor" else self.judge("fp32", self.choosing).main

    @cached_property
    def calibration(self) -> Calibration:
        """Return the samples INT8 ranges are found on."""
        samples = self._samples("train", self.options.calibration)
        return calibration_of(samples, is_sampled=self.origin.is_sampled, reported=self.reported)

    @cached_property
    def feeds(self) -> dict[str, list[Feeds]]:
        """Return what each graph sees of the calibration samples."""
        with self.open("fp32") as model:
            return feeds_of(model, self.calibration.tensors)

    @cached_property
    def prepared(self) -> dict[str, Prepared]:
        """Return the fp32 graphs and what their tensors hold on the calibration samples."""
        self.say("looking at what the tensors hold on calibration samples")
        paths = self.paths("fp32")
        return {role: prepare(role, path, self.feeds[role]) for role, path in paths.items()}

    @cached_property
    def equalized(self) -> dict[str, Prepared]:
        """Return the same with channels made alike, of graphs where that can be done."""
        able = [role for role, one in self.prepared.items() if find_pairs(one.model)]
        if able:
            self.say(f"making channels of {' and '.join(able)} alike")
        return {
            role: prepare(role, self.path(role, "fp32"), self.feeds[role], equalized=True)
            for role in able
        }

    def path(self, role: str, precision: str) -> Path:
        """Return where a graph lies."""
        return self.folder / "graphs" / graph_name(role, precision)

    def paths(self, precision: str) -> dict[str, Path]:
        """Return where the graphs of a precision lie."""
        return {role: self.path(role, precision) for role in self.spec.roles}

    @contextmanager
    def sessions(self, precision: str, threads: int = 1) -> Iterator[dict[str, Session]]:
        """Open the graphs of a precision on ONNX Runtime; times are taken with one thread."""
        graphs = self.stand_ins.get(precision) or self.paths(precision)
        with ExitStack() as stack:
            opened = {}
            for role, graph in graphs.items():
                opened[role] = open_session(
                    graph,
                    "onnxruntime",
                    threads,
                    f"{role}.{precision}",
                    in_float=precision == "int8-trt",
                )
                stack.callback(opened[role].close)
            yield opened

    @contextmanager
    def open(self, precision: str, threads: int = 1) -> Iterator[Model]:
        """Open the model of a precision."""
        with self.sessions(precision, threads) as sessions:
            yield open_model(self.spec, sessions, self.decode)

    def judge(
        self, precision: str, samples: Evaluation, opened: dict[str, Session] | None = None
    ) -> Measurement:
        """Return the quality of a precision; with all cores, for the numbers are the same.

        Args:
            precision: Its name.
            samples: What to measure on.
            opened: Sessions of its graphs, where there are some already.
        """
        if opened is not None:
            return samples.measure(open_model(self.spec, opened, self.decode))
        with self.sessions(precision, allowed_cores()) as sessions:
            return self.judge(precision, samples, sessions)

    def _samples(self, split: str, limit: int) -> Evaluation:
        self.say(f"preparing samples of {split}")
        return self.origin.samples(split, limit)
