"""Bench: what is counted, what is refused, what the table holds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgedl.bench import BenchOptions, bench
from edgedl.bench.clip import CLIP_FRAMES, write_clip
from edgedl.bundle import Bundle, write_golden
from edgedl.cli import main
from edgedl.errors import BundleError, UsageError

STAGES = {"decode", "preprocess", "encode", "decode_text"}


def test_every_precision_is_measured_on_the_same_frames(tiny_bundle: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = bench(
        tiny_bundle,
        BenchOptions(frames=70, warmup=5),
        lambda done, total: seen.append((done, total)),
    )
    assert [case["precision"] for case in result["cases"]] == ["int8-cpu", "fp32"]
    decode = {case["stage_ms"]["decode"] for case in result["cases"]}
    assert len(decode) == 1  # one decoding serves all precisions of a round
    for case in result["cases"]:
        assert set(case["stage_ms"]) == STAGES
        assert case["n"] == 70
        latency = case["latency_ms"]
        assert latency["p50"] <= latency["p90"] <= latency["max"]
        assert latency["p99"] is None
        assert case["throughput_hz"] >= 1000 / latency["max"]
        assert sum(case["stage_ms"].values()) <= latency["max"]
    assert seen[-1] == (75, 75)
    assert result["machine"]["cpu"]
    assert result["model_hash"] == Bundle.open(tiny_bundle).manifest.digest


def test_a_p99_needs_662_frames(tiny_bundle: Path) -> None:
    options = BenchOptions(frames=662, warmup=0, precisions=("fp32",))
    latency = bench(tiny_bundle, options)["cases"][0]["latency_ms"]
    assert latency["p90"] <= latency["p99"] <= latency["max"]


def expect_no_such_words(path: Path, relist: Callable[..., None], **manifest: Any) -> None:
    """Change the caption that the first golden sample expects."""
    samples, output = Bundle.open(path).golden(), {"text": "no such words"}
    expected = {
        name: dataclasses.replace(item, output=output) for name, item in samples[0].expected.items()
    }
    changed = dataclasses.replace(samples[0], expected=expected)
    write_golden(path / "golden", [changed, *samples[1:]])
    relist(path, **manifest)


def test_a_model_that_says_something_else_has_no_latency(
    tiny_bundle: Path, relist: Callable[..., None]
) -> None:
    expect_no_such_words(tiny_bundle, relist)
    text = 'has not proved itself: expected "no such words", got .*; see: edgedl verify'
    with pytest.raises(BundleError, match=text) as caught:
        bench(tiny_bundle, BenchOptions(frames=11))
    assert caught.value.code == "E414"


def test_as_many_texts_as_the_manifest_says(tiny_bundle: Path, relist: Callable[..., None]) -> None:
    records = Bundle.open(tiny_bundle).manifest.precisions
    lenient = {p: dataclasses.replace(r, texts_equal=0.5) for p, r in records.items()}
    expect_no_such_words(tiny_bundle, relist, precisions=lenient)
    assert len(bench(tiny_bundle, BenchOptions(frames=11))["cases"]) == 2


def test_a_precision_without_golden_values_has_no_latency(
    tiny_bundle: Path, relist: Callable[..., None]
) -> None:
    samples = [
        dataclasses.replace(sample, expected={"fp32": sample.expected["fp32"]})
        for sample in Bundle.open(tiny_bundle).golden()
    ]
    write_golden(tiny_bundle / "golden", samples)
    relist(tiny_bundle)
    text = "int8-cpu has not proved itself: the golden set has nothing for it"
    with pytest.raises(BundleError, match=text) as found:
        bench(tiny_bundle, BenchOptions(frames=11))
    assert found.value.code == "E414"
    options = BenchOptions(frames=11, precisions=("fp32",))
    assert len(bench(tiny_bundle, options)["cases"]) == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ({"frames": 10}, "E101", "frames must be in 11..1000000 (11 allow a median); got 10"),
        ({"source": "test://scenes"}, "E102", "a live source sets its own pace"),
    ],
)
def test_what_cannot_be_measured(
    tiny_bundle: Path, options: dict[str, Any], code: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        bench(tiny_bundle, BenchOptions(**{"frames": 11, **options}))
    assert caught.value.code == code
    assert message in str(caught.value)


def test_the_clip_shows_the_pictures_in_turn(tmp_path: Path) -> None:
    pictures = [np.full((33, 48, 3), level, np.uint8) for level in (40, 120, 200)]
    with av.open(str(write_clip(tmp_path / "a.mp4", pictures))) as container:
        frames = [f.to_ndarray(format="gray") for f in container.decode(video=0)]
    assert len(frames) == CLIP_FRAMES
    assert frames[0].shape == (32, 48)
    means = np.array([frame.mean() for frame in frames])
    thirds = means.reshape(3, -1).mean(axis=1)
    assert thirds[0] < 60 < thirds[1] - 20
    assert thirds[1] + 40 < thirds[2]


def test_the_command_writes_json_and_says_what_is_next(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latency.json"
    assert main(["bench", str(tiny_bundle), "--frames", "20", "--json", str(path)]) == 0
    captured = capsys.readouterr()
    assert "input to answer, ms" in captured.out
    assert "p99 needs 662 frames" in captured.out
    assert "next: edgedl serve" in captured.err
    assert len(json.loads(path.read_text())["cases"]) == 2
    assert main(["bench", str(tiny_bundle), "--frames", "20", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loop"] == "closed"


def test_a_model_of_arrays_is_measured_on_its_golden_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("torch")
    from foreign_models import linear  # noqa: PLC0415 - needs onnx

    path = tmp_path / "m.edge"
    assert main(["export", str(linear(tmp_path / "m.onnx")), "--out", str(path)]) == 0
    capsys.readouterr()
    result = bench(path, BenchOptions(frames=20, warmup=1, precisions=("fp32",)))
    (case,) = result["cases"]
    assert (case["case"], set(case["stage_ms"]), case["n"]) == ("arrays to outputs", {"infer"}, 20)
    assert case["stage_ms"]["infer"] <= case["latency_ms"]["p50"]
    assert result["frames_from"] == "the bundle's golden arrays"
    with pytest.raises(
        UsageError, match=r"golden samples; got x\.mp4: leave the source out"
    ) as err:
        bench(path, BenchOptions(source="x.mp4"))
    assert err.value.code == "E102"
    assert main(["bench", str(path), "--frames", "20"]) == 0
    assert "next:" not in capsys.readouterr().err  # no daemon serves it
