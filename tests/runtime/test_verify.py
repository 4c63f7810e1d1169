"""A bundle that computes something else here is found out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgedl.bundle import Bundle, write_golden
from edgedl.bundle.manifest import Engine, PrecisionRecord
from edgedl.errors import BundleError
from edgedl.runtime import verify as module
from edgedl.runtime.verify import verify

Relist = Callable[..., None]


def statuses(report: Any) -> dict[str, str]:
    return {f"{row.backend} {row.precision}".strip(): row.status for row in report.rows}


def rewrite_golden(path: Path, relist: Relist, change: Callable[[Any], Any]) -> None:
    samples = [change(sample) for sample in Bundle.open(path).golden()]
    write_golden(path / "golden", samples)
    relist(path)


def with_expected(sample: Any, precision: str, **changes: Any) -> Any:
    expected = dataclasses.replace(sample.expected[precision], **changes)
    return dataclasses.replace(sample, expected={**sample.expected, precision: expected})


def test_passes(tiny_bundle: Path) -> None:
    report = verify(tiny_bundle)
    assert statuses(report) == {
        "prepare": "PASS",
        "onnxruntime fp32": "PASS",
        "onnxruntime int8-cpu": "PASS",
    }
    row = report.rows[1]
    assert (row.samples, row.texts_equal) == (3, 3)
    assert row.errors == {"features": 0.0, "logits": 0.0}
    assert row.bounds == {"features": 1e-4, "logits": 1e-4}
    assert report.passed
    report.check()
    table = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (table["passed"], len(table["rows"])) == (True, 3)


def test_another_caption(tiny_bundle: Path, relist: Relist) -> None:
    rewrite_golden(
        tiny_bundle, relist, lambda s: with_expected(s, "fp32", output={"text": "a blue square"})
    )
    report = verify(tiny_bundle)
    assert statuses(report)["onnxruntime fp32"] == "FAIL"
    assert statuses(report)["onnxruntime int8-cpu"] == "PASS"
    with pytest.raises(BundleError, match='self-test failed: expected "a blue square", got "') as e:
        report.check()
    assert (e.value.code, e.value.exit_code) == ("E414", 4)


def test_answers_of_several_lines_are_one_line_of_a_report(
    tiny_bundle: Path, relist: Relist
) -> None:
    output = {"text": "a\nb\x1b[2J"}
    rewrite_golden(tiny_bundle, relist, lambda s: with_expected(s, "fp32", output=output))
    assert r'expected "a\nb\x1b[2J", got "' in verify(tiny_bundle).rows[1].reason


def test_some_captions_may_differ_if_the_manifest_says_so(
    tiny_bundle: Path, relist: Relist
) -> None:
    def change(sample: Any) -> Any:
        return (
            with_expected(sample, "fp32", output={"text": ""}) if sample.name == "one" else sample
        )

    rewrite_golden(tiny_bundle, relist, change)
    records = dict(Bundle.open(tiny_bundle).manifest.precisions)
    for fraction, status in ((0.7, "FAIL"), (0.66, "PASS")):
        records["fp32"] = PrecisionRecord(quality={"n": 1}, texts_equal=fraction)
        relist(tiny_bundle, precisions=records)
        row = verify(tiny_bundle).rows[1]
        assert (row.status, row.texts_equal) == (status, 2)


@pytest.mark.parametrize("name", ["features", "logits"])
@pytest.mark.parametrize(("factor", "status"), [(1 + 5e-5, "PASS"), (1 + 2e-4, "FAIL")])
def test_fp32_bound(
    tiny_bundle: Path, relist: Relist, name: str, factor: float, status: str
) -> None:
    def change(sample: Any) -> Any:
        arrays = dict(sample.expected["fp32"].arrays)
        arrays[name] = arrays[name] * np.float32(factor)
        return with_expected(sample, "fp32", arrays=arrays)

    rewrite_golden(tiny_bundle, relist, change)
    row = verify(tiny_bundle).rows[1]
    assert row.status == status
    assert row.errors[name] == pytest.approx(factor - 1, rel=1e-2)
    assert status == "PASS" or f"expected {name} within 0.0001" in row.reason


def test_the_manifests_bounds_count(tiny_bundle: Path, relist: Relist) -> None:
    def change(sample: Any) -> Any:
        arrays = dict(sample.expected["int8-cpu"].arrays)
        arrays["logits"] = arrays["logits"] * np.float32(1.02)
        return with_expected(sample, "int8-cpu", arrays=arrays)

    rewrite_golden(tiny_bundle, relist, change)
    assert verify(tiny_bundle).passed
    records = dict(Bundle.open(tiny_bundle).manifest.precisions)
    records["int8-cpu"] = PrecisionRecord(quality={"n": 1}, error_bounds={"logits": 0.01})
    relist(tiny_bundle, precisions=records)
    assert statuses(verify(tiny_bundle))["onnxruntime int8-cpu"] == "FAIL"


def test_other_bits_from_preprocessing(tiny_bundle: Path, relist: Relist) -> None:
    def change(sample: Any) -> Any:
        other = "0" * 64 if sample.name == "two" else sample.input_sha256
        return dataclasses.replace(sample, input_sha256=other)

    rewrite_golden(tiny_bundle, relist, change)
    report = verify(tiny_bundle)
    assert statuses(report)["prepare"] == "FAIL"
    with pytest.raises(BundleError, match="got other bits for two"):
        report.check()


def test_weights_that_are_not_finite(tiny_bundle: Path, relist: Relist) -> None:
    onnx = pytest.importorskip("onnx")
    path = tiny_bundle / "graphs" / "step.int8-cpu.onnx"
    model = onnx.load(path)
    last = model.graph.initializer[-1]
    wrong = np.full(tuple(last.dims), np.nan, np.float32)
    last.CopyFrom(onnx.numpy_helper.from_array(wrong, last.name))
    path.write_bytes(model.SerializeToString())
    relist(tiny_bundle)
    report = verify(tiny_bundle)
    assert statuses(report)["onnxruntime int8-cpu"] == "FAIL"
    with pytest.raises(BundleError, match="finite"):
        report.check()


def test_a_column_of_small_units_counts_as_much_as_one_of_large_ones() -> None:
    expected = [np.float32([1000, 0.001]), np.float32([-900, 0])]
    found = [np.float32([1000.1, 0.001]), np.float32([-900, 0.0005])]
    pairs = list(zip(found, expected, strict=True))
    assert module._largest_error("values", pairs) == pytest.approx(0.5)
    assert module._largest_error("logits", pairs[:1]) == pytest.approx(1e-4, rel=1e-2)
    assert module._largest_error("values", [(found[0][:1], expected[0])]) == np.inf
    assert module._largest_error("values", []) == 0


def test_golden_arrays_that_are_not_there(tiny_bundle: Path, relist: Relist) -> None:
    def change(sample: Any) -> Any:
        return with_expected(sample, "fp32", arrays={"h": np.zeros(5, np.float32)})

    rewrite_golden(tiny_bundle, relist, change)
    with pytest.raises(BundleError, match=r"one.npz has no fp32\.features") as caught:
        verify(tiny_bundle)
    assert (caught.value.code, caught.value.exit_code) == ("E418", 4)


@pytest.mark.parametrize("unknown", [["int8-cpu"], ["fp32"], ["fp32", "int8-cpu"]])
def test_what_this_runtime_cannot_run_is_not_run(
    tiny_bundle: Path, relist: Relist, unknown: list[str]
) -> None:
    for precision in unknown:
        path = tiny_bundle / "graphs" / f"step.{precision}.onnx"
        path.write_bytes(path.read_bytes().replace(b"Tanh", b"Tanz"))
    relist(tiny_bundle)
    report = verify(tiny_bundle)
    for precision in ("fp32", "int8-cpu"):
        status = "NOT RUN" if precision in unknown else "PASS"
        assert statuses(report)[f"onnxruntime {precision}"] == status
    left_out = [row for row in report.rows if row.status == "NOT RUN"]
    assert all("cannot run on ONNX Runtime" in row.reason for row in left_out)
    assert report.passed == (len(unknown) == 1)
    if report.passed:
        assert report.rows[0].backend == "prepare"
        report.check()
    else:
        with pytest.raises(BundleError, match=r"no precision could be run here: .*Tanz") as caught:
            report.check()
        assert (caught.value.code, caught.value.exit_code) == ("E414", 4)


def test_infinite_errors_are_json(tiny_bundle: Path) -> None:
    report = verify(tiny_bundle)
    row = dataclasses.replace(report.rows[1], errors={"logits": float("inf")})
    report = dataclasses.replace(report, rows=(row,))
    assert report.to_json()["rows"][0]["errors"] == {"logits": None}


def test_a_precision_without_golden_values_did_not_pass(tiny_bundle: Path, relist: Relist) -> None:
    rewrite_golden(tiny_bundle, relist, lambda s: dataclasses.replace(s, expected={}))
    report = verify(tiny_bundle)
    assert statuses(report)["onnxruntime fp32"] == "NOT RUN"
    assert not report.passed
    with pytest.raises(BundleError, match="no precision could be run here"):
        report.check()


def test_engines_that_cannot_run_here_are_told(
    tiny_bundle: Path, relist: Relist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgedl.runtime.device_memory.gpu_problem", lambda: "no NVIDIA driver")
    path = tiny_bundle / "engines" / "rtx-1.7"
    path.mkdir(parents=True)
    (path / "step.engine").write_bytes(b"engine")
    file = "engines/rtx-1.7/step.engine"
    engines = [
        Engine(target="rtx-1.7", role="step", file=file, precision=precision)
        for precision in ("fp32", "fp16")
    ]
    relist(tiny_bundle, engines=tuple(engines))
    report = verify(tiny_bundle)
    found = statuses(report)
    assert found["tensorrt_rtx fp32"] == found["tensorrt_rtx fp16"] == "NOT RUN"
    assert "TensorRT-RTX needs an NVIDIA GPU: no NVIDIA driver" in report.rows[-2].reason
    assert "the bundle has no fp16" in report.rows[-1].reason
    assert report.passed
