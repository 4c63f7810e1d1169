"""How good and how fast each precision is: the same pictures, the same search, the same clock."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch

from edgedl.bundle import Expected
from edgedl.data.scenes import is_exact, references
from edgedl.errors import BundleError
from edgedl.export.calibrate import F32Array, pre_process
from edgedl.metrics.caption import bleu, cider_d
from edgedl.metrics.interval import wilson
from edgedl.runtime.decode import Decoded, greedy
from edgedl.runtime.session import Session, open_session, relative_error
from edgedl.timing import interleave
from edgedl.vocab import BOS, EOS

if TYPE_CHECKING:
    from torch import nn

    from edgedl.data.scenes import Scene
    from edgedl.export.to_onnx import CaptionNetwork
    from edgedl.frame import U8Image
    from edgedl.spec import ImageSpec, TensorSpec
    from edgedl.vocab import Vocab

Array = npt.NDArray[Any]

TORCH_BOUND = 1e-4
"""Largest difference of the fp32 graphs from PyTorch, as a part of the largest magnitude."""

_LOTS = 64


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Pictures that neither training nor calibration has seen.

    Attributes:
        frames: bgr8 at camera size.
        tensors: (n, C, H, W), pre-processed once for all precisions.
        scenes: What is on them.
        references: Five right captions of each.
    """

    frames: Sequence[U8Image]
    tensors: F32Array
    scenes: Sequence[Scene]
    references: list[list[str]]

    def __len__(self) -> int:
        return len(self.scenes)

    def part(self, start: int, stop: int) -> HeldOut:
        """Return pictures ``start`` to ``stop``."""
        cut = slice(start, stop)
        return HeldOut(self.frames[cut], self.tensors[cut], self.scenes[cut], self.references[cut])

    def hits(self, texts: Sequence[str]) -> list[bool]:
        """Return for each caption whether the grammar licenses it for its picture."""
        return [is_exact(text, scene) for text, scene in zip(texts, self.scenes, strict=True)]


@dataclass(frozen=True, slots=True)
class Quality:
    """What captions are worth.

    Attributes:
        texts: One per picture.
        exact: Fraction that the grammar licenses for the picture, 0..1.
        interval: 95 % Wilson interval of ``exact``.
        bleu4: BLEU-4 of the whole set, 0..1.
        cider_d: CIDEr-D, 0..10.
    """

    texts: tuple[str, ...]
    exact: float
    interval: tuple[float, float]
    bleu4: float
    cider_d: float

    def to_dict(self) -> dict[str, float]:
        """Return what the manifest keeps."""
        return {
            "exact": self.exact,
            "exact_low": self.interval[0],
            "exact_high": self.interval[1],
            "bleu4": self.bleu4,
            "cider_d": self.cider_d,
            "n": len(self.texts),
        }


@dataclass(frozen=True)
class Captioning(AbstractContextManager["Captioning"]):
    """Encoder, step and search together.

    Attributes:
        encoder: Session of the encoder.
        step: Session of the step.
        vocab: Words.
        max_tokens: Where captions are cut.
        lot: Pictures per call. One where activations are quantised at run time: their range is
            that of all pictures of a call, and a camera sends one.
    """

    encoder: Session
    step: Session
    vocab: Vocab
    max_tokens: int
    lot: int = _LOTS

    @classmethod
    def open(cls, paths: Mapping[str, Path], vocab: Vocab, max_tokens: int) -> Captioning:
        """Open the graphs of one precision on ONNX Runtime, one thread."""
        encoder = open_session(paths["encoder"], "onnxruntime")
        step = open_session(paths["step"], "onnxruntime")
        lot = 1 if ".int8-cpu." in paths["step"].name else _LOTS
        return cls(encoder, step, vocab, max_tokens, lot)

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.encoder.close()
        self.step.close()

    def __call__(self, tensors: F32Array) -> list[Decoded]:
        """Caption pictures in one call."""
        seen = self.encoder.run({"image": tensors})
        features, h, c = seen["features"], seen["h"], seen["c"]
        return greedy(self.step, features, h, c, self.vocab, self.max_tokens)

    def all(self, tensors: F32Array) -> list[Decoded]:
        """Caption any number of pictures, ``lot`` at a time."""
        lots = range(0, len(tensors), self.lot)
        return [text for i in lots for text in self(tensors[i : i + self.lot])]


