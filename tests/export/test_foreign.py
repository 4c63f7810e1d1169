"""Models of others: what is read, how it is cleaned, and what is refused with which words."""

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")

from foreign_models import (  # noqa: E402
    W,
    info,
    linear,
    node,
    old_weights,
    save,
    two_ways,
    with_data_beside,
)

from edgedl.bundle.onnx_bytes import scan_onnx  # noqa: E402
from edgedl.errors import EdgedlError  # noqa: E402
from edgedl.export.foreign import read_foreign, refusal  # noqa: E402
from edgedl.export.half import to_half  # noqa: E402
from edgedl.export.lint import read_model  # noqa: E402
from edgedl.runtime.session import open_session  # noqa: E402

X = np.random.default_rng(1).normal(0, 1, (2, 4)).astype(np.float32)


def answers(path: Path, feeds: dict[str, Any]) -> dict[str, np.ndarray]:
    return open_session(read_foreign(path).cleaned.SerializeToString()).run(feeds)


def opset_of(path: Path) -> int:
    return int(read_foreign(path).cleaned.opset_import[0].version)


@pytest.mark.parametrize(("given", "made"), [(7, 17), (13, 17), (17, 17), (20, 20), (25, 25)])
def test_opsets(tmp_path: Path, given: int, made: int) -> None:
    path = linear(tmp_path / "m.onnx", opset=given)
    assert opset_of(path) == made
    np.testing.assert_allclose(answers(path, {"x": X})["y"], X @ W, rtol=1e-5)


def test_weights_as_inputs_become_constants(tmp_path: Path) -> None:
    path = old_weights(tmp_path / "m.onnx")
    model = read_foreign(path).cleaned
    assert [value.name for value in model.graph.input] == ["x"]
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    np.testing.assert_allclose(answers(path, {"x": X})["y"], X @ W + 1, rtol=1e-5)


def test_what_does_not_depend_on_the_input_is_computed(tmp_path: Path) -> None:
    nodes = [
        node("Add", ["a", "a"], ["b"]),
        node("Shape", ["b"], ["s"]),
        node("Reshape", ["x", "s"], ["y"]),
    ]
    sides = [info("x", 1, [3, 2])], [info("y", 1, None)]
    sides[1][0].type.tensor_type.shape.SetInParent()
    path = save(tmp_path / "m.onnx", nodes, *sides, {"a": np.zeros((2, 3), np.float32)})
    path.write_bytes(_without_rank(path))
    with pytest.raises(EdgedlError, match="no declared rank") as caught:
        read_foreign(path)
    assert caught.value.code == "E451"
    sides[1][0].CopyFrom(info("y", 1, ["a", "b"]))
    path = save(tmp_path / "m.onnx", nodes, *sides, {"a": np.zeros((2, 3), np.float32)})
    assert [n.op_type for n in read_foreign(path).cleaned.graph.node] == ["Reshape"]


def _without_rank(path: Path) -> bytes:
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())


def test_open_sizes_keep_their_names_and_get_one(tmp_path: Path) -> None:
    path = save(
        tmp_path / "m.onnx",
        [node("Relu", ["x"], ["y"])],
        [info("x", 1, ["batch", None, 3])],
        [info("y", 1, ["batch", None, 3])],
    )
    dims = read_foreign(path).cleaned.graph.input[0].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == ["batch", "x_1", 3]


def test_branches_and_odd_names(tmp_path: Path) -> None:
    path = two_ways(tmp_path / "m.onnx")
    for sign in (1, -1):
        a = sign * np.float32([[1, 2, 3], [4, 5, 6]])
        found = answers(path, {"a:0": a, "count": np.array(41)})
        expected = a.sum(axis=1) * (2 if sign > 0 else 1)
        np.testing.assert_allclose(found["sum/out"], expected)
        assert found["next"] == 42


def test_a_wide_bias_becomes_one_axis(tmp_path: Path) -> None:
    path = old_weights(tmp_path / "m.onnx")
    (gemm,) = read_foreign(path).cleaned.graph.node
    sizes = {t.name: list(t.dims) for t in read_foreign(path).cleaned.graph.initializer}
    assert (gemm.op_type, sizes[gemm.input[2]]) == ("Gemm", [3])


def test_constants_that_come_out_are_made_by_nodes(tmp_path: Path) -> None:
    nodes = [node("Add", ["a", "a"], ["k"]), node("Mul", ["k", "x"], ["y"])]
    outputs = [info("y", 1, [2]), info("k", 1, [2])]
    path = save(tmp_path / "m.onnx", nodes, [info("x", 1, [2])], outputs, {"a": np.float32([1, 2])})
    cleaned = read_foreign(path).cleaned
    assert {name for one in cleaned.graph.node for name in one.output} == {"y", "k"}
    onnx.save(cleaned, path)
    feeds: Any = {"x": np.float32([3, 5])}
    to_half(path, tmp_path / "half.onnx", [feeds])
    for file in (path, tmp_path / "half.onnx"):
        found = open_session(file).run(feeds)
        assert found["k"].tolist() == [2, 4]
        assert found["y"].tolist() == [6, 20]


