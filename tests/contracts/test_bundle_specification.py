"""The specification of the bundle, its JSON schema and the code say the same."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tiny_kinds import FADES, HEAT, LETTERS, QUARTERS, WARMTH, write_bundle

from edgedl.bundle import Bundle, Manifest
from edgedl.bundle.manifest import (
    Calibration,
    DecodeOptions,
    Engine,
    LayerRecord,
    PrecisionRecord,
    Quantization,
    Refused,
    TryRecord,
)
from edgedl.errors import EdgedlError
from edgedl.spec import KINDS, ModelSpec

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "bundle.schema.json").read_text(encoding="utf-8"))
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def records(record: Any = Manifest) -> dict[str, Any]:
    """Return every dataclass that a manifest is made of, by name."""
    found = {record.__name__: record}

    def look(hint: Any) -> None:
        if dataclasses.is_dataclass(hint) and hint.__name__ not in found:  # type: ignore[union-attr]
            found.update(records(hint))
        for inner in typing.get_args(hint):
            look(inner)

    for hint in typing.get_type_hints(record).values():
        look(hint)
    return found


def allowed(hint: Any) -> set[str]:
    """Return the JSON types of a Python type, without those of what is inside."""
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return set().union(*map(allowed, typing.get_args(hint)))
    if origin is typing.Literal:
        return {"string"}
    if origin is tuple:
        return {"array"}
    if origin is Mapping or dataclasses.is_dataclass(hint):
        return {"object"}
    plain = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
    return {plain[hint]}


def types_of(part: Any) -> set[str]:
    if "$ref" in part:
        return {"object"}
    if "anyOf" in part:
        return set().union(*map(types_of, part["anyOf"]))
    if "enum" in part:
        return {"string"}
    if "const" in part:
        return {"integer"}
    return {part["type"]} if isinstance(part["type"], str) else set(part["type"])


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", records())
def test_the_schema_has_every_key_with_its_type_and_no_other(name: str) -> None:
    record, part = records()[name], SCHEMA if name == "Manifest" else SCHEMA["$defs"][name]
    hints = typing.get_type_hints(record)
    fields = {f.name: f for f in dataclasses.fields(record)}
    assert set(part["properties"]) == set(fields)
    assert part["additionalProperties"] is False
    needed = {
        name
        for name, field in fields.items()
        if field.default is field.default_factory is dataclasses.MISSING
    }
    assert set(part["required"]) == needed | ({"schema", "digest"} if name == "Manifest" else set())
    for key, field in fields.items():
        assert types_of(part["properties"][key]) == allowed(hints[key]), key
        assert part["properties"][key]["description"]
        if "default" in part["properties"][key]:
            made = field.default_factory
            default = field.default if made is dataclasses.MISSING else made()
            default = list(default) if isinstance(default, tuple) else default
            assert part["properties"][key]["default"] == default


def test_the_schema_has_nothing_else() -> None:
    assert set(SCHEMA["$defs"]) == set(records()) - {"Manifest"}
    assert [rule["if"]["properties"]["task"]["const"] for rule in SCHEMA["allOf"]] == list(KINDS)


@pytest.mark.parametrize("name", records())
def test_the_page_names_every_key(name: str) -> None:
    text = (DOCS / "bundle.md").read_text(encoding="utf-8")
    keys = {field.name for field in dataclasses.fields(records()[name])}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_the_page_names_every_error_of_opening() -> None:
    text = (DOCS / "bundle.md").read_text(encoding="utf-8")
    code = "".join(path.read_text() for path in (DOCS.parent / "edgedl" / "bundle").glob("*.py"))
    assert {c for c in re.findall(r'"(E\d{3})"', code) if c not in text} == {"E205"}


@pytest.mark.parametrize("spec", [QUARTERS, FADES, WARMTH, HEAT, LETTERS], ids=lambda s: s.task)
def test_manifests_of_every_kind_are_valid(spec: ModelSpec, tmp_path: Path) -> None:
    path = write_bundle(tmp_path / "x.edge", spec)
    CHECK.validate(json.loads((path / "manifest.json").read_text()))


@pytest.fixture
def table(tiny_bundle: Path, relist: Callable[..., None]) -> dict[str, Any]:
    """Return a manifest in which every key has a value."""
    layer = LayerRecord(
        role="step", node="n", operator="MatMul", error=0.1, extent=(-1.0, 2.0), bulk=(-0.5, 1.0)
    )
    tries = tuple(
        TryRecord(recipe=name, error=0.1, lost=0.5, speedup=speedup)
        for name, speedup in (("minmax", 2.0), ("mse", None))
    )
    precisions = Manifest.parse((tiny_bundle / "manifest.json").read_bytes()).precisions
    (tiny_bundle / "engines" / "rtx-1.7").mkdir(parents=True)
    (tiny_bundle / "engines" / "rtx-1.7" / "step.engine").write_bytes(b"plan")
    relist(
        tiny_bundle,
        precisions={
            name: PrecisionRecord(quality={"exact": 1, "n": 9}, latency_ms={"onnxruntime": 1.5})
            for name in precisions
        },
        refused=(Refused(precision="fp16", reason="slower", latency_ms={"onnxruntime": 3}),),
        calibration=Calibration(method="mse", n=64, sha256="a" * 64),
        quantization={"int8-cpu": Quantization(recipe="mse", tries=tries, layers=(layer,))},
        engines=(Engine(target="rtx-1.7", role="step", file="engines/rtx-1.7/step.engine"),),
        missing_engines={"rtx-1.7": "a node is refused"},
        versions={"onnx": "1.2"},
        machine={"cpu": "x", "cores": 2, "packages": {"numpy": "2.0"}},
        licences=("MIT",),
        data={"generated": "scenes", "sizes": [1, 2]},
    )
    Bundle.open(tiny_bundle)
    return dict(json.loads((tiny_bundle / "manifest.json").read_text()))


def test_a_manifest_with_everything_is_valid(table: dict[str, Any]) -> None:
    CHECK.validate(table)
    assert set(table) == set(SCHEMA["properties"])


def test_real_bundles_are_valid() -> None:
    folder = os.environ.get("EDGEDL_DATA")
    found = list(Path(folder).glob("**/*.edge/manifest.json")) if folder else []
    for path in found:
        CHECK.validate(json.loads(path.read_text()))


def edited(table: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the bytes of a manifest whose digest fits."""
    change(table)
    text = json.dumps({**table, "digest": "0" * 64}, indent=1)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(f'"digest": "{"0" * 64}"', f'"digest": "{digest}"').encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.update(unknown=1),
        lambda t: t.pop("name"),
        lambda t: t.pop("files"),
        lambda t: t.update(schema=2),
        lambda t: t.update(task="detection"),
        lambda t: t.update(kind="classifier"),
        lambda t: t.update(created=5),
        lambda t: t["image_spec"].update(size_hw=[0, 5]),
        lambda t: t["image_spec"].update(size_hw=[5]),
        lambda t: t["image_spec"].update(std=[0.0, 1.0, 1.0]),
        lambda t: t["image_spec"].update(resize="lanczos"),
        lambda t: t["decode"].update(max_tokens=0),
        lambda t: t["decode"].update(method="sample"),
        lambda t: t["decode"].update(beams=5),
        lambda t: t["decode"].update(min_tokens=1),
        lambda t: t["decode"].update(method="beam", beams=65),
        lambda t: t["decode"].update(method="beam", length_penalty=-0.1),
        lambda t: t["decode"].update(method="beam", no_repeat_ngram=-1),
        lambda t: t["precisions"].update(int4=t["precisions"]["fp32"]),
        lambda t: t.update(precisions={}),
        lambda t: t["precisions"]["fp32"].update(quality={"exact": "good"}),
        lambda t: t["precisions"]["fp32"].update(kept_quality=1),
        lambda t: t["graphs"][0].update(operators=["Conv"]),
        lambda t: t["graphs"][0].update(role="decoder"),
        lambda t: t["graphs"][0]["inputs"][0].update(shape=[None]),
        lambda t: t["refused"][0].update(precision="int4"),
        lambda t: t["refused"][0].pop("reason"),
        lambda t: t["engines"][0].update(precision="fp8"),
        lambda t: t["missing_engines"].update({"rtx-1.7": None}),
        lambda t: t["files"].update({"../x": t["files"]["vocab.json"]}),
        lambda t: t["files"]["vocab.json"].update(sha256="AB"),
        lambda t: t["files"]["vocab.json"].update(size_bytes=-1),
        lambda t: t["quantization"]["int8-cpu"]["layers"][0].update(error="large"),
        lambda t: t["quantization"]["int8-cpu"]["tries"][0].pop("lost"),
        lambda t: t["calibration"].update(n=1.5),
        lambda t: t.update(licences="MIT"),
    ],
)
def test_what_edgedl_refuses_the_schema_refuses(
    table: dict[str, Any], change: Callable[[dict[str, Any]], object]
) -> None:
    raw = edited(table, change)
    with pytest.raises(EdgedlError):
        Manifest.parse(raw)
    assert not CHECK.is_valid(json.loads(raw))


