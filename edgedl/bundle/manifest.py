"""The record that says what a bundle holds, where it came from and how good it is.

``manifest.json`` is read strictly: an unknown, missing or mistyped key is an error that names it.
The file carries its own digest, so that a change of any byte of it is noticed; the digests of all
other files are in it. That protects against accidents, not against somebody who writes a new
digest.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Literal, TypeAlias, cast

from edgedl.bundle.files import MAX_FILES, MAX_TOTAL_BYTES, safe_name
from edgedl.errors import BundleError, ConfigError, IntegrityError
from edgedl.options import check_ranges, options_from
from edgedl.spec import (
    KINDS,
    NEEDS,
    ROLES,
    ClipSpec,
    ImageSpec,
    SeriesSpec,
    Task,
    TensorSpec,
    TextSpec,
)
from edgedl.version import VERSION

SCHEMA = 1
MAX_BYTES = 4 << 20
PACKED = "int8-packed"
"""INT8 for CPUs whose step is run by a kernel of ours."""
INT8 = ("int8-cpu", PACKED, "int8-trt")
PRECISIONS = ("fp32", "fp16", "bf16", *INT8)
WORDS = {"labels": "labels.json", "tokens": "vocab.json"}
"""What of a model's spec lies in a file of its own."""

Numbers: TypeAlias = Mapping[str, int | float]

