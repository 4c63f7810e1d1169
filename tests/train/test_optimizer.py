"""Groups of parameters, and Muon against its definition."""

import copy

import pytest
import torch
from torch import nn

from edgedl.errors import ConfigError
from edgedl.models.build import build, families
from edgedl.train.captioning import Lesson
from edgedl.train.optimizer import OptimizerOptions, make_optimizer, orthogonal, set_rates


def network():
    torch.manual_seed(3)
    layers = [
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Linear(16, 5),
    ]
    made = nn.Sequential(*layers)
    made.head = "3"
    return made


def learn(module, optimizer, steps=3):
    torch.manual_seed(8)
    for _ in range(steps):
        module.zero_grad()
        module(torch.randn(6, 3, 2, 2)).square().mean().backward()
        optimizer.step()
    return module


def test_groups_have_rates_of_their_own_and_one_product_with_the_decay():
    options = OptimizerOptions(
        name="sgd", lr=0.1, bias_lr=0.4, head_lr=0.2, weight_decay=0.02, decay_biases=True
    )
    made = make_optimizer(network(), options)
    shapes = [[tuple(p.shape) for p in group["params"]] for group in made.param_groups]
    assert shapes == [[(4, 3, 3, 3)], [(5, 16)], [(4,), (4,), (5,)]]
    assert [group["lr"] for group in made.param_groups] == [0.1, 0.2, 0.4]
    products = [group["lr"] * group["weight_decay"] for group in made.param_groups]
    assert products == pytest.approx([0.002] * 3)
    set_rates(made, 0.5)
    assert [group["lr"] for group in made.param_groups] == [0.05, 0.1, 0.2]


SIZES = {
    "char-lm": {"vocab_size": 9},
    "text-classifier": {"vocab_size": 9, "length": 6, "classes": 7},
    "clip-classifier": {"image_channels": 1, "size_hw": (8, 8), "frames": 3, "classes": 7},
    "row-classifier": {"image_channels": 1, "size_hw": (8, 8), "classes": 7},
    "regressor": {"inputs": 2, "outputs": 7, "window": 3},
    "captioner": {"vocab_size": 9, "size_hw": (16, 16)},
}
PICTURES = sorted(families().keys() - SIZES)


def with_head_lr(module):
    groups = make_optimizer(module, OptimizerOptions(head_lr=0.5)).param_groups
    return [p for group in groups if group["lr"] == 0.5 for p in group["params"]]


@pytest.mark.parametrize(
    ("table", "head"),
    [
        ({"family": "captioner"}, "words"),
        ({"family": "char-lm"}, "head"),
        ({"family": "char-lm", "tied": True, "hidden": 8, "embedding": 8}, None),
        ({"family": "clip-classifier"}, "reader.fc"),
        ({"family": "clip-classifier", "memory": False}, "reader.fc"),
        ({"family": "regressor"}, "reader.fc"),
        ({"family": "row-classifier"}, "reader.fc"),
        ({"family": "text-classifier"}, "reader.fc"),
    ],
)
def test_the_head_is_what_the_answer_comes_from(table, head):
    network = build(SIZES[table["family"]] | table, "test")
    assert with_head_lr(network) == ([] if head is None else [network.get_submodule(head).weight])


@pytest.mark.parametrize("family", PICTURES)
def test_the_head_of_classifiers_of_pictures(family):
    with torch.device("meta"):
        network = build({"family": family, "channels": 3, "classes": 7}, "test")
    (matrix,) = with_head_lr(network)
    assert len(matrix) == 7


def test_the_head_of_a_lesson_is_the_captioners():
    lesson = Lesson(build({"family": "captioner", **SIZES["captioner"]}, "test"))
    assert with_head_lr(lesson) == [lesson.captioner.words.weight]


def test_biases_and_embeddings_do_not_decay():
    module = nn.ModuleDict({"embedding": nn.Embedding(7, 2), "out": nn.Linear(2, 7)})
    made = make_optimizer(module, OptimizerOptions(weight_decay=0.1))
    decay = {tuple(p.shape): g["weight_decay"] for g in made.param_groups for p in g["params"]}
    assert decay == {(7, 2): 0.1, (7,): 0.0} or decay == {(7, 2): 0.0, (7,): 0.0}
    embedding = [g for g in made.param_groups if g["params"][0] is module["embedding"].weight]
    assert embedding[0]["weight_decay"] == 0.0


