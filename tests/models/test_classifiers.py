"""Convolutional networks: known sizes, what they compute, transfer."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from edgedl.errors import ConfigError
from edgedl.models import airbench
from edgedl.models.build import build, model_options, model_table
from edgedl.models.summary import summarize

# parameters and millions of multiply-accumulates at 224 x 224 and 1000 classes, as published
# with torchvision's weights
PUBLISHED = {
    "resnet18": (11_689_512, 1814),
    "resnet50": (25_557_032, 4089),
    "mobilenetv2": (3_504_872, 301),
    "mobilenetv3-small": (2_542_856, 57),
    "mobilenetv3-large": (5_483_032, 217),
    "vgg11": (132_868_840, 7609),
    "vgg16": (138_365_992, 15470),
}
SMALL = {
    "lenet": {"widths": [8, 16]},
    "airbench": {"widths": [8, 16, 16]},
    "resnet18": {"width": 0.125},
    "resnet20": {"width": 0.5},
    "resnet50": {"width": 0.125},
    "mobilenetv2": {"width": 0.25},
    "mobilenetv3-small": {"width": 0.25},
    "mobilenetv3-large": {"width": 0.25},
    "vgg11": {"width": 0.125},
    "vgg16": {"width": 0.125},
}


def make(family, channels=3, classes=5, **options):
    torch.manual_seed(6)
    table = {"family": family, **SMALL[family], **options}
    return build(
        model_table(model_options(table, "recipe"), channels=channels, classes=classes), "model"
    )


@pytest.mark.parametrize("family", PUBLISHED)
def test_published_sizes(family):
    with torch.device("meta"):
        options = model_options({"family": family, "stem": "large"}, "recipe")
        network = build(model_table(options, channels=3, classes=1000), "model")
        summary = summarize(network, (torch.zeros(1, 3, 224, 224),))
    parameters, mmacs = PUBLISHED[family]
    assert summary.parameters == parameters
    assert round(summary.macs / 1e6) == pytest.approx(mmacs, rel=0.01)


@pytest.mark.parametrize(
    ("family", "names"),
    {
        "resnet18": ["conv1.weight", "layer2.0.downsample.1.running_var", "layer4.1.bn2.bias"],
        "resnet50": ["layer1.0.downsample.0.weight", "layer3.5.conv3.weight", "fc.bias"],
        "mobilenetv2": [
            "features.1.conv.0.0.weight",
            "features.17.conv.3.bias",
            "classifier.1.bias",
        ],
        "mobilenetv3-small": ["features.1.block.1.fc1.weight", "features.12.1.running_mean"],
        "mobilenetv3-large": ["features.4.block.2.fc2.bias", "features.15.block.3.0.weight"],
        "vgg11": ["features.0.bias", "features.26.running_mean", "classifier.6.weight"],
        "vgg16": ["features.41.weight", "classifier.0.weight", "classifier.3.bias"],
    }.items(),
)
def test_torchvisions_names(family, names):
    with torch.device("meta"):
        options = model_options({"family": family, "stem": "large"}, "recipe")
        network = build(model_table(options, channels=3, classes=10), "model")
    assert set(names) <= network.state_dict().keys()


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures(family, channels):
    network = make(family, channels)
    image = torch.randn(3, channels, 32, 32)
    loss = network.train()(image).square().sum()
    loss.backward()
    missing = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []
    network.eval()
    with torch.no_grad():
        together, alone = network.parts()["model"](image), network(image[1:2])
    assert together.shape == (3, 5)
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", SMALL)
def test_each_norm_follows_a_convolution(family):
    """In evaluation, so that the exporter folds it."""
    network, last = make(family).eval(), []
    wrong = []

    def note(name, module):
        if isinstance(module, nn.BatchNorm2d) and not isinstance(last[-1], nn.Conv2d):
            wrong.append(name)
        last.append(module)

    for name, module in network.named_modules():
        if not list(module.children()):
            module.register_forward_pre_hook(lambda m, _, name=name: note(name, m))
    with torch.no_grad():
        network(torch.randn(1, 3, 32, 32))
    assert wrong == []
    assert any(isinstance(module, nn.BatchNorm2d) for module in last)


def test_airbench_whitens():
    torch.manual_seed(2)
    network = make("airbench")
    mixed = torch.einsum("ij,njhw->nihw", torch.randn(3, 3), torch.randn(40, 3, 9, 9))
    network.init_from(mixed, eps=0.0)
    with torch.no_grad():
        out = network.whiten(mixed).transpose(0, 1).flatten(1).double()
    moments = out[:12] @ out[:12].T / out.shape[1]
    torch.testing.assert_close(moments, torch.eye(12).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(out[12:], -out[:12])
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert "whiten.weight" not in trained
    assert "whiten.bias" in trained
    assert not any("norm" in name and "weight" in name for name in trained)


class Largest(TorchDispatchMode):
    """Notes the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.numbers = max(self.numbers, made.numel())
        return made