class TorchSession:
    """One half of a PyTorch network behind the interface of a session."""

    backend = "torch"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, network: nn.Module, role: str) -> None:
        self._network, self._role = network, role

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Return all outputs by name."""
        network = cast("CaptionNetwork", self._network)
        given = {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in feeds.items()}
        with torch.inference_mode():
            if self._role == "encoder":
                names, out = ("features", "h", "c"), network.encode(given["image"])
            else:
                order = (given[name] for name in ("token", "h_in", "c_in", "features"))
                names, out = ("logits", "h_out", "c_out"), network.decode_step(*order)
        return {name: tensor.numpy() for name, tensor in zip(names, out, strict=True)}

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


def look_at(spec: ImageSpec, pictures: Sequence[tuple[U8Image, Scene]]) -> HeldOut:
    """Pre-process held-out pictures and choose their references, the same as training does."""
    frames = [frame for frame, _ in pictures]
    scenes = [scene for _, scene in pictures]
    told = [list(references(scene, random.Random(i))) for i, scene in enumerate(scenes)]
    return HeldOut(frames, pre_process(spec, frames), scenes, told)


def judge(captioning: Captioning, pictures: HeldOut) -> Quality:
    """Caption all pictures and rate the captions."""
    texts = tuple(decoded.text for decoded in captioning.all(pictures.tensors))
    hits = sum(pictures.hits(texts))
    return Quality(
        texts=texts,
        exact=hits / len(texts),
        interval=wilson(hits, len(texts)),
        bleu4=bleu(list(texts), pictures.references)[-1],
        cider_d=cider_d(list(texts), pictures.references),
    )


def differences(found: Captioning, expected: Captioning, tensors: F32Array) -> dict[str, float]:
    """Return the largest relative error of each output, the step given the same inputs.

    The error is the largest difference divided by the largest expected magnitude.
    """
    seen, wanted = found.encoder.run({"image": tensors}), expected.encoder.run({"image": tensors})
    feeds = first_feeds(wanted)
    told, truth = found.step.run(feeds), expected.step.run(feeds)
    pairs = [(name, seen[name], wanted[name]) for name in ("features", "h", "c")]
    pairs.append(("logits", told["logits"], truth["logits"]))
    return {name: relative_error(got, want) for name, got, want in pairs}


def check_finite(network: nn.Module) -> None:
    """Raise when a weight is no number.

    Raises:
        BundleError: E414 naming the weight.
    """
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            msg = f"weights of {name!r} are not finite (NaN or infinity); train again"
            raise BundleError("E414", msg)


def compare_with_torch(
    network: nn.Module, exported: Captioning, tensors: F32Array
) -> dict[str, float]:
    """Hold the fp32 graphs against the network they came from.

    Returns:
        The largest relative error of each output.

    Raises:
        BundleError: E440 one is larger than ``TORCH_BOUND``.
    """
    halves = [TorchSession(network, role) for role in ("encoder", "step")]
    original = Captioning(halves[0], halves[1], exported.vocab, exported.max_tokens)
    errors = differences(exported, original, tensors)
    worst = max(errors, key=errors.__getitem__)
    if not errors[worst] <= TORCH_BOUND:
        msg = (
            f"the exported fp32 graphs differ from the trained network: {worst} by "
            f"{errors[worst]:.2g} of its largest value, {TORCH_BOUND:g} is allowed; report a bug"
        )
        raise BundleError("E440", msg)
    return errors


def time_captions(
    candidates: Mapping[str, Captioning], tensors: F32Array, rounds: int, warmup: int = 20
) -> dict[str, list[float]]:
    """Time encoder and decoding loop of one picture at a time, all candidates in turn.

    Args:
        candidates: Name to graphs.
        tensors: Real pictures; in each round all candidates caption the same one.
        rounds: Timed rounds.
        warmup: Untimed ones before.

    Returns:
        Name to milliseconds per caption, one per round.
    """

    def caption_next(captioning: Captioning, pictures: Iterator[F32Array]) -> None:
        captioning(next(pictures)[None])

    calls = {
        name: partial(caption_next, captioning, itertools.cycle(tensors))
        for name, captioning in candidates.items()
    }
    return interleave(calls, rounds, warmup)


def expect(captioning: Captioning, tensor: F32Array) -> Expected:
    """Return what a precision gives for one picture, (1, C, H, W)."""
    seen = captioning.encoder.run({"image": tensor})
    decoded = captioning(tensor)[0]
    logits = captioning.step.run(first_feeds(seen))["logits"]
    arrays = {name: seen[name][0] for name in ("features", "h", "c")} | {"logits": logits[0]}
    return Expected({"text": decoded.text, "log_prob": decoded.log_prob}, arrays)


def margin(captioning: Captioning, tensor: F32Array) -> float:
    """Return by how much the closest decision of a caption was made, in logits.

    Many wordings are equally right, so that two words are often nearly tied; another processor's
    rounding then tips the balance. A golden picture must not hang on such a tie.
    """
    seen = captioning.encoder.run({"image": tensor})
    feeds = first_feeds(seen)
    closest = float("inf")
    for _ in range(captioning.max_tokens):
        out = captioning.step.run(feeds)
        second, first = np.sort(out["logits"][0])[-2:]
        closest = min(closest, float(first - second))
        token = out["logits"].argmax(axis=1)
        if token[0] == EOS:
            break
        feeds = {**feeds, "token": token, "h_in": out["h_out"], "c_in": out["c_out"]}
    return closest


def first_feeds(seen: Mapping[str, Array]) -> dict[str, Array]:
    """Return the step's first inputs after the encoder."""
    token = np.full(len(seen["features"]), BOS, np.int64)
    return {"token": token, "h_in": seen["h"], "c_in": seen["c"], "features": seen["features"]}
