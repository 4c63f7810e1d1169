"""The exported graphs: what they declare, and that they compute what the network computes."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edgedl.errors import BundleError
from edgedl.export.graph_file import check_graph, read_facts
from edgedl.export.lint import MAX_IR, MAX_OPSET
from edgedl.export.replay import differences, feeds_of
from edgedl.export.to_onnx import write_graphs
from edgedl.runtime.model import open_model
from edgedl.runtime.session import open_session
from edgedl.spec import TensorSpec
from edgedl.train.run_folder import Run
from edgedl.train.torch_session import torch_sessions


@pytest.fixture(scope="module")
def paths(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("graphs")
    return write_graphs(torch_sessions(run.model_spec, run.network()), folder)


def spell(specs: tuple[TensorSpec, ...]) -> list[str]:
    return [f"{s.name} {s.dtype} {s.shape}" for s in specs]


def test_encoder_declares_its_tensors(paths: dict[str, Path]) -> None:
    facts = read_facts(paths["encoder"])
    assert spell(facts.inputs) == ["image float32 ('N', 3, 16, 24)"]
    assert spell(facts.outputs) == [
        "features float32 ('N', 24, 24)",
        "h float32 ('N', 16)",
        "c float32 ('N', 16)",
    ]


def test_step_declares_its_tensors(paths: dict[str, Path], run: Run) -> None:
    facts = read_facts(paths["step"])
    assert spell(facts.inputs) == [
        "token int64 ('N',)",
        "h_in float32 ('N', 16)",
        "c_in float32 ('N', 16)",
        "features float32 ('N', 24, 24)",
    ]
    assert spell(facts.outputs) == [
        f"logits float32 ('N', {len(run.vocab)})",
        "h_out float32 ('N', 16)",
        "c_out float32 ('N', 16)",
    ]


@pytest.mark.parametrize("role", ["encoder", "step"])
def test_graphs_are_what_old_tensorrt_reads(paths: dict[str, Path], role: str) -> None:
    model = onnx.load(paths[role], load_external_data=False)
    facts = read_facts(paths[role])
    assert max(o.version for o in model.opset_import) <= MAX_OPSET
    assert model.ir_version <= MAX_IR
    assert {o.domain for o in model.opset_import} == {""}
    assert "BatchNormalization" not in facts.operators
    assert not {"Loop", "If", "Scan"} & facts.operators.keys()
    assert list(paths[role].parent.glob("*.data")) == []


def test_nothing_constant_is_computed_per_word(paths: dict[str, Path]) -> None:
    assert not {"Shape", "Constant", "Div"} & read_facts(paths["step"]).operators.keys()


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_graphs_compute_what_the_network_computes(
    paths: dict[str, Path], run: Run, batch: int
) -> None:
    tensors = np.random.default_rng(0).normal(size=(batch, 3, 16, 24)).astype(np.float32)
    assert max(errors_against(run.network(), paths, run, tensors).values()) < 1e-5


def errors_against(
    network: torch.nn.Module, paths: dict[str, Path], run: Run, tensors: np.ndarray
) -> dict[str, float]:
    expected = torch_sessions(run.model_spec, network)
    exported = {role: open_session(path) for role, path in paths.items()}
    return differences(exported, expected, feeds_of(open_model(run.model_spec, expected), tensors))


def test_other_weights_are_noticed(paths: dict[str, Path], run: Run) -> None:
    network = run.network()
    with torch.no_grad():
        next(network.parameters()).mul_(1.01)
    tensors = np.random.default_rng(0).normal(size=(2, 3, 16, 24)).astype(np.float32)
    assert max(errors_against(network, paths, run, tensors).values()) > 1e-4


def test_a_fixed_batch_is_noticed(paths: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(paths["encoder"])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, tmp_path / "fixed.onnx")
    facts = read_facts(paths["encoder"])
    with pytest.raises(BundleError, match=r"must be image float32 \(N, 3, 16, 24\); got") as caught:
        check_graph(tmp_path / "fixed.onnx", facts.inputs, facts.outputs)
    assert caught.value.code == "E413"


@pytest.mark.parametrize(("opset", "ir"), [(21, 8), (17, 11)])
def test_a_too_new_graph_is_noticed(
    paths: dict[str, Path], tmp_path: Path, opset: int, ir: int
) -> None:
    model = onnx.load(paths["step"])
    model.opset_import[0].version, model.ir_version = opset, ir
    onnx.save(model, tmp_path / "new.onnx")
    facts = read_facts(paths["step"])
    with pytest.raises(
        BundleError, match=f"opset {opset} and IR {ir}; at most 20 and 10"
    ) as caught:
        check_graph(tmp_path / "new.onnx", facts.inputs, facts.outputs)
    assert caught.value.code == "E412"


def test_a_dropout_still_in_training_is_noticed(paths: dict[str, Path], tmp_path: Path) -> None:
    model = onnx.load(paths["step"])
    logits = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["kept" if name == logits else name for name in node.output]
    made = onnx.helper.make_node("Dropout", ["kept", "", "always"], [logits], name="drop")
    model.graph.node.append(made)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.bool_(True), "always"))
    onnx.save(model, tmp_path / "step.onnx")
    facts = read_facts(paths["step"])
    with pytest.raises(BundleError) as caught:
        check_graph(tmp_path / "step.onnx", facts.inputs, facts.outputs)
    assert caught.value.code == "E412"
    assert str(caught.value) == (
        "step.onnx has a part still in training: Dropout drop: drops at random, as in training; "
        "export in evaluation mode: model.eval()"
    )
