"""What the stages of one export share: the run, its pictures, and the precisions on their way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from edgedl.export.calibrate import (
    CalibrationPictures,
    Feeds,
    calibration_pictures,
    encoder_feeds,
    step_feeds,
)
from edgedl.export.evaluate import Captioning, HeldOut, Quality, judge, look_at
from edgedl.export.to_onnx import ROLES, graph_name
from edgedl.train.captioner import calibration_frames, held_out

if TYPE_CHECKING:
    from edgedl.export.options import ExportOptions
    from edgedl.export.quantize import Recipe
    from edgedl.train.run_folder import Run

Say = Callable[[str], None]

_STEP_PICTURES = 64  # calibration pictures the step's states are taken from


@dataclass
class Candidate:
    """One precision on its way.

    Attributes:
        precision: Its name.
        recipe: How it was quantised, for INT8.
        quality: On the held-out pictures; None if it could not even be made.
        errors: Largest relative error of each output against fp32.
        times_ms: Of captions on this machine, where it was timed.
        size_bytes: Of its graphs together.
        problem: Why it is refused, None if it is not.
    """

    precision: str
    recipe: Recipe | None = None
    quality: Quality | None = None
    errors: dict[str, float] = field(default_factory=dict)
    times_ms: list[float] = field(default_factory=list)
    size_bytes: int = 0
    problem: str | None = None


@dataclass
class Job:
    """One export.

    Attributes:
        run: What is exported.
        options: What is asked for.
        folder: The bundle in the making.
        say: Takes one line per stage.
        max_tokens: Where captions are cut.
        torch_errors: Relative error of each output of the fp32 graphs against PyTorch.
    """

    run: Run
    options: ExportOptions
    folder: Path
    say: Say
    max_tokens: int
    torch_errors: dict[str, float] = field(default_factory=dict)

    @cached_property
    def reported(self) -> HeldOut:
        """Return the pictures whose results are published; nothing is chosen by them."""
        return self._pictures.part(0, self.options.held_out)

    @cached_property
    def choosing(self) -> HeldOut:
        """Return other pictures, to choose between recipes."""
        return self._pictures.part(self.options.held_out, len(self._pictures))

    @cached_property
    def calibration(self) -> CalibrationPictures:
        """Return the pictures INT8 ranges are found on."""
        self.say(f"pre-processing {self.options.calibration} calibration pictures")
        frames = calibration_frames(self.run, self.options.calibration)
        return calibration_pictures(self.run.spec, frames)

    @cached_property
    def feeds(self) -> dict[str, list[Feeds]]:
        """Return what encoder and step see of the calibration pictures."""
        pictures = encoder_feeds(self.calibration.tensors)
        few = encoder_feeds(self.calibration.tensors[:_STEP_PICTURES])
        with self.open("fp32") as fp32:
            steps = step_feeds(fp32.encoder, fp32.step, few, self.max_tokens)
        return {"encoder": pictures, "step": steps}

    def path(self, role: str, precision: str) -> Path:
        """Return where a graph lies."""
        return self.folder / "graphs" / graph_name(role, precision)

    def paths(self, precision: str) -> dict[str, Path]:
        """Return where the graphs of a precision lie."""
        return {role: self.path(role, precision) for role in ROLES}

    @contextmanager
    def open(self, precision: str) -> Iterator[Captioning]:
        """Open the graphs of a precision."""
        paths = self.paths(precision)
        with Captioning.open(paths, self.run.vocab, self.max_tokens) as captioning:
            yield captioning

    def judge(self, precision: str, pictures: HeldOut) -> Quality:
        """Return the quality of a precision."""
        with self.open(precision) as captioning:
            return judge(captioning, pictures)

    @cached_property
    def _pictures(self) -> HeldOut:
        wanted = self.options.held_out + self.options.held_out // 2
        self.say(f"rendering and pre-processing {wanted} held-out pictures")
        return look_at(self.run.spec, held_out(self.run, wanted))
