"""A tiny untrained run whose pictures cost little."""

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from edgedl.data.scenes import words  # noqa: E402
from edgedl.models.build import model_table  # noqa: E402
from edgedl.models.captioner import Captioner, CaptionerOptions  # noqa: E402
from edgedl.models.weights import save_weights  # noqa: E402
from edgedl.spec import ImageSpec, ModelSpec  # noqa: E402
from edgedl.train.run_folder import Run  # noqa: E402
from edgedl.vocab import Vocab  # noqa: E402

SPEC = ImageSpec(size_hw=(16, 24), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
OPTIONS = CaptionerOptions(
    size_hw=(16, 24), channels=(8, 16), strides=(2, 2), attention=8, embedding=8, hidden=16
)

RECIPE = """task = "captioning"

[data]
generated = "scenes"
seed = 1
camera_px = 40
val = 16
test = 24
"""


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a run; whoever changes it copies it first."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    torch.manual_seed(5)
    vocab = Vocab.build(words())
    network = Captioner(OPTIONS, len(vocab))
    network(torch.randn(64, 3, 16, 24), torch.ones(64, 2, dtype=torch.int64))  # batch statistics
    with torch.no_grad():
        for parameter in network.words.parameters():
            parameter *= 8  # so that captions differ
    save_weights(network, folder / "weights.safetensors")
    tables = {
        "model.json": model_table(OPTIONS, vocab_size=len(vocab)),
        "spec.json": ModelSpec(task="captioning", image=SPEC, tokens=vocab.tokens).to_dict(),
        "data.json": {"name": "scenes", "seed": 1},
        "metrics.json": {},
    }
    for name, table in tables.items():
        (folder / name).write_text(json.dumps(table))
    (folder / "vocab.json").write_text(vocab.to_json())
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def run(run_folder: Path) -> Run:
    return Run.open(run_folder)