def test_frozen_parameters_are_left_alone():
    module = network().requires_grad_(requires_grad=False)
    with pytest.raises(ConfigError, match="nothing to train"):
        make_optimizer(module, OptimizerOptions())


def test_an_orthogonal_update_has_singular_values_near_one():
    torch.manual_seed(0)
    for shape in ((16, 3, 3, 3), (64, 8), (8, 64)):
        made = orthogonal(torch.randn(shape), steps=5).flatten(1)
        values = torch.linalg.svdvals(made)
        assert float(values.min()) > 0.6
        assert float(values.max()) < 1.3


def test_orthogonal_keeps_the_directions():
    torch.manual_seed(0)
    left, _ = torch.linalg.qr(torch.randn(6, 6))
    right, _ = torch.linalg.qr(torch.randn(9, 6))
    made = orthogonal(left @ torch.diag(torch.tensor([9.0, 5, 3, 2, 1, 1])) @ right.T, steps=5)
    diagonal = left.T @ made @ right
    off = diagonal - torch.diag(diagonal.diagonal())
    assert float(off.abs().max()) < 0.03
    assert float(diagonal.diagonal().min()) > 0.6


def test_muon_leaves_the_rest_to_nesterov():
    ours, theirs = network(), network()
    options = OptimizerOptions(name="muon", lr=0.1, bias_lr=0.03, head_lr=0.05, weight_decay=0.01)
    made = make_optimizer(ours, options)
    rest = [
        {"params": [theirs[3].weight], "lr": 0.05, "weight_decay": 0.02},
        {"params": [*theirs[1].parameters(), theirs[3].bias], "lr": 0.03},
    ]
    expected = torch.optim.SGD(rest, momentum=0.85, nesterov=True)
    torch.manual_seed(8)
    for _ in range(4):
        image = torch.randn(6, 3, 2, 2)
        for module, optimizer in ((ours, made), (theirs, expected)):
            module.zero_grad()
            module(image).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            theirs[0].weight.copy_(ours[0].weight)
    for name, tensor in theirs.named_parameters():
        torch.testing.assert_close(dict(ours.named_parameters())[name], tensor, msg=name)


def test_muon_turns_kernels_by_an_orthogonal_step_from_a_fixed_norm():
    module = network()
    made = make_optimizer(module, OptimizerOptions(name="muon", lr=0.1, momentum=0.6))
    before = module[0].weight.detach().clone()
    module(torch.randn(6, 3, 2, 2)).square().mean().backward()
    gradient = module[0].weight.grad.clone()
    made.step()
    scaled = before * 2 / before.norm()
    torch.testing.assert_close(module[0].weight, scaled - 0.1 * orthogonal(1.6 * gradient))


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "adamw"])
def test_the_others_are_pytorchs(name):
    options = OptimizerOptions(name=name, lr=0.05, weight_decay=0.0, betas=(0.8, 0.9))
    kinds = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
        "nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.9)),
        "adamw": lambda p: torch.optim.AdamW(p, lr=0.05, betas=(0.8, 0.9), weight_decay=0),
    }
    ours = network()
    theirs = copy.deepcopy(ours)
    learn(ours, make_optimizer(ours, options))
    learn(theirs, kinds[name](theirs.parameters()))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_betas_out_of_range():
    with pytest.raises(ConfigError, match=r"optimizer.betas must be two numbers in \[0, 1\)"):
        OptimizerOptions(betas=(0.9,))


def test_nesterov_needs_momentum():
    with pytest.raises(ConfigError, match=r"momentum must be above 0 for nesterov; got 0") as err:
        OptimizerOptions(name="nesterov", momentum=0.0)
    assert err.value.code == "E205"
    make_optimizer(network(), OptimizerOptions(name="sgd", momentum=0.0))
