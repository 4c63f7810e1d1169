"""The bundle: a folder or packed file with all that a device needs to run and prove itself."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from edgedl.bundle.files import (
    MAX_FILES,
    MAX_TOTAL_BYTES,
    new_folder,
    safe_name,
    sha256_file,
    write_file,
)
from edgedl.bundle.golden import (
    Expected,
    Given,
    GoldenSample,
    parse_golden,
    read_golden,
    tensor_sha256,
    write_golden,
)
from edgedl.bundle.manifest import MAX_BYTES, FileRecord, Graph, Manifest
from edgedl.bundle.mapped import map_file
from edgedl.bundle.onnx_bytes import scan_onnx
from edgedl.bundle.packed import MANIFEST, is_packed, list_packed, map_packed, pack, read_packed
from edgedl.errors import BundleError, ConfigError, EdgedlError, IntegrityError
from edgedl.spec import NEEDS, ModelSpec
from edgedl.vocab import Vocab, parse_labels

if TYPE_CHECKING:
    from edgedl.spec import ImageSpec

__all__ = [
    "Bundle",
    "Expected",
    "FileRecord",
    "Given",
    "GoldenSample",
    "Graph",
    "Manifest",
    "list_files",
    "new_folder",
    "pack",
    "read_golden",
    "safe_name",
    "sha256_file",
    "tensor_sha256",
    "write_file",
    "write_golden",
]


@dataclass(frozen=True)
class Bundle:
    """A checked bundle.

    Attributes:
        path: Its folder or packed file, as it was named.
        manifest: What it says about itself.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str) -> Bundle:
        """Check a bundle: names, limits, presence, sizes, digests, then the graphs.

        Raises:
            BundleError: E400 no bundle, E401 manifest, E403 a file is missing, E404 an unlisted
                one is there, E406 too many or too large, E410 a graph is no ONNX model.
            IntegrityError: E402 a file was changed, E405 an unsafe one is there, E411 a graph
                keeps data in other files.
        """
        path = Path(path)
        try:
            here = _list(path)
        except EdgedlError:
            raise
        except OSError as err:
            msg = f"{path} cannot be read: {err.strerror}"
            raise BundleError("E403", msg) from err
        bundle = cls(path, Manifest.parse(_read(path, MANIFEST, MAX_BYTES), str(path / MANIFEST)))
        files = bundle.manifest.files
        for name in sorted({MANIFEST, *files} - set(here)):
            msg = f"{path}: {name} is missing; copy the bundle again"
            raise BundleError("E403", msg)
        for name in sorted(set(here) - {MANIFEST, *files}):
            msg = (
                f"{path}: {_shown(name)} is not in the manifest; remove it or copy the bundle again"
            )
            raise BundleError("E404", msg)
        for name, record in files.items():
            if here[name] != record.size_bytes:
                raise _changed(path, name, f"{record.size_bytes} bytes, got {here[name]}")
        graphs = {graph.file for graph in bundle.manifest.graphs}
        for name in files:
            raw = bundle.read(name)
            if name in graphs and name.endswith(".onnx"):
                scan_onnx(raw, str(path / name))
        return bundle

    def read(self, name: str) -> bytes:
        """Return the bytes of a listed file, checked: what was hashed is what you get.

        Raises:
            BundleError: E403 the file is not listed, or no longer there.
            IntegrityError: E402 it changed.
        """
        raw = _read(self.path, name, self._record(name).size_bytes)
        self._check(name, raw)
        return raw

    def map(self, name: str) -> memoryview:
        """Return the bytes of a listed file where they lie, checked; see ``bundle.mapped``.

        They are read only once, and what was hashed is what you get, unless somebody writes into
        the file instead of replacing it.

        Raises:
            BundleError: E403 the file is not listed, or no longer there.
            IntegrityError: E402 it changed.
        """
        size = self._record(name).size_bytes
        raw = _map(self.path, name)
        if len(raw) != size:
            raise _changed(self.path, name, f"{size} bytes, got {len(raw)}")
        self._check(name, raw)
        return raw

    def read_manifest(self) -> bytes:
        """Return the bytes of ``manifest.json``, checked as ``read`` does.

        Raises:
            BundleError: E403 it is no longer there.
            IntegrityError: E402 it changed.
        """
        raw = _read(self.path, MANIFEST, MAX_BYTES)
        if Manifest.parse(raw, str(self.path / MANIFEST)).digest != self.manifest.digest:
            raise _changed(self.path, MANIFEST, f"a digest of {self.manifest.digest[:12]}…")
        return raw

    def find_graph(self, role: str, precision: str) -> Graph | None:
        """Return the record of a graph, None if there is none."""
        return next(
            (g for g in self.manifest.graphs if (g.role, g.precision) == (role, precision)), None
        )

    def graph(self, role: str, precision: str) -> Path:
        """Return the path of a graph.

        Raises:
            BundleError: E419 there is no such graph.
        """
        graph = self.find_graph(role, precision)
        if graph is None:
            msg = f"{self.path} has no {precision} {role}; it has {', '.join(self.precisions)}"
            raise BundleError("E419", msg)
        return self.path / graph.file

    @property
    def precisions(self) -> tuple[str, ...]:
        """Names of the precisions that were written."""
        return tuple(self.manifest.precisions)

    @property
    def spec(self) -> ImageSpec:
        """How a picture becomes a tensor.

        Raises:
            BundleError: E419 no pictures go into such a model.
        """
        if self.manifest.image_spec is None:
            msg = f"{self.path} is a {self.manifest.kind}: no pictures go into it"
            raise BundleError("E419", msg)
        return self.manifest.image_spec

    @cached_property
    def model_spec(self) -> ModelSpec:
        """How the model is fed and how its answer is read.

        Raises:
            BundleError: E401 the manifest lacks a part of it, E416 labels or vocabulary are wrong.
        """
        manifest, needed = self.manifest, NEEDS[self.manifest.task]
        try:
            return ModelSpec(
                task=manifest.task,
                image=manifest.image_spec,
                clip=manifest.clip,
                text=manifest.text,
                series=manifest.series,
                labels=self._labels if "labels" in needed else (),
                tokens=self.vocab.tokens if "tokens" in needed else (),
            )
        except ConfigError as err:
            msg = f"{self.path / MANIFEST}: {err}"
            raise BundleError("E401", msg) from err

    @cached_property
    def vocab(self) -> Vocab:
        """Words or characters with their ids."""
        return Vocab.parse(self.read("vocab.json"), str(self.path / "vocab.json"))

    def _record(self, name: str) -> FileRecord:
        record = self.manifest.files.get(name)
        if record is None:
            msg = f"{self.path} has no file {name!r}"
            raise BundleError("E403", msg)
        return record

    def _check(self, name: str, raw: bytes | memoryview) -> None:
        if hashlib.sha256(raw).hexdigest() != self._record(name).sha256:
            raise _changed(self.path, name, "a sha256 that differs")

    @property
    def _labels(self) -> tuple[str, ...]:
        return parse_labels(self.read("labels.json"), str(self.path / "labels.json"))

    def golden(self) -> tuple[GoldenSample, ...]:
        """Return samples with the outputs they must give.

        Raises:
            BundleError: E418 it is no golden set of such a model.
        """
        return parse_golden(lambda name: self.read(f"golden/{name}"), self.model_spec)

    @property
    def size_bytes(self) -> int:
        """Size of all listed files."""
        return sum(record.size_bytes for record in self.manifest.files.values())


