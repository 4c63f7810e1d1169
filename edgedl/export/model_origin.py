"""Somebody else's model as the origin of an export: what it is fed, and what it answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx

from edgedl.bundle import Given
from edgedl.bundle.manifest import Parent
from edgedl.data.arrays import ENDINGS, read_arrays
from edgedl.data.image_folder import ENDINGS as PICTURES
from edgedl.data.image_folder import UNREAD, Item, checked, tell_unread
from edgedl.data.picture_list import Pictures
from edgedl.data.problems import Problems
from edgedl.data.split_folders import is_hidden
from edgedl.errors import BundleError, ConfigError, DataError, UsageError
from edgedl.evaluate.agreement import Agreement
from edgedl.evaluate.classification import Classification, as_bgr, some
from edgedl.evaluate.prepared import Prepared
from edgedl.export.classifier_graph import as_classifier, with_picture
from edgedl.export.foreign import read_foreign
from edgedl.export.graph_file import graph_name
from edgedl.export.replay import differences
from edgedl.options import options_from, parse_toml, suggest
from edgedl.runtime.session import open_session
from edgedl.runtime.tensor_model import fitted
from edgedl.spec import ImageSpec, ModelSpec
from edgedl.timing import allowed_cores
from edgedl.vocab import parse_labels

if TYPE_CHECKING:
    from edgedl.evaluate import Evaluation
    from edgedl.export.replay import Feeds
    from edgedl.runtime.session import Array, Session
    from edgedl.spec import TensorSpec

RANDOM = 64
"""Made up samples, where none are given."""

_PARTS = {"train": (0, 2), "val": (1,), "test": (3,)}  # of each four samples
_FEW = 16  # samples: too few to be parted
_MAX_BYTES = 1 << 30  # of samples with their answers


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNotes:
    """``spec.toml``: what a model file does not say about itself.

    Attributes:
        task: ``tensor``: arrays in, arrays out; or ``classification`` of pictures.
        image: How a picture becomes the input; needed for classification.
        labels: File with the names of the classes, one per line or ``labels.json``; beside the
            spec, or an absolute path.
        inputs: Input name to its sizes, where the model leaves some open.
        licences: Of the weights.
    """

    task: Literal["tensor", "classification"] = "tensor"
    image: ImageSpec | None = None
    labels: str = ""
    inputs: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    licences: tuple[str, ...] = ()


class ModelOrigin:
    """A model file, see ``edgedl.export.origin.Origin``.

    Args:
        path: See ``read_foreign``.
        notes: ``spec.toml``; see ``ModelNotes``.
        samples: A folder of ``.npy`` and ``.npz`` files, names as the inputs, or of pictures where
            the notes have an ``[image]``. Without it samples are made up, and INT8 is not written.

    Raises:
        BundleError: What ``read_foreign`` raises; E414 the model answers with NaN or infinity.
        ConfigError: The notes are wrong or do not fit the model.
        DataError: E355, E356 the samples cannot be used.
        UsageError: E133 there are open sizes that nobody said.
    """

    what = "the model as it came"

    def __init__(self, path: Path, notes: Path | None = None, samples: Path | None = None) -> None:
        self._path, self._samples = path, samples
        self.is_sampled = samples is not None
        self._notes = (
            options_from(ModelNotes, parse_toml(notes), str(notes)) if notes else ModelNotes()
        )
        labels = _labels(self._notes, notes)
        foreign = read_foreign(path)
        self._sha256, self._foreign = foreign.sha256, foreign
        image = self._notes.image
        original, self._model = foreign.original, foreign.cleaned
        if self._notes.task == "classification" and image is not None:
            original, self._model = (
                as_classifier(m, image, labels) for m in (original, self._model)
            )
        elif image is not None:
            original, self._model = (with_picture(m, image) for m in (original, self._model))
        self.spec = ModelSpec(task=self._notes.task, image=image, labels=labels)
        self._original = original.SerializeToString()
        session = open_session(self._model.SerializeToString(), name=str(path))
        self._inputs = session.inputs
        if self.spec.task == "classification":
            _check_batch(session, path)
        for name in self._notes.inputs:
            known = [spec.name for spec in self._inputs]
            if name not in known:
                hint = suggest(name, known) or f"; it has {', '.join(known)}"
                msg = f"{notes} [inputs]: {path.name} has no input {name!r}{hint}"
                raise ConfigError("E203", msg)

    @property
    def parent(self) -> Parent:
        """Return the digest of the model file."""
        return Parent(kind="model", sha256=self._sha256)

    @property
    def data(self) -> Mapping[str, Any]:
        """Return nothing: what it was trained on is not known."""
        return {}

    @property
    def licences(self) -> tuple[str, ...]:
        """Return what the notes say."""
        return self._notes.licences

    @property
    def curves_png(self) -> None:
        """Return None."""
        return

    @cached_property
    def sessions(self) -> dict[str, Session]:
        """Return the model as it came, on ONNX Runtime."""
        session = open_session(self._original, "onnxruntime", allowed_cores(), str(self._path))
        return {"model": session}

    def conversion_errors(self, feeds: Sequence[Feeds]) -> Mapping[str, float]:
        """Hold the ONNX model that torch made of a program against the program."""
        if self._foreign.program is None:
            return {}
        from edgedl.export.program import ProgramSession

        converted = open_session(self._foreign.original.SerializeToString(), name=str(self._path))
        names = [spec.name for spec in self._inputs]
        given = [
            {spec.name: one[name] for spec, name in zip(converted.inputs, names, strict=True)}
            for one in feeds
        ]
        program = ProgramSession(self._foreign.program, converted.inputs, converted.outputs)
        try:
            return differences({"model": converted}, {"model": program}, {"model": given})
        finally:
            converted.close()

    def write_graphs(self, folder: Path) -> None:
        """Write the cleaned graph."""
        onnx.save(self._model, folder / graph_name("model", "fp32"))

    def samples(self, split: str, limit: int) -> Evaluation:
        """Return samples of which the original's own answers are right."""
        if self.spec.image is not None:
            return self._pictures(split, limit)
        rows = _rows(len(self._feeds), split, limit)
        feeds = [self._feeds[row] for row in rows]
        return self._rated(split, lambda i: Given(arrays=feeds[i]), feeds)

    def explain_no_samples(self) -> str:
        """Name the folder."""
        return f"{self._samples} holds no samples"

    @cached_property
    def _feeds(self) -> list[Feeds]:
        """Return all samples of a model that takes arrays."""
        if self._samples is None:
            return list(_made_up(self._inputs, self._notes.inputs, RANDOM))
        files = _files(self._samples, ENDINGS)
        return [one for file in files for one in _of_file(file, self._inputs, self._notes.inputs)]

    @cached_property
    def _all_pictures(self) -> Pictures:
        """Return all samples of a model that takes pictures."""
        assert self.spec.image is not None
        if self._samples is None:
            shape = (RANDOM, *self.spec.image.size_hw, 3)
            made = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            names = [f"random {i}" for i in range(RANDOM)]
            return Pictures(made, np.zeros(RANDOM, np.int64), names)
        files = _files(self._samples, PICTURES)
        problems = Problems()
        found = checked([Item(str(file), "", "", file) for file in files], [""], problems)
        problems.finish("fail", can_skip=False)
        return found[""]

    def _pictures(self, split: str, limit: int) -> Evaluation:
        assert self.spec.image is not None
        most = max(1, _MAX_BYTES // (4 * prod(self.spec.image.shape[1:])))
        rows = _rows(len(self._all_pictures), split, min(limit, most))
        pictures = self._all_pictures.take(np.asarray(rows, np.int64))
        tensors = Prepared(self.spec.image, pictures.pictures)
        session = self.sessions["model"]
        if self.spec.task == "classification":
            answers = [session.run({"image": one[None]})["logits"][0] for one in tensors]
            truths = np.array([answer.argmax() for answer in answers], np.int64)
            return Classification(split, pictures, tensors, truths)
        name = session.inputs[0].name
        feeds = [{name: one[None]} for one in tensors]
        return self._rated(split, lambda i: Given((as_bgr(pictures.pictures[i]),)), feeds)

    def _rated(
        self, split: str, given: Callable[[int], Given], feeds: Sequence[Feeds]
    ) -> Agreement:
        """Return samples with the original's answers, as many as memory is meant for."""
        answers = [self._answer(one) for one in feeds[:1]]
        answer_bytes = sum(array.nbytes for one in answers for array in one.values())
        size = n = 0
        for one in feeds:
            n += 1
            size += answer_bytes + sum(array.nbytes for array in one.values())
            if size > _MAX_BYTES:
                break
        return Agreement(split, given, tuple(feeds[:n]), self._answer)

    def _answer(self, feeds: Feeds) -> Mapping[str, Array]:
        """Return what the original says.

        Raises:
            BundleError: E414 it is no number.
        """
        found = self.sessions["model"].run(feeds)
        for name, array in found.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                made = "" if self.is_sampled else "made up "
                msg = (
                    f"{self._path}: output {name!r} is NaN or infinite for a {made}sample; "
                    "give samples as it was trained on: --calib DIR"
                )
                raise BundleError("E414", msg)
        return found


def _labels(notes: ModelNotes, where: Path | None) -> tuple[str, ...]:
    """Return the names of the classes.

    Raises:
        ConfigError: E205 a classifier lacks them or its image, or another model has them.
        BundleError: E416 the file is no list of names, E403 it cannot be read.
    """
    if notes.task != "classification":
        if notes.labels:
            msg = f"{where}: labels are for task = 'classification'; got {notes.task!r}"
            raise ConfigError("E205", msg)
        return ()
    if not notes.labels or notes.image is None:
        what = "labels = FILE" if notes.image else "an [image] section"
        msg = f"{where}: task = 'classification' needs {what}"
        raise ConfigError("E205", msg)
    assert where is not None
    file = where.parent / notes.labels
    try:
        raw = file.read_bytes()
    except OSError as err:
        msg = f"{file} cannot be read: {err.strerror}"
        raise BundleError("E403", msg) from err
    if file.suffix.lower() != ".json":
        lines = [line.strip() for line in raw.decode(errors="replace").splitlines()]
        raw = json.dumps({"labels": [line for line in lines if line]}).encode()
    return parse_labels(raw, str(file))


def _check_batch(session: Session, path: Path) -> None:
    """Raise when a graph takes only as many pictures at once as its example had.

    Raises:
        BundleError: E451.
    """
    spec = session.inputs[0]
    shape = (2, *(int(size) for size in spec.shape[1:]))
    image = np.random.default_rng(0).random(shape, np.float32).astype(spec.dtype)
    each = np.concatenate([session.run({"image": one[None]})["logits"] for one in image])
    try:
        both = session.run({"image": image})["logits"]
    except BundleError:
        both = each[:1]
    if both.shape != each.shape or not np.allclose(both, each, rtol=1e-3, atol=1e-3):
        msg = (
            f"{path}: the batch of its example is fixed inside the graph; export it with a dynamic "
            'batch, or without task = "classification"'
        )
        raise BundleError("E451", msg)


def _rows(count: int, split: str, limit: int) -> list[int]:
    """Return which samples belong to a split: of four, two calibrate, one chooses, one is told."""
    if count < _FEW:
        rows = list(range(count))
    else:
        rows = [i for i in range(count) if i % 4 in _PARTS[split]]
    return [rows[i] for i in some(rows, limit)]


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    """Return the files of a folder, and of those in it, that have one of some endings.

    Raises:
        DataError: E356 there is none.
    """
    there = [f for f in sorted(folder.rglob("*")) if f.is_file()]
    there = [f for f in there if not is_hidden(f.relative_to(folder))]
    files = [f for f in there if f.suffix.lower() in endings]
    unread = Counter(end for f in there if (end := f.suffix.lower()) in UNREAD)
    if files:
        if endings == PICTURES:
            tell_unread(folder, unread)
        return files
    found = f"holds no {' or '.join(endings)} files" if folder.is_dir() else "is no folder"
    msg = f"--calib {folder} {found}, of which samples are read"
    if endings == ENDINGS and any(f.suffix.lower() in (*PICTURES, *UNREAD) for f in there):
        msg += (
            "; that its pictures are, let --spec spec.toml say how they become the input: [image] "
            "size_hw = [H, W], mean = […], std = […]"
        )
    elif unread:
        msg += f"; save those in {', '.join(unread)} as JPEG or PNG"
    raise DataError("E356", msg)


def _of_file(
    file: Path, inputs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]]
) -> Iterator[Feeds]:
    """Yield the samples of a file: along the first axis there may be many, one after the other.

    How many rows make one sample is the size of that axis, 1 where it is open and the notes do not
    say it. Where inputs disagree on how many there are, the file is one sample.
    """
    try:
        feeds = fitted_rows(read_arrays(file), inputs, sizes)
    except UsageError as err:
        msg = f"{file}: {err}"
        raise DataError("E355", msg) from err
    yield from feeds