def test_data_beside_the_model_is_taken_in(tmp_path: Path) -> None:
    path = with_data_beside(tmp_path / "m.onnx")
    raw = read_foreign(path).cleaned.SerializeToString()
    scan_onnx(raw, "m")
    np.testing.assert_allclose(open_session(raw).run({"x": X})["y"], X @ W, rtol=1e-5)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("../secret", "which lies elsewhere; .* save the model as one file"),
        ("/etc/hostname", "which lies elsewhere"),
        ("missing.bin", "which is missing; .* put that file there, by that name"),
        ("link.bin", r"which is a link; .* put a copy there of what it leads to \(cp -L\)"),
    ],
)
def test_data_elsewhere_is_not(tmp_path: Path, place: str, why: str) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (folder / "link.bin").symlink_to(tmp_path / "secret")
    path = with_data_beside(folder / "m.onnx", place)
    with pytest.raises(EdgedlError, match="only files that lie beside the model") as caught:
        read_foreign(path)
    assert caught.value.code == "E411"
    assert re.search(why, str(caught.value))
    assert refusal(onnx.load(path, load_external_data=False), path) == f"error[E411] {caught.value}"


def half(path: Path) -> Path:
    kind = onnx.TensorProto.FLOAT16
    sides = [info("x", kind, [2])], [info("y", kind, [2])]
    return save(path, [node("Relu", ["x"], ["y"])], *sides)


def words(path: Path) -> Path:
    kind = onnx.TensorProto.STRING
    sides = [info("x", kind, [2])], [info("y", kind, [2])]
    return save(path, [node("Identity", ["x"], ["y"])], *sides)


def quantised(path: Path) -> Path:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    weights = {"s": np.float32(0.1), "z": np.int8(0)}
    return save(path, nodes, [info("x", 1, [2])], [info("y", 1, [2])], weights)


def custom(path: Path) -> Path:
    nodes = [node("Blur", ["x"], ["b"], domain="my.ops"), node("Swirl", ["b"], ["y"])]
    sides = [info("x", 1, [2])], [info("y", 1, [2])]
    return save(path, nodes, *sides, domains=("my.ops",))


def noisy(path: Path) -> Path:
    nodes = [node("RandomNormalLike", ["x"], ["r"]), node("Add", ["x", "r"], ["y"])]
    return save(path, nodes, [info("x", 1, [2])], [info("y", 1, [2])])


def trained(path: Path) -> Path:
    nodes = [node("Dropout", ["x", "ratio", "is"], ["y"])]
    weights = {"ratio": np.float32(0.5), "is": np.array(True)}
    return save(path, nodes, [info("x", 1, [2])], [info("y", 1, [2])], weights)


def sparse(path: Path) -> Path:
    made = onnx.load(linear(path))
    weight = made.graph.initializer.pop(0)
    value = onnx.numpy_helper.from_array(np.float32([2]), weight.name)
    where = onnx.numpy_helper.from_array(np.array([0]), f"{weight.name}_where")
    tensor = onnx.helper.make_sparse_tensor(value, where, list(weight.dims))
    made.graph.sparse_initializer.append(tensor)
    onnx.save(made, path)
    return path


@pytest.mark.parametrize(
    ("make", "code", "text"),
    [
        (lambda p: linear(p, opset=6), "E451", "has opset 6; 7 to 25 are read"),
        (lambda p: linear(p, opset=26), "E451", "has opset 26"),
        (half, "E451", "'x' is half precision; begin with the float32 model"),
        (words, "E451", "'x' holds string"),
        (quantised, "E451", "is quantised already (2 nodes such as QuantizeLinear)"),
        (noisy, "E451", "answers by chance (RandomNormalLike)"),
        (trained, "E451", "drops at random, as in training; export in evaluation mode"),
        (sparse, "E451", "has sparse weights such as 'w'; save it with dense ones"),
        (custom, "E452", "my.ops::Blur (1), Swirl (1)"),
    ],
)
def test_what_cannot_be_exported(tmp_path: Path, make: Any, code: str, text: str) -> None:
    path = make(tmp_path / "m.onnx")
    with pytest.raises(EdgedlError) as caught:
        read_foreign(path)
    assert caught.value.code == code
    assert text in str(caught.value)
    assert refusal(onnx.load(path), path) == f"error[{code}] {caught.value}"