_NO_DIGEST = "0" * 64
_DIGEST = re.compile(rb'"digest": "([0-9a-f]{64})"')
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """What the bundle was made from.

    Attributes:
        kind: ``"run"``, ``"bundle"`` or ``"model"``.
        sha256: Digest of the parent: of a run's weights file, of a bundle's manifest, of a model's
            file.
    """

    kind: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """How a caption is searched.

    Attributes:
        method: ``"greedy"``: the most probable token each time, and all below but ``max_tokens``
            as they are by default. ``"beam"``: beam search, see ``edgedl.runtime.decode.beam``.
        max_tokens: A caption is cut after so many tokens, ``<eos>`` included, 1..1000.
        beams: Captions that are written beside each other, 1..64.
        length_penalty: The alpha of Wu et al. 2016 (arXiv:1609.08144, equation 14), 0..10: captions
            compete by log-probability / ((5 + tokens) / 6) ** alpha; 0 prefers short ones.
        no_repeat_ngram: So many tokens in a row do not come twice, 0..1000; 0: they may.
        min_tokens: No caption ends before so many tokens, 0..1000.
    """

    method: Literal["greedy", "beam"] = "greedy"
    max_tokens: int = 20
    beams: int = 1
    length_penalty: float = 0.0
    no_repeat_ngram: int = 0
    min_tokens: int = 0

    def __post_init__(self) -> None:
        check_ranges(
            "decode",
            self,
            max_tokens=(1, 1000),
            beams=(1, 64),
            length_penalty=(0, 10),
            no_repeat_ngram=(0, 1000),
            min_tokens=(0, 1000),
        )
        if self.method == "greedy" and not self._is_plain:
            msg = "decode.method must be 'beam' for what only beam search can do; got 'greedy'"
            raise ConfigError("E205", msg)

    def changed(self, changes: Mapping[str, float]) -> DecodeOptions:
        """Return these options with some changed; beam search where one of them needs that."""
        beam = replace(self, method="beam", **cast("Any", changes))
        return replace(beam, method="greedy") if beam._is_plain else beam

    @property
    def _is_plain(self) -> bool:
        table = (self.beams, self.length_penalty, self.no_repeat_ngram, self.min_tokens)
        return table == (1, 0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One ONNX file.

    Attributes:
        role: ``"model"``, ``"encoder"`` or ``"step"``.
        precision: One of ``PRECISIONS``.
        file: Its name in the bundle, ``graphs/ROLE.PRECISION.onnx``; of ``int8-packed`` the
            step is a ``.safetensors`` and the encoder that of ``int8-cpu``.
        inputs: What goes in; a batch of any size is written ``"N"``.
        outputs: What comes out.
        operators: Operator type to how often it occurs.
    """

    role: str
    precision: str
    file: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionRecord:
    """How good and how fast the graphs of one precision are.

    Attributes:
        quality: Metric name to value on the held-out pictures (``exact`` 0..1, ``bleu4``,
            ``cider_d``), and ``n``, how many pictures those were.
        drop_points: What was lost against fp32, by the rule of ``--max-drop``; 0 for fp32.
        kept_quality: Whether that is within ``--max-drop``; only then ``auto`` may take it.
        latency_ms: Backend to the median time of one caption (encode and decode, batch 1, one
            thread, without pre-processing) on the manifest's ``machine``.
        error_bounds: Output name (``features``, ``logits``) to the largest allowed difference
            from the golden arrays of this precision, divided by their largest magnitude.
        texts_equal: Fraction of the golden texts of this precision a device must reproduce, 0..1.
    """

    quality: Numbers
    drop_points: float = 0.0
    kept_quality: bool = True
    latency_ms: Numbers = field(default_factory=dict)
    error_bounds: Numbers = field(default_factory=dict)
    texts_equal: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A precision that was tried and not written.

    Attributes:
        precision: Its name.
        reason: One sentence with the numbers, for people.
        quality: As in ``PrecisionRecord``, if it was measured.
        latency_ms: As in ``PrecisionRecord``, if it was measured.
    """

    precision: str
    reason: str
    quality: Numbers = field(default_factory=dict)
    latency_ms: Numbers = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """On what the INT8 ranges were found.

    Attributes:
        method: ``"minmax"``, ``"percentile"``, …
        n: Number of pictures.
        sha256: Digest of their pre-processed tensors in order.
    """

    method: str
    n: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TryRecord:
    """One way to quantise that was looked at.

    Attributes:
        recipe: The way in words: how ranges were chosen, how many layers stayed in float.
        error: Root mean square of what the graphs' outputs change by, as a part of their own.
        lost: Against fp32 on the samples settings were chosen by, by the rule of ``--max-drop``.
        speedup: Times as fast as fp32 on the exporting machine, null where it was not timed.
    """

    recipe: str
    error: float
    lost: float
    speedup: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRecord:
    """What INT8 does to one product of a graph when all others stay in float.

    Attributes:
        role: Of the graph.
        node: Its name there.
        operator: ``Conv``, ``ConvTranspose``, ``Gemm`` or ``MatMul``.
        error: Root mean square of what the graph's outputs change by, as a part of their own.
        extent: Smallest and largest value that came in on calibration samples; empty where ranges
            are found as the graph runs.
        bulk: The range of all but the rarest 0.01 % of those values.
        in_float: It was left in float.
    """

    role: str
    node: str
    operator: str
    error: float
    extent: tuple[float, ...] = ()
    bulk: tuple[float, ...] = ()
    in_float: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """How an INT8 precision came to be.

    Attributes:
        recipe: The way that was taken, in words.
        tries: All ways that were looked at, in order.
        layers: What each layer loses, worst first; empty where the first ways were good enough.
    """

    recipe: str
    tries: tuple[TryRecord, ...] = ()
    layers: tuple[LayerRecord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A prebuilt TensorRT engine; a cache of a graph, never the truth.

    Attributes:
        target: What it was built for, e.g. ``"rtx-1.7"``.
        role: Role of the graph it was built from.
        file: ``engines/TARGET/ROLE.engine``; beside it ``ROLE.json`` says from what and for what.
        precision: Precision of that graph.
    """

    target: str
    role: str
    file: str
    precision: str = "fp16"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """What a file must be.

    Attributes:
        sha256: 64 lower-case hex digits.
        size_bytes: Its exact size.
    """

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of ``manifest.json``; docs/bundle.md describes each key.

    Attributes:
        schema: Version of this format; this edgedl writes and reads 1.
        edgedl: Version that wrote the bundle.
        data: The recipe's ``[data]``: what it was trained on, and how that is split.
        kind: What such a model is called; follows from ``task``.
        quantization: Name of an INT8 precision, written or refused, to how it came to be.
        missing_engines: Target to why it has no engines, though the bundle was to be for it.
        digest: SHA-256 of the file's bytes with these 64 digits replaced by zeros; set by
            ``parse``, computed by ``to_json``.
    """

    name: str
    task: Task
    graphs: tuple[Graph, ...]
    precisions: Mapping[str, PrecisionRecord]
    files: Mapping[str, FileRecord]
    parent: Parent
    created: str
    image_spec: ImageSpec | None = None
    clip: ClipSpec | None = None
    text: TextSpec | None = None
    series: SeriesSpec | None = None
    decode: DecodeOptions | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    refused: tuple[Refused, ...] = ()
    calibration: Calibration | None = None
    quantization: Mapping[str, Quantization] = field(default_factory=dict)
    engines: tuple[Engine, ...] = ()
    missing_engines: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    licences: tuple[str, ...] = ()
    edgedl: str = VERSION
    schema: int = SCHEMA
    digest: str = _NO_DIGEST

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            msg = f"schema {self.schema}"
            raise _from_the_future(msg, self.edgedl)
        if self.kind not in ("", KINDS[self.task]):
            msg = f"kind {self.kind!r}"
            raise _from_the_future(msg, self.edgedl)
        object.__setattr__(self, "kind", KINDS[self.task])
        _check_files(self.files)
        _check_graphs(self)

    def to_json(self) -> str:
        """Return the text of ``manifest.json``, its digest computed."""
        image = self.image_spec.to_dict() if self.image_spec else None
        table = {**asdict(self), "image_spec": image, "digest": _NO_DIGEST}
        first = ("schema", "edgedl", "kind", "task", "name", "created", "parent")
        ordered = {key: table.pop(key) for key in first} | table
        text = json.dumps(ordered, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return text.replace(f'"digest": "{_NO_DIGEST}"', f'"digest": "{digest}"')

    @classmethod
    def parse(cls, raw: bytes, where: str = "manifest.json") -> Manifest:
        """Read the bytes of ``manifest.json``.

        Raises:
            IntegrityError: E402 the bytes are not what was written, E405 a file name is unsafe.
            BundleError: E401 it is no manifest, or one that needs a newer edgedl; E406 it lists
                more than a bundle may hold.
        """
        is_dated = _check_digest(raw, where)
        table = _parse_json(raw, where)
        schema = table.get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            what = f"schema {schema}"
            raise _from_the_future(what, table.get("edgedl"), where)
        if not is_dated:
            msg = f"{where}: key 'digest' must be 64 hex digits; make the bundle again"
            raise BundleError("E401", msg)
        try:
            return options_from(cls, table, where)
        except ConfigError as err:
            raise BundleError("E401", str(err)) from err


def _from_the_future(what: str, version: object, where: str = "manifest.json") -> BundleError:
    msg = f"{where} has {what}, which edgedl {VERSION} cannot read: needs edgedl >= "
    return BundleError("E401", msg + (version if isinstance(version, str) else "unknown"))


def _check_digest(raw: bytes, where: str) -> bool:
    """Compare the digest a manifest carries; False when it carries none."""
    found = _DIGEST.findall(raw)
    if len(found) != 1:
        return False
    if hashlib.sha256(raw.replace(found[0], _NO_DIGEST.encode())).hexdigest().encode() == found[0]:
        return True
    msg = f"{where} was changed after it was written: its sha256 differs; copy the bundle again"
    raise IntegrityError("E402", msg)


def _parse_json(raw: bytes, where: str) -> dict[str, Any]:
    """Return a JSON object without repeated keys, and without numbers that are none or infinite."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) != len(pairs):
            msg = "a key occurs twice"
            raise ValueError(msg)
        return table

    def finite(kind: type[int | float], text: str) -> int | float:
        if not math.isfinite(float(text)):  # of 1e400, too
            msg = f"{text[:20]} is no number that can be used"
            raise ValueError(msg)
        return kind(text)

    whole, real = partial(finite, int), partial(finite, float)
    try:
        table = json.loads(
            raw.decode(),
            object_pairs_hook=once,
            parse_constant=real,
            parse_float=real,
            parse_int=whole,
        )
    except (ValueError, RecursionError) as err:
        msg = f"{where} is not JSON: {err}; make or copy the bundle again"
        raise BundleError("E401", msg) from err
    if not isinstance(table, dict) or "schema" not in table:
        msg = f"{where} is no bundle manifest: it has no key 'schema'"
        raise BundleError("E401", msg)
    return table


def _check_files(files: Mapping[str, FileRecord]) -> None:
    """Check names, digests and limits of what a manifest lists."""
    for name, record in files.items():
        safe_name(name)
        if not _SHA256.match(record.sha256) or record.size_bytes < 0:
            msg = f"manifest.json files[{name!r}] must have 64 hex digits and a size >= 0"
            raise BundleError("E401", msg)
    total = sum(record.size_bytes for record in files.values())
    if len(files) > MAX_FILES or total > MAX_TOTAL_BYTES:
        msg = (
            f"manifest.json lists {len(files)} files of {total} bytes; "
            f"a bundle has at most {MAX_FILES} files of {MAX_TOTAL_BYTES} bytes"
        )
        raise BundleError("E406", msg)


def _check_graphs(manifest: Manifest) -> None:
    """Check that the graphs of each precision are complete, described once, and listed."""
    wanted = ["golden/golden.json", *(g.file for g in manifest.graphs)]
    wanted += [WORDS[part] for part in NEEDS[manifest.task] if part in WORDS]
    wanted += [engine.file for engine in manifest.engines]
    for name in wanted:
        if name not in manifest.files:
            msg = f"manifest.json does not list {name!r} in files"
            raise BundleError("E401", msg)
    named = [engine.precision for engine in manifest.engines]
    for precision in [*named, *(refused.precision for refused in manifest.refused)]:
        if precision not in PRECISIONS:
            msg = f"manifest.json names the precision {precision!a}; there are: "
            raise BundleError("E401", msg + ", ".join(PRECISIONS))
    roles = sorted(ROLES[manifest.task])
    if not manifest.precisions:
        msg = "manifest.json has no precisions"
        raise BundleError("E401", msg)
    for precision in {*manifest.precisions, *(g.precision for g in manifest.graphs)}:
        here = sorted(g.role for g in manifest.graphs if g.precision == precision)
        if precision not in PRECISIONS or here != roles or precision not in manifest.precisions:
            msg = (
                f"manifest.json precision {precision!r} has graphs {here}; each of "
                f"{', '.join(PRECISIONS)} that is there has a record and the graphs {roles}"
            )
            raise BundleError("E401", msg)
