"""Weights on disk."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgedl.errors import BundleError
from edgedl.models.weights import load_weights, save_weights


def module():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_round_trip(tmp_path):
    one, other, path = module(), module(), tmp_path / "w.safetensors"
    one[1].running_mean += 2
    one.to(memory_format=torch.channels_last)
    save_weights(one, path)
    load_weights(other, path)
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)


def refused(path):
    with pytest.raises(BundleError) as err:
        load_weights(module(), path)
    return err.value


def test_missing_file(tmp_path):
    error = refused(tmp_path / "w.safetensors")
    assert error.code == "E403"
    assert "is missing; train again" in str(error)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not weights", b"\xff" * 64])
def test_garbage(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert refused(path).code == "E410"


def test_truncated(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(module(), path)
    path.write_bytes(path.read_bytes()[:-4])
    assert refused(path).code == "E410"


def test_of_another_network(tmp_path):
    path = tmp_path / "w.safetensors"
    save_weights(module(), path)
    tensors = load_file(path)
    save_file({**tensors, "1.weights": torch.zeros(4)}, path)
    assert "extra '1.weights'; did you mean '1.weight'?" in str(refused(path))
    save_file({k: v for k, v in tensors.items() if k != "0.bias"}, path)
    assert "lacks '0.bias'" in str(refused(path))
    save_file({**tensors, "0.bias": torch.zeros(5)}, path)
    assert "'0.bias' must be (4,) torch.float32; got (5,)" in str(refused(path))
    save_file({**tensors, "0.bias": torch.zeros(4).double()}, path)
    assert refused(path).code == "E413"
