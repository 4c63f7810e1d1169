"""Transfer: weights of another training, from either kind of file."""

import pytest
import torch
from safetensors.torch import save_file

from edgedl.errors import BundleError
from edgedl.models.build import build, model_options, model_table
from edgedl.models.weights import load_backbone


def network(classes=3, width=0.125, seed=1):
    torch.manual_seed(seed)
    options = model_options({"family": "resnet18", "width": width}, "recipe")
    return build(model_table(options, channels=3, classes=classes), "model")


@pytest.fixture(scope="module")
def source():
    return network(classes=9, seed=2).state_dict()


def prefixed(tensors):
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.safetensors", lambda t, path: save_file(t, path)),
        ("w.pth", torch.save),
        ("w.pt", lambda t, path: torch.save({"epoch": 3, "state_dict": prefixed(t)}, path)),
    ],
)
def test_all_but_the_head(tmp_path, source, name, write):
    write(source, tmp_path / name)
    module = network()
    head = module.fc.weight.detach().clone()
    report = load_backbone(module, tmp_path / name)
    for key, tensor in module.state_dict().items():
        assert key.startswith("fc.") or torch.equal(tensor, source[key])
    assert torch.equal(module.fc.weight, head)
    assert set(report.kept) == set(report.unused) == {"fc.weight", "fc.bias"}
    assert set(report.loaded) == set(source) - {"fc.weight", "fc.bias"}


def test_the_head_stays_though_it_would_fit(tmp_path, source):
    save_file(source, tmp_path / "w.safetensors")
    module = network(classes=9)
    assert "fc.weight" in load_backbone(module, tmp_path / "w.safetensors").kept
    assert not torch.equal(module.fc.weight, source["fc.weight"])


def test_what_has_another_shape_stays(tmp_path, source):
    grey = {**source, "conv1.weight": source["conv1.weight"].sum(1, keepdim=True)}
    save_file(grey, tmp_path / "w.safetensors")
    report = load_backbone(network(), tmp_path / "w.safetensors")
    assert report.kept == ("conv1.weight", "fc.weight", "fc.bias")
    assert "conv1.weight" in report.unused


def refused(path):
    with pytest.raises(BundleError) as err:
        load_backbone(network(), path)
    return err.value


def test_nothing_fits(tmp_path, source):
    path = tmp_path / "w.safetensors"
    save_file({f"backbone.{name}": tensor for name, tensor in source.items()}, path)
    error = refused(path)
    assert error.code == "E413"
    assert f"nothing in {path} fits the network: it holds 'backbone." in str(error)
    assert "the network 'conv1.weight'; take weights of its family and width" in str(error)


def test_missing(tmp_path):
    error = refused(tmp_path / "w.pth")
    assert error.code == "E403"
    assert "is missing; name a .safetensors or PyTorch file" in str(error)


class Harm:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
        lambda path: path.write_bytes(b"\x80\x04."),
        lambda path: torch.save({"weight": Harm()}, path),
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"epoch": 1}, path),
    ],
)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_not_weights(tmp_path, write, name, capsys):
    write(tmp_path / name)
    error = refused(tmp_path / name)
    assert error.code == "E410"
    assert str(tmp_path / name) in str(error)
    assert "\n" not in str(error)
    assert "options" not in str(error)  # of torch, to run what is in the file
    assert capsys.readouterr().out == ""