def list_files(folder: Path) -> dict[str, FileRecord]:
    """Return what a manifest has to list: every file below ``folder`` but the manifest itself.

    Raises:
        IntegrityError: E405 a name or kind of file that no bundle may hold.
    """
    return {
        name: FileRecord(sha256=sha256_file(folder / name), size_bytes=size)
        for name, size in sorted(_walk(folder))
        if name != MANIFEST
    }


def _list(path: Path) -> dict[str, int]:
    """Return name and size of every file of a bundle.

    Raises:
        BundleError: E400 it is none; says what was found instead. E406 more than a bundle may hold.
        IntegrityError: E402, E405 it is packed and damaged, or holds what is unsafe.
    """
    if is_packed(path):
        here = list_packed(path)
        if MANIFEST in here:
            return here
        found = f"{_missing(list(here))}; make it with: edgedl pack BUNDLE"
    elif not path.exists():
        found = "it does not exist"
        if Path(f"{path}.unfinished").is_dir():
            found += f"; to go on with the training of a run: edgedl train --out {path} --resume"
    elif path.suffix.lower() in (".onnx", ".pt2") and path.is_file():
        found = f"it is a model; make a bundle of it: edgedl export {path} --out {path.stem}.edge"
    elif not path.is_dir():
        found = f"it is a file of {path.stat().st_size} bytes, not a folder or a packed bundle"
    elif (path / MANIFEST).exists():
        return dict(_walk(path))
    elif (path / "model.json").is_file():
        found = f"it is a run; make a bundle of it: edgedl export {path} --out {path.name}.edge"
    else:
        found = _missing([item.name for item in path.iterdir()])
    msg = f"{path} is not a bundle: {found}"
    raise BundleError("E400", msg)


