"""An export asks lint before anything is built."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgedl.bundle.explain import explain
from edgedl.errors import BundleError
from edgedl.export import ExportOptions, export, lint_rules


@pytest.mark.rtx
def test_an_export_is_refused_before_an_engine_is_built(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    refused = {**lint_rules.UNREAD_BY, "rtx": frozenset({"Conv"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(
        held_out=16, calibration=8, rounds=30, targets=("rtx",), precision="fp16", max_drop=100.0
    )
    told: list[str] = []
    with pytest.raises(BundleError, match=r"encoder.fp32.onnx is not for TensorRT-RTX: Conv"):
        export(run_folder, tmp_path / "x.edge", options, told.append)
    assert list(tmp_path.iterdir()) == []
    assert told == ["preparing samples of test", "exporting encoder and step to ONNX"]


def test_a_jetson_is_asked_too(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = {**lint_rules.UNREAD_BY, "trt10": frozenset({"Conv"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(held_out=16, calibration=8, rounds=30, targets=("jetson-orin:jp6",))
    told: list[str] = []
    with pytest.raises(BundleError, match=r"not for TensorRT 10\.3 \(JetPack 6\): Conv") as caught:
        export(run_folder, tmp_path / "x.edge", options, told.append)
    assert caught.value.code == "E448"
    assert told == ["preparing samples of test", "exporting encoder and step to ONNX"]


@pytest.mark.rtx
def test_an_export_for_more_goes_on_without_an_engine_and_warns(
    run_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("tensorrt_rtx")
    refused = {**lint_rules.UNREAD_BY, "rtx": frozenset({"LSTM", "MatMul", "Gemm"})}
    monkeypatch.setattr(lint_rules, "UNREAD_BY", refused)
    options = ExportOptions(
        held_out=16, calibration=8, rounds=30, targets=("cpu", "rtx"), max_drop=100.0
    )
    made = export(run_folder, tmp_path / "x.edge", options)
    assert made.manifest.engines == ()
    assert not (made.path / "engines").exists()
    assert "is not for TensorRT-RTX" in caplog.text
    report = (made.path / "report.html").read_text(encoding="utf-8")
    assert "no engine for rtx-" in report
    (reason,) = made.manifest.missing_engines.values()
    assert "is not for TensorRT-RTX" in reason
    assert explain(made.manifest)[-1].endswith(reason)
    alone = dataclasses.replace(options, targets=("rtx",))
    with pytest.raises(
        BundleError, match=r"nothing was written: to go without it, add --for cpu"
    ) as caught:
        export(run_folder, tmp_path / "y.edge", alone)
    assert caught.value.code == "E448"
    assert not (tmp_path / "y.edge").exists()
