"""Published models, if they are there: the bundle gives what their authors' files gave."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from edgedl.bundle import Bundle
from edgedl.errors import EdgedlError
from edgedl.export import ExportOptions, export
from edgedl.runtime.pipeline import load
from edgedl.runtime.verify import verify

DATA = Path(os.environ.get("EDGEDL_DATA", "/nowhere"))
PPOCR = "ppocr/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"
SIZES: dict[str, str] = {
    "emclab_onnx/dnn-models/HAR-CNN.onnx": "",
    "emclab_onnx/dnn-models/KWS-DNN_S.onnx": "",
    "emclab_onnx/mnist-8.onnx": "",
    "ort_examples/js/quick-start_onnxruntime-node/model.onnx": "",
    "silero_vad/src/silero_vad/data/silero_vad_16k_op15.onnx": "input = [1, 512]",
    "ultraface/models/onnx/version-slim-320.onnx": "",
    "yunet/onnx/yunet_s_320_320.onnx": "",
    "yunet/onnx/yunet_s_dynamic.onnx": "input = [1, 3, 320, 320]",
    PPOCR: "x = [1, 3, 48, 192]",
}
"""Model to its open sizes."""
REAL = {
    "version-slim-320": lambda rgb: (rgb - 127) / 128,
    "yunet_s_320_320": lambda rgb: rgb[..., ::-1],
    "yunet_s_dynamic": lambda rgb: rgb[..., ::-1],
    "ch_ppocr_mobile_v2.0_cls_infer": lambda rgb: (rgb / 255 - 0.5) / 0.5,
}
"""How a picture becomes the input, by the index of the vectors."""
SMALL_PRODUCTS = ("model",)
NO_ENGINE = {"silero_vad_16k_op15": "TensorRT could not build the engine"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "onnx_vectors").is_dir(), reason="no EDGEDL_DATA/onnx_vectors"),
]


@pytest.fixture(scope="module", params=SIZES, ids=lambda name: Path(name).stem)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def options(model: str, folder: Path, **more: Any) -> ExportOptions:
    notes = folder / "spec.toml"
    notes.write_text(f"[inputs]\n{SIZES[model]}\n")
    return ExportOptions(rounds=30, held_out=16, calibration=8, spec=notes, **more)


@pytest.fixture(scope="module")
def bundle(model: str, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("real")
    return export(DATA / model, folder / "x.edge", options(model, folder))


def plain(name: str) -> str:
    return re.sub(r"[:/]", "_", name)


def told(npz: Any, kind: str, index: int, name: str) -> Any:
    """Return an array of a file of vectors, whose names are spelt in two ways."""
    for key in (f"{kind}__{plain(name)}", f"{kind}_{index}"):
        if key in npz.files:
            return npz[key]
    return None


def check(pipeline: Any, feeds: dict[str, Any], npz: Any) -> None:
    outputs = pipeline(feeds).outputs
    for index, (name, found) in enumerate(outputs.items()):
        expected = told(npz, "out", index, name)
        assert expected is not None, name
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_fp32_gives_the_published_vectors(model: str, bundle: Bundle) -> None:
    stem = Path(model).stem
    tried = 0
    with load(bundle, precision="fp32") as pipeline:
        inputs = pipeline.model.session.inputs
        file = DATA / "onnx_vectors" / f"{stem}.npz"
        if file.is_file():
            npz, rng = np.load(file), np.random.default_rng(1234)
            feeds = {}
            for index, spec in enumerate(inputs):
                given = told(npz, "in", index, spec.name)
                if given is None:
                    given = rng.random((1, 3, *_sides(stem)), np.float32)
                feeds[spec.name] = given
            check(pipeline, feeds, npz)
            tried += 1
        file = DATA / "onnx_vectors_real" / f"{stem}.npz"
        if file.is_file():
            npz = np.load(file)
            picture = REAL[stem](npz["img_rgb_uint8"].astype(np.float32))
            check(pipeline, {inputs[0].name: picture.transpose(2, 0, 1)[None]}, npz)
            tried += 1
    assert tried == (stem in REAL) + (model != PPOCR)


def _sides(stem: str) -> tuple[int, int]:
    return (240, 320) if stem.startswith("version") else (320, 320)


def test_it_proves_itself(bundle: Bundle) -> None:
    report = verify(bundle.path)
    assert report.passed, report


def test_int8_is_refused_with_its_number_for_want_of_samples(model: str, bundle: Bundle) -> None:
    refused = {one.precision: one for one in bundle.manifest.refused}
    assert {"int8-cpu", "int8-trt"} <= set(refused)
    for name in ("int8-cpu", "int8-trt"):
        if name == "int8-cpu" and Path(model).stem in SMALL_PRODUCTS:
            assert "has nothing to gain" in refused[name].reason
            continue
        assert re.search(r"max_deviation [0-9.e-]+ on made up samples", refused[name].reason)
        assert refused[name].quality["max_deviation"] > 0


@pytest.mark.rtx
def test_an_engine_or_the_reason(model: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    wanted = options(model, tmp_path, precision="fp32", targets=("rtx",))
    if reason := NO_ENGINE.get(Path(model).stem):
        with pytest.raises(EdgedlError, match=reason) as caught:
            export(DATA / model, tmp_path / "x.edge", wanted)
        assert caught.value.code == "E425"
        assert [f.name for f in tmp_path.iterdir()] == ["spec.toml"]
        return
    made = export(DATA / model, tmp_path / "x.edge", wanted)
    assert [engine.role for engine in made.manifest.engines] == ["model"]


@pytest.mark.parametrize("name", ["PreProcess", "PostProcess"])
def test_custom_operators_are_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgedlError, match=rf"ai\.onnx\.contrib::SuperResolution{name}") as caught:
        export(DATA / "ort_examples/supres.onnx", tmp_path / "x.edge")
    assert caught.value.code == "E452"
    assert not list(tmp_path.iterdir())
