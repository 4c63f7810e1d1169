"""Which graphs run, decided from the manifest alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgedl.bundle.manifest import Graph, Manifest, PrecisionRecord
from edgedl.errors import BundleError, EdgedlError, UsageError
from edgedl.runtime.choose import choose


@pytest.fixture(scope="module")
def manifest(tiny_bundle_master: Path) -> Manifest:
    return Manifest.parse((tiny_bundle_master / "manifest.json").read_bytes())


def having(manifest: Manifest, **times_ms: float | None) -> Manifest:
    """Return a manifest with these precisions; None is not timed, negative lost quality."""
    names = {name.replace("_", "-"): ms for name, ms in times_ms.items()}
    records = {
        name: PrecisionRecord(
            quality={"n": 1},
            kept_quality=ms is None or ms > 0,
            latency_ms={} if ms is None else {"onnxruntime": abs(ms)},
        )
        for name, ms in names.items()
    }
    graphs = tuple(
        Graph(role=role, precision=name, file="vocab.json", inputs=(), outputs=(), operators={})
        for name in names
        for role in ("encoder", "step")
    )
    return dataclasses.replace(manifest, precisions=records, graphs=graphs)


def test_int8_on_a_cpu_is_the_packed_step_where_there_is_one(manifest: Manifest) -> None:
    both = having(manifest, fp32=2, int8_cpu=1, int8_packed=0.5)
    assert choose(both, precision="int8").precision == "int8-packed"
    assert choose(both).precision == "int8-packed"
    assert choose(both, precision="int8-cpu").precision == "int8-cpu"
    one = having(manifest, fp32=2, int8_cpu=1)
    assert choose(one, precision="int8").precision == "int8-cpu"
    with pytest.raises(BundleError, match=r"no int8-cpu, it has: fp32"):
        choose(having(manifest, fp32=2), precision="int8")


@pytest.mark.parametrize(
    ("times_ms", "chosen"),
    [
        ({"fp32": 2.0, "int8_cpu": 1.0}, "int8-cpu"),
        ({"fp32": 1.0, "int8_cpu": 2.0}, "fp32"),
        ({"fp32": 2.0, "int8_cpu": -1.0}, "fp32"),
        ({"fp32": None, "int8_cpu": None}, "int8-cpu"),
        ({"fp32": 1.0, "int8_cpu": None}, "int8-cpu"),
        ({"fp32": None}, "fp32"),
        ({"fp32": 2.0, "fp16": 0.1, "int8_trt": 0.1}, "fp32"),
    ],
)
def test_automatic(manifest: Manifest, times_ms: dict[str, float | None], chosen: str) -> None:
    choice = choose(having(manifest, **times_ms))
    assert (choice.backend, choice.precision) == ("onnxruntime", chosen)
    assert choice.reason


def test_the_reason_has_the_numbers(manifest: Manifest) -> None:
    assert choose(manifest).reason == "fastest when exported: int8-cpu 1 ms, fp32 2 ms"


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [("int8", "int8-cpu"), ("int8-cpu", "int8-cpu"), ("int8-trt", "int8-trt"), ("fp16", "fp16")],
)
def test_by_name(manifest: Manifest, asked: str, chosen: str) -> None:
    there = having(manifest, fp32=1.0, fp16=1.0, int8_cpu=-1.0, int8_trt=1.0)
    assert choose(there, precision=asked).precision == chosen


def test_bf16_is_for_engines(manifest: Manifest) -> None:
    there = having(manifest, fp32=None, bf16=None)
    assert choose(there).precision == "fp32"
    for asked in ("auto", "bf16"):
        assert choose(there, "tensorrt_rtx", asked).precision == "bf16"
    with pytest.raises(BundleError, match="run as TensorRT engines only") as caught:
        choose(there, precision="bf16")
    assert caught.value.code == "E412"
    with pytest.raises(BundleError, match="no bf16, it has: fp32, int8-cpu") as caught:
        choose(manifest, precision="bf16")
    assert caught.value.code == "E419"


def test_unavailable_says_what_is_there_and_why(manifest: Manifest) -> None:
    with pytest.raises(
        BundleError, match=r"no fp16, it has: fp32, int8-cpu; fp16 was refused: 3\.1"
    ):
        choose(manifest, precision="fp16")


def test_nothing_can_be_chosen(manifest: Manifest) -> None:
    with pytest.raises(BundleError, match="no graph can be chosen for onnxruntime") as caught:
        choose(having(manifest, fp16=1.0))
    assert caught.value.code == "E419"


@pytest.mark.parametrize(("backend", "precision"), [("tpu", "auto"), ("auto", "int9")])
def test_unknown_names(manifest: Manifest, backend: str, precision: str) -> None:
    with pytest.raises(UsageError, match="there are: auto") as caught:
        choose(manifest, backend, precision)
    assert isinstance(caught.value, EdgedlError)
    assert caught.value.exit_code == 2