@pytest.mark.parametrize("part", [{"image_spec": None}, {"clip": {"frames": 3}}])
def test_parts_that_do_not_belong_to_the_task(
    table: dict[str, Any], tiny_bundle: Path, part: dict[str, Any]
) -> None:
    raw = edited(table, lambda t: t.update(part))
    with pytest.raises(EdgedlError, match=r"a model for captioning (needs image|has no clip)"):
        _ = Bundle(tiny_bundle, Manifest.parse(raw)).model_spec
    assert not CHECK.is_valid(json.loads(raw))


def test_beam_search_and_what_older_bundles_say_of_decoding(table: dict[str, Any]) -> None:
    for decode in (
        {"method": "beam", "beams": 5, "length_penalty": 0.6, "no_repeat_ngram": 3},
        {"method": "greedy", "max_tokens": 20},
        {},
    ):
        raw = edited(table, lambda t, decode=decode: t.update(decode=decode))
        assert Manifest.parse(raw).decode == DecodeOptions(**decode)
        CHECK.validate(json.loads(raw))


def test_keys_with_a_default_may_be_left_out(table: dict[str, Any]) -> None:
    def strip(table: dict[str, Any]) -> None:
        for key in [k for k, p in SCHEMA["properties"].items() if "default" in p]:
            if key not in ("image_spec", "decode"):
                table.pop(key)

    raw = edited(table, strip)
    Manifest.parse(raw)
    CHECK.validate(json.loads(raw))