def _missing(names: list[str]) -> str:
    """Say what is there instead of a manifest."""
    shown = ", ".join(_shown(name) for name in sorted(names)[:3]) + ", …" * (len(names) > 3)
    return f"manifest.json is missing; found {shown}" if names else "it is empty"


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    """Yield name and size of every file below ``folder``, all of them regular and their own.

    Raises:
        IntegrityError: E405 a link, device, or a name that is unsafe.
        BundleError: E406 more than a bundle may hold.
    """
    count = total = 0
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        with os.scandir(folder / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                info = entry.stat(follow_symlinks=False)
                count, total = count + 1, total + info.st_size
                if count > 2 * MAX_FILES or total > MAX_TOTAL_BYTES:
                    msg = f"{folder} holds more than {MAX_FILES} files or {MAX_TOTAL_BYTES} bytes"
                    raise BundleError("E406", msg)
                if stat.S_ISDIR(info.st_mode):
                    waiting.append(safe_name(name, str(folder)) + "/")
                else:
                    _check_is_plain(info, folder / _shown(name))
                    yield name, info.st_size


def _check_is_plain(info: os.stat_result, shown: Path) -> None:
    """Refuse what is more, or less, than the content of one file."""
    if stat.S_ISLNK(info.st_mode):
        what = "it is a link"
    elif not stat.S_ISREG(info.st_mode):
        what = "it is not a regular file"
    elif info.st_nlink != 1:
        what = f"it is one file under {info.st_nlink} names"
    else:
        return
    msg = f"unsafe file {shown}: {what}; put a copy of the content there"
    raise IntegrityError("E405", msg)


def _read(folder: Path, name: str, max_bytes: int) -> bytes:
    """Read a file that is no link, and not longer than it may be."""
    try:
        if is_packed(folder):
            raw = read_packed(folder, name, max_bytes)
        else:
            with _opened(folder / name) as file:
                raw = file.read(max_bytes + 1)
    except OSError as err:
        msg = f"{folder / name} cannot be read: {err.strerror}"
        raise BundleError("E403", msg) from err
    if len(raw) <= max_bytes:
        return raw
    if name == MANIFEST:
        msg = f"{folder / name} is larger than {max_bytes} bytes"
        raise BundleError("E406", msg)
    raise _changed(folder, name, f"at most {max_bytes} bytes, got more")


def _map(folder: Path, name: str) -> memoryview:
    """Map a file that is no link."""
    try:
        if is_packed(folder):
            return map_packed(folder, name)
        with _opened(folder / name) as file:
            return map_file(file)
    except OSError as err:
        msg = f"{folder / name} cannot be read: {err.strerror}"
        raise BundleError("E403", msg) from err


def _opened(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def _shown(name: str) -> str:
    """Return a name on one line, whatever is in it."""
    return ascii(name)[1:-1]


def _changed(folder: Path, name: str, what: str) -> IntegrityError:
    msg = f"{folder}: {name} is not what the manifest says: expected {what}; copy the bundle again"
    return IntegrityError("E402", msg)