def fitted_rows(
    arrays: Mapping[str, Array],
    inputs: Sequence[TensorSpec],
    sizes: Mapping[str, Sequence[int]],
) -> list[Feeds]:
    """Return the samples of some arrays; see ``_of_file``.

    Raises:
        UsageError: E110 they do not fit the inputs.
    """
    if len(inputs) == 1 and list(arrays) == [""]:
        arrays = {inputs[0].name: arrays[""]}
    steps = {spec.name: _step(spec, sizes) for spec in inputs if spec.shape}
    counts = {
        len(arrays[spec.name]) // steps[spec.name]
        for spec in inputs
        if spec.shape and spec.name in arrays and arrays[spec.name].ndim == len(spec.shape)
        if len(arrays[spec.name]) % steps[spec.name] == 0
    }
    if len(counts) != 1 or counts == {1} or not counts.isdisjoint({0}):
        return [fitted(arrays, inputs)]
    (count,) = counts
    parted = []
    for index in range(count):
        cut = {
            name: array[index * steps[name] : (index + 1) * steps[name]]
            if name in steps and array.ndim
            else array
            for name, array in arrays.items()
        }
        parted.append(fitted(cut, inputs))
    return parted


def _step(spec: TensorSpec, sizes: Mapping[str, Sequence[int]]) -> int:
    first = spec.shape[0]
    if sizes.get(spec.name):
        return max(1, sizes[spec.name][0])
    return first if isinstance(first, int) and first > 0 else 1