def test_what_can_be_exported_is_not_refused(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    assert refusal(onnx.load(path), path) is None


@pytest.mark.parametrize("raw", [b"", b"<html></html>", b"PK\x03\x04", bytes(100)])
def test_what_is_no_model(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(raw)
    with pytest.raises(EdgedlError, match="is not an ONNX model") as caught:
        read_foreign(tmp_path / "m.onnx")
    assert caught.value.code == "E410"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>Not found</html>", "it is a web page"),
        ("Grüße\n".encode(), "it is a text"),
    ],
)
def test_what_people_have_instead_of_a_model(tmp_path: Path, raw: bytes, text: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(raw)
    for read in (read_foreign, read_model):
        with pytest.raises(EdgedlError, match=f"is not an ONNX model: .*{text}") as caught:
            read(path)
        assert caught.value.code == "E410"


def test_a_file_larger_than_any_model(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(1 << 31)
    for read in (read_foreign, read_model):
        with pytest.raises(EdgedlError, match="has 2147483648 bytes; an ONNX file ends at") as no:
            read(tmp_path / "m.onnx")
        assert no.value.code == "E451"


def test_a_model_that_was_cut_off(tmp_path: Path) -> None:
    path = linear(tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes()[:-9])
    for read in (read_foreign, read_model):
        with pytest.raises(EdgedlError, match=r"cut off.*copy the file again") as caught:
            read(path)
        assert caught.value.code == "E410"
    with pytest.raises(EdgedlError, match="No such file"):
        read_foreign(tmp_path / "no.onnx")


def test_a_network_saved_as_a_program(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "m.pt2")
    with pytest.raises(EdgedlError, match=r"is a pickle.*torch\.export\.save") as caught:
        read_foreign(tmp_path / "m.pt2")
    assert caught.value.code == "E450"


@pytest.mark.parametrize("name", ["m.pt", "m.pth", "m.onnx", "m.pkl"])
@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_pickles_are_refused_unopened(tmp_path: Path, name: str, kind: str) -> None:
    if kind == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps({"w": 1}, protocol=4))
    else:
        torch.save({"w": torch.zeros(2)}, tmp_path / name)
    with pytest.raises(EdgedlError, match=r"is a pickle.*torch\.export\.save") as caught:
        read_foreign(tmp_path / name)
    assert caught.value.code == "E450"


class Net(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        return torch.relu(x @ torch.from_numpy(W)) + 1


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "m.pt2"
    dynamic = {"x": {0: torch.export.Dim("N")}}
    torch.export.save(
        torch.export.export(Net(), (torch.zeros(2, 4),), dynamic_shapes=dynamic), path
    )
    return path


def test_a_program_of_torch(program: Path) -> None:
    model = read_foreign(program).cleaned
    assert model.opset_import[0].version == 18
    name = model.graph.output[0].name
    for rows in (1, 5):
        x = np.random.default_rng(rows).normal(0, 1, (rows, 4)).astype(np.float32)
        found = open_session(model.SerializeToString()).run({"x": x})[name]
        np.testing.assert_allclose(found, np.maximum(x @ W, 0) + 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (torch.nn.Dropout(0.5), "aten::dropout"),
        (torch.nn.BatchNorm1d(4), "aten::batch_norm"),
        (torch.nn.Dropout(0), ""),
    ],
)
def test_a_program_in_training_mode(tmp_path: Path, layer: torch.nn.Module, found: str) -> None:
    made = torch.export.export(torch.nn.Sequential(layer), (torch.from_numpy(X),))
    torch.export.save(made, tmp_path / "m.pt2")
    if not found:
        assert read_foreign(tmp_path / "m.pt2").program is not None
        return
    with pytest.raises(EdgedlError, match=rf"training mode \({found}\); call network.eval") as err:
        read_foreign(tmp_path / "m.pt2")
    assert err.value.code == "E451"


def rewritten(source: Path, out: Path, name: str, raw: bytes) -> Path:
    """Copy a program with one member exchanged or added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        top = old.namelist()[0].partition("/")[0]
        for item in old.namelist():
            if item != f"{top}/{name}":
                new.writestr(item, old.read(item))
        new.writestr(f"{top}/{name}", raw)
    return out


class Trap:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("SPRUNG"),)


@pytest.mark.parametrize(
    "name",
    [
        "data/sample_inputs/model.pt",
        "data/weights/model.pt",
        "data/constants/custom_obj_0",
        "data/aotinductor/model/a.so",
    ],
)
def test_a_program_with_a_trap(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = rewritten(program, tmp_path / "m.pt2", name, pickle.dumps(Trap()))
    with pytest.raises(EdgedlError, match="a pickle may run any code") as caught:
        read_foreign(path)
    assert caught.value.code == "E450"
    assert not Path("SPRUNG").exists()


def test_a_program_with_pickled_weights(program: Path, tmp_path: Path) -> None:
    table = b'{"config": {"w": {"path_name": "weight_0", "use_pickle": true}}}'
    name = "data/weights/model_weights_config.json"
    path = rewritten(program, tmp_path / "m.pt2", name, table)
    with pytest.raises(EdgedlError, match="holds pickled tensors") as caught:
        read_foreign(path)
    assert caught.value.code == "E450"


def test_no_program(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK")
    with pytest.raises(EdgedlError, match=r"write it with torch\.export\.save") as caught:
        read_foreign(tmp_path / "m.pt2")
    assert caught.value.code == "E410"