def test_airbench_whitens_large_pictures_in_parts(monkeypatch):
    pictures = torch.randn(60, 3, 20, 20)
    whole, parts = make("airbench"), make("airbench")
    with Largest() as at_once:
        whole.init_from(pictures)
    monkeypatch.setattr(airbench, "_PATCHES", 7 * 20 * 20)  # 60 is no multiple of 7
    with Largest() as largest:
        parts.init_from(pictures)
    assert at_once.numbers == 60 * 19 * 19 * 12
    assert largest.numbers == 7 * 19 * 19 * 12
    patches = pictures.double().unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5)
    patches = patches.reshape(-1, 12)
    for network in (whole, parts):
        rows = network.whiten.weight[:12].flatten(1).detach().double()
        moments = rows @ (patches.T @ patches / len(patches)) @ rows.T
        torch.testing.assert_close(moments, torch.eye(12).double(), atol=1e-2, rtol=0)


@pytest.mark.parametrize("residual", [True, False])
def test_airbench_pools_before_its_norm(residual):
    """The order in training and in evaluation give the same, once statistics are fixed."""
    block = make("airbench", residual=residual, activation="relu").eval().blocks[1]
    x = torch.randn(2, 8, 8, 8)
    for norm in (block.norm1, block.norm2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.normal_(norm.bias)
    with torch.no_grad():
        y = torch.relu(block.norm1(nn.functional.max_pool2d(block.conv1(x), 2)))
        want = block.norm2(block.conv2(y))
        if residual:
            want = y + block.norm3(block.conv3(torch.relu(want)))
        torch.testing.assert_close(block(x), torch.relu(want))


def test_airbench_judges_the_mirror_image_as_well():
    one, both = make("airbench").eval(), make("airbench", mirror=True).eval()
    both.load_state_dict(one.state_dict())
    pictures = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = (one(pictures) + one(torch.flip(pictures, (3,)))) / 2
        torch.testing.assert_close(both(pictures), expected)
        assert not torch.allclose(one(pictures), expected)
        torch.testing.assert_close(both(torch.flip(pictures, (3,))), expected)
    assert torch.equal(both.train()(pictures), one.train()(pictures))


def test_airbench_convolutions_begin_as_identity():
    block = make("airbench").blocks[0]
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(block.conv2(x), x)


def test_logits_are_scaled():
    one, other = make("airbench", scale=1.0).eval(), make("airbench", scale=0.5).eval()
    image = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(one(image) * 0.5, other(image))


@pytest.mark.parametrize("family", ["resnet18", "mobilenetv3-small", "vgg11"])
def test_a_frozen_backbone_stays(family):
    network = make(family)
    network.freeze()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network.train()(torch.randn(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert changed == {f"{network.head}.weight", f"{network.head}.bias"}


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"family": "lenet", "widths": []}, r"widths must be in 1\.\.4096; got \(\)"),
        ({"family": "lenet", "depth": 5}, r"depth must be in 1\.\.4; got"),
        ({"family": "airbench", "widths": [8, 8]}, "must be three; got"),
        ({"family": "airbench", "bn_momentum": 0.0}, "bn_momentum in"),
        ({"family": "resnet18", "width": 5.0}, r"width must be in 0\.0625\.\.4; got 5\.0"),
        ({"family": "mobilenetv2", "dropout": -0.1}, r"dropout must be in \[0, 1\); got -0\.1"),
    ],
)
def test_impossible_options(table, text):
    with pytest.raises(ConfigError, match=text) as err:
        model_options(table, "recipe")
    assert err.value.code == "E205"