def _made_up(
    inputs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]], count: int
) -> Iterator[Feeds]:
    """Yield random samples: floats in 0..1, bytes of their full range, other integers 0 or 1."""
    shapes = {spec.name: _shape(spec, inputs, sizes) for spec in inputs}
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {spec.name: _random(rng, shapes[spec.name], np.dtype(spec.dtype)) for spec in inputs}


def _random(rng: np.random.Generator, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
    if kind.kind == "f":
        return np.asarray(rng.random(shape, np.float32), kind)
    high = 256 if kind.itemsize == 1 and kind.kind != "b" else 2
    return np.asarray(rng.integers(0, high, shape)).astype(kind)


def _shape(
    spec: TensorSpec, inputs: Sequence[TensorSpec], sizes: Mapping[str, Sequence[int]]
) -> tuple[int, ...]:
    """Return the sizes of an input: what is fixed, what the notes say, and 1 for the batch.

    Raises:
        UsageError: E133 a size is open, and nobody says it.
        ConfigError: E205 the notes say sizes that do not fit.
    """
    known = {one.shape[0]: 1 for one in inputs if one.shape}  # the batch
    for one in inputs:
        told = sizes.get(one.name, one.shape)
        is_fit = len(told) == len(one.shape) and all(
            a == b or not isinstance(b, int) for a, b in zip(told, one.shape, strict=True)
        )
        if not is_fit or any(isinstance(size, int) and size < 1 for size in told):
            msg = f"[inputs] {one.name!r} must be sizes for {_axes(one)}; got {list(told)}"
            raise ConfigError("E205", msg)
        known |= {b: a for a, b in zip(told, one.shape, strict=True) if isinstance(a, int)}
    found = [size if isinstance(size, int) else known.get(size) for size in spec.shape]
    if None in found:
        example = [size if size is not None else 64 for size in found]
        msg = (
            f"input {spec.name!r} {_axes(spec)} has open sizes that no sample shows; give samples "
            f"with --calib DIR, or sizes with --spec spec.toml, in it: [inputs] "
            f'"{spec.name}" = {example}'
        )
        raise UsageError("E133", msg)
    return tuple(int(size) for size in found if size is not None)


def _axes(spec: TensorSpec) -> str:
    return f"({', '.join(map(str, spec.shape))})"
