"""``edgedl eval`` of a run: its own data, other data, and files of it that are damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from idx_files import quarters, write_quarters

torch = pytest.importorskip("torch")

from edgedl.cli import main  # noqa: E402
from edgedl.models.build import build, model_table  # noqa: E402
from edgedl.models.cnn import LenetOptions  # noqa: E402
from edgedl.models.weights import save_weights  # noqa: E402
from edgedl.spec import ImageSpec, ModelSpec  # noqa: E402
from edgedl.train import Run  # noqa: E402

LABELS = ("0", "1", "2", "3")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained classifier, and data whose labels say nothing."""
    path = tmp_path_factory.mktemp("runs") / "run"
    path.mkdir()
    shuffled = write_quarters(path.parent / "shuffled", train=16, test=30, shuffled=True)
    torch.manual_seed(3)
    model = model_table(LenetOptions(widths=(4, 8), depth=1), channels=1, classes=4)
    save_weights(build(model, "model"), path / "weights.safetensors")
    image = ImageSpec(size_hw=(12, 12), pixel_format="gray8", mean=(0.5,), std=(0.25,))
    spec = ModelSpec(task="classification", image=image, labels=LABELS)
    tables = {"model": model, "spec": spec.to_dict(), "data": {}, "metrics": {}}
    for name, table in tables.items():
        (path / f"{name}.json").write_text(json.dumps(table))
    (path / "recipe.toml").write_text(
        f'task = "classification"\n\n[data]\npath = "{shuffled}"\nval = 8\n'
    )
    return path


def evaluate(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run the command and return what it says."""
    assert main(["eval", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_run(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = evaluate(capsys, run_folder)
    table = json.loads(evaluate(capsys, run_folder, "--json"))
    assert (table["model"], table["split"], table["n"]) == (str(run_folder), "test", 30)
    assert (table["backend"], table["precision"]) == ("torch", "fp32")
    pictures, seen = quarters(30, seed=1)
    told = np.random.default_rng(6).permutation(seen)
    tensor = torch.from_numpy(((pictures / 255 - 0.5) / 0.25)[:, None].astype(np.float32))
    with torch.no_grad():
        found = Run.open(run_folder).network()(tensor).argmax(dim=1).tolist()
    hits = sum(int(a) == b for a, b in zip(told, found, strict=True))
    assert table["metrics"]["accuracy"] == pytest.approx(hits / 30)
    assert line.startswith(f"{run_folder}: accuracy {100 * hits / 30:.2f} % (95 %: ")
    assert " on val, n = 8; " in evaluate(capsys, run_folder, "--split", "val")
    other = write_quarters(tmp_path / "other", train=16, test=6)
    words = (run_folder, "--data", other, "--limit", 4)
    assert " on test, n = 4; " in evaluate(capsys, *words)


@pytest.mark.parametrize(
    ("file", "raw", "code", "text"),
    [
        ("spec.json", b"{", 4, "spec.json cannot be read as a JSON object"),
        ("model.json", b'{"family": "lenot"}', 4, "unknown family 'lenot'; did you mean 'lenet'"),
        ("recipe.toml", b"task = ", 2, "recipe.toml"),
        ("weights.safetensors", b"none", 4, "weights.safetensors"),
    ],
)
def test_a_damaged_run(
    file: str,
    raw: bytes,
    code: int,
    text: str,
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "run"
    path.mkdir()
    for one in run_folder.iterdir():
        (path / one.name).write_bytes(raw if one.name == file else one.read_bytes())
    assert main(["eval", str(path)]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert text in said.err


@pytest.mark.parametrize(
    "words",
    [("--precision", "int8"), ("--backend", "onnxruntime"), ("--allow-prebuilt-engine",)],
)
def test_what_is_for_bundles(
    words: tuple[str, ...], run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(run_folder), *words]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error[E100] {words[0]} is for bundles; {run_folder} is a run")
