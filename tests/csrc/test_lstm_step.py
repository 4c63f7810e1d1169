"""A decoder's step: against a definition in NumPy, and its integers exactly, on every target."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from edgedl import _core
from edgedl.errors import UsageError

F32 = np.float32
# tokens, embedding, hidden, attention, seen, positions: beside whole blocks of 16 and groups of 4
SIZES = [
    (1, 1, 1, 1, 1, 1),
    (17, 5, 6, 15, 7, 3),
    (33, 16, 16, 16, 32, 16),
    (37, 19, 33, 17, 35, 18),
]
BEGIN, END = 1, 2


def pack(weight: np.ndarray) -> np.ndarray:
    """Return a weight (inputs, outputs) in blocks of 16 outputs, int8 in groups of 4 inputs."""
    group = 4 if weight.dtype == np.int8 else 1
    inputs, outputs = weight.shape
    blocks, groups = -(-outputs // 16), -(-inputs // group)
    out = np.zeros((blocks, groups, 16, group), weight.dtype)
    for i in range(inputs):
        for o in range(outputs):
            out[o // 16, i // group, o % 16, i % group] = weight[i, o]
    return out if group == 4 else out[..., 0].copy()


class Net:
    """Random weights; ``int8`` names the products that have them in int8."""

    def __init__(self, sizes: tuple[int, ...], int8: str) -> None:
        self.rng = np.random.default_rng(sum(sizes))
        self.tokens, self.embedding, self.hidden, self.attention, self.seen, self.positions = sizes
        tokens, e, h, a, s, _ = sizes
        shapes = {"query": (e + h, a), "gates": (e + s + h, 4 * h), "logits": (h, tokens)}
        self.words, self.score = self.normal(tokens, e), self.normal(a)
        self.weights: dict[str, np.ndarray] = {}
        self.biases = {name: self.normal(shape[1]) for name, shape in shapes.items()}
        self.scales: dict[str, float | None] = dict.fromkeys(shapes)
        for name, shape in shapes.items():
            if name in int8:
                self.weights[name] = self.rng.integers(-128, 128, shape).astype(np.int8)
                self.scales[name] = 0.01
            else:
                self.weights[name] = self.normal(*shape)

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, 0.7, shape).astype(F32)

    def product(self, name: str) -> tuple[Any, ...]:
        return pack(self.weights[name]), self.biases[name], self.scales[name]

    def step(self) -> _core.LstmStep:
        products = {name: self.product(name) for name in self.weights}
        return _core.LstmStep(self.positions, self.seen, self.words, self.score, **products)

    def inputs(self, rows: int) -> list[np.ndarray]:
        token = self.rng.integers(0, self.tokens, rows)
        depth = self.seen + self.attention
        features = self.normal(rows, self.positions, depth)
        return [token, self.normal(rows, self.hidden), self.normal(rows, self.hidden), features]

    def outputs(self, rows: int) -> list[np.ndarray]:
        widths = (self.tokens, self.hidden, self.hidden)
        return [np.full((rows, width), np.nan, F32) for width in widths]

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = self.outputs(len(inputs[0]))
        self.step().run(*inputs, *outputs)
        return outputs

    def multiply(self, name: str, x: np.ndarray) -> np.ndarray:
        """Return one row's product, as ONNX's DynamicQuantizeLinear and MatMulInteger make it."""
        weight, scale = self.weights[name], self.scales[name]
        if scale is None:
            return x @ weight.astype(np.float64) + self.biases[name]
        low, high = min(x.min(), F32(0)), max(x.max(), F32(0))
        step = F32(high - low) / F32(255) if high > low else F32(1)
        zero = int(np.rint(-low / step).clip(0, 255))
        bytes_ = (np.rint(x / step).astype(np.int64) + zero).clip(0, 255)
        return ((bytes_ - zero) @ weight.astype(np.int64)) * (step * F32(scale)) + self.biases[name]

    def expected(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        rows = [self.expected_row(*row) for row in zip(*inputs, strict=True)]
        return [np.stack(column) for column in zip(*rows, strict=True)]

    def expected_row(
        self, token: int, h: np.ndarray, c: np.ndarray, features: np.ndarray
    ) -> tuple[np.ndarray, ...]:
        word, seen, keys = self.words[token], features[:, : self.seen], features[:, self.seen :]
        query = self.multiply("query", np.concatenate((word, h)))
        energy = np.tanh(keys + query) @ self.score.astype(np.float64)
        fit = np.exp(energy - energy.max())
        context = (fit / fit.sum()) @ seen
        gates = self.multiply("gates", np.concatenate((word, context, h)).astype(F32))
        i, f, g, o = gates.reshape(4, -1)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        return self.multiply("logits", h.astype(F32)), h, c


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("sizes", SIZES)
def test_in_float(sizes: tuple[int, ...], rows: int) -> None:
    net = Net(sizes, "")
    inputs = net.inputs(rows)
    for found, wanted in zip(net.run(inputs), net.expected(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("sizes", SIZES)
def test_int8_query(sizes: tuple[int, ...]) -> None:
    net = Net(sizes, "query")  # what it reads is exact, and so are its integers
    inputs = net.inputs(3)
    for found, wanted in zip(net.run(inputs), net.expected(inputs), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("sizes", SIZES)
def test_int8_logits_of_the_h_that_came_out(sizes: tuple[int, ...]) -> None:
    net = Net(sizes, "gates logits")
    logits, h, _ = net.run(net.inputs(3))
    wanted = np.stack([net.multiply("logits", row) for row in h])
    np.testing.assert_allclose(logits, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("target")
def test_int8_gates_of_what_is_known() -> None:
    net = Net((9, 8, 16, 4, 16, 1), "gates logits")  # one position: the context is what it has
    inputs = net.inputs(4)
    _, *found = net.run(inputs)
    _, *wanted = net.expected(inputs)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)


def test_all_targets_give_the_same_bits() -> None:
    before = _core.cpu_target()
    for int8 in ("", "query gates logits"):
        for sizes in (*SIZES, (300, 64, 64, 64, 96, 49)):
            net = Net(sizes, int8)
            inputs = net.inputs(2)
            seen = set()
            for target in _core.cpu_targets():
                _core.set_cpu_target(target)
                seen.add(b"".join(out.tobytes() for out in net.run(inputs)))
            _core.set_cpu_target(before)
            assert len(seen) == 1


@pytest.mark.usefixtures("target")
def test_a_row_does_not_depend_on_the_others() -> None:
    net = Net(SIZES[-1], "query gates logits")
    inputs = net.inputs(5)
    together = net.run(inputs)
    for n in range(5):
        alone = net.run([x[n : n + 1] for x in inputs])
        for a, b in zip(alone, together, strict=True):
            assert np.array_equal(a[0], b[n])


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize(
    ("bad", "int8"),
    [(np.nan, ""), *((bad, "query gates logits") for bad in (np.nan, np.inf, -np.inf))],
)
def test_what_is_not_finite_is_not_hidden(bad: float, int8: str) -> None:
    net = Net(SIZES[-1], int8)
    inputs = net.inputs(2)
    inputs[3][1, 2, 3] = bad  # seen, not a key
    logits, *_ = net.run(inputs)
    assert np.isfinite(logits[0]).all()
    assert not np.isfinite(logits[1]).any()


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("scale", [0.0, 1e-44, 1e-30, 1e30, 3e38])
def test_any_magnitude(scale: float) -> None:
    net = Net(SIZES[-1], "query gates logits")
    inputs = net.inputs(2)
    with np.errstate(all="ignore"):
        inputs[1:] = [x * F32(scale) for x in inputs[1:]]
        net.words *= F32(scale)
        net.run(inputs)


def say(net: Net, inputs: list[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what is said, and how likely, in one call; poison where nothing is."""
    token = np.full((steps, len(inputs[0])), -7)
    probability = np.full(token.shape, -7, F32)
    taken = net.step().greedy(*inputs[1:], token, probability, begin=BEGIN, end=END)
    assert (token[taken:] == -7).all()
    assert (probability[taken:] == -7).all()
    return token[:taken], probability[:taken]


def expected_words(net: Net, inputs: list[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the same by calls of ``run``, until all have ended."""
    step, (_, h, c, features) = net.step(), inputs
    token = np.full(len(h), BEGIN)
    has_ended = np.zeros(len(h), bool)
    said: list[tuple[np.ndarray, np.ndarray]] = []
    while len(said) < steps and not has_ended.all():
        logits, *state = net.outputs(len(h))
        step.run(token, h, c, features, logits, *state)
        probability, token = np.empty((len(h), 1), F32), np.empty((len(h), 1), np.int64)
        _core.softmax_top_k(logits, probability, token)
        (h, c), token = state, np.where(has_ended, END, token[:, 0])
        has_ended |= token == END
        said.append((token, probability[:, 0]))
    tokens, probabilities = zip(*said, strict=True)
    return np.stack(tokens), np.stack(probabilities)


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("int8", ["", "query gates logits"])
@pytest.mark.parametrize("rows", [1, 5])
def test_words_are_those_of_single_steps(rows: int, int8: str) -> None:
    net = Net(SIZES[-1], int8)
    inputs = net.inputs(rows)
    lengths = set()
    for net.biases["logits"][END] in np.linspace(-9, 12, 22):
        found, wanted = say(net, inputs, 30), expected_words(net, inputs, 30)
        assert all(map(np.array_equal, found, wanted))
        lengths |= {row.tolist().index(END) if END in row else 30 for row in found[0].T}
    assert {0, 30} <= lengths
    assert rows == 1 or len(lengths) > 2  # not only at once or never


def test_the_last_word_may_be_the_first_one() -> None:
    net = Net(SIZES[-1], "")
    net.biases["logits"][END] = -99
    inputs = net.inputs(2)
    token, probability = np.empty((4, 2), np.int64), np.empty((4, 2), F32)
    assert net.step().greedy(*inputs[1:], token, probability, begin=END, end=END) == 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nothing_is_said_of_what_is_not_finite(bad: float) -> None:
    net = Net(SIZES[-1], "query gates logits")
    inputs = net.inputs(3)
    inputs[3][1, 2, 3] = bad  # seen, not a key
    token, _ = say(net, inputs, 9)
    assert token.shape == (1, 3)
    assert token[0, 1] == -1
    assert (token[0, [0, 2]] >= 0).all()


def test_wrong_arrays_of_words_are_named() -> None:
    net = Net(SIZES[1], "gates")
    step, (_, *given) = net.step(), net.inputs(2)

    def run(token: object = None, begin: int = 0, end: int = 1) -> None:
        token = np.empty((4, 2), np.int64) if token is None else token
        step.greedy(*given, token, np.empty((4, 2), F32), begin=begin, end=end)

    run()
    for wrong in ({"begin": 17}, {"end": 17}, {"begin": -1}, {"end": -1}):
        with pytest.raises(UsageError, match=r"\[lstm_greedy\] begin and end must be in 0\.\.16"):
            run(**wrong)
    with pytest.raises(UsageError, match=r"T must be in 1\.\.65536; got 0"):
        run(np.empty((0, 2), np.int64))
    with pytest.raises(UsageError, match=r"probability must be .*; got \(4, 2\) float32"):
        run(np.empty((5, 2), np.int64))
    with pytest.raises(UsageError, match=r"h must be .*; got \(2, 6\) float32"):
        step.greedy(*given, np.empty((4, 1), np.int64), np.empty((4, 1), F32), begin=0, end=1)
    with pytest.raises(UsageError, match=r"must not overlap"):
        step.greedy(*given, np.empty((1, 2), np.int64), given[0][:1, :2], begin=0, end=1)


def test_wrong_arrays_are_named() -> None:
    net = Net(SIZES[1], "gates")
    step, inputs, outputs = net.step(), net.inputs(2), net.outputs(2)

    def run(index: int, value: object) -> None:
        arrays: list[object] = [*inputs, *outputs]
        arrays[index] = value
        step.run(*arrays)

    with pytest.raises(UsageError, match=r"\[lstm_step\] token must be in 0\.\.16; got 17"):
        run(0, np.array([0, 17]))
    with pytest.raises(UsageError, match=r"in 0\.\.16; got -1"):
        run(0, np.array([-1, 0]))
    with pytest.raises(UsageError, match=r"\(N,\) int64 array; got \(2,\) int32"):
        run(0, inputs[0].astype(np.int32))
    with pytest.raises(UsageError, match=r"N must be in 1\.\.65536; got 0"):
        run(0, inputs[0][:0])
    with pytest.raises(UsageError, match=r"h must be .*; got \(3, 6\) float32"):
        run(1, np.zeros((3, 6), F32))
    with pytest.raises(UsageError, match=r"features must be .*; got list"):
        run(3, [1.0])
    with pytest.raises(UsageError, match=r"must not overlap"):
        run(6, inputs[1])
    with pytest.raises(UsageError, match=r"must not overlap"):
        run(6, outputs[1])


def test_wrong_weights_are_named() -> None:
    def make(**changes: object) -> None:
        net = Net(SIZES[1], "gates")
        products = {name: net.product(name) for name in net.weights}
        given = {"positions": 3, "seen": 7, "words": net.words, "score": net.score, **products}
        _core.LstmStep(**(given | changes))

    net = Net(SIZES[1], "gates")
    weight, bias, scale = net.product("gates")
    make()
    with pytest.raises(UsageError, match=r"int8 weights must be .*; got \(1, 5, 16, 4\) int8"):
        make(gates=(weight[:1].copy(), bias, scale))
    with pytest.raises(UsageError, match=r"the gates must be 4 H; got 23"):
        make(gates=(weight, bias[:-1].copy(), scale))
    with pytest.raises(UsageError, match=r"P must be in 1\.\.1048576; got 0"):
        make(positions=0)
    with pytest.raises(UsageError, match=r"score must be"):
        make(score=net.score.astype(np.float64))
    with pytest.raises(UsageError, match=r"a product must be \(weights, bias, scale\)"):
        make(query=(1, 2))


def test_a_token_that_is_changed_meanwhile_is_not_used() -> None:
    net = Net(SIZES[1], "")
    step, inputs, outputs = net.step(), net.inputs(2000), net.outputs(2000)
    token = inputs[0]
    good, is_done = token.copy(), threading.Event()
    step.run(*inputs, *outputs)
    wanted = outputs[0].copy()

    def meddle() -> None:
        while not is_done.is_set():
            token[:] = 1 << 40
            token[:] = good

    meddler = threading.Thread(target=meddle)
    meddler.start()
    try:
        for _ in range(50):
            token[:] = good
            outputs[0][:] = np.nan
            try:
                step.run(*inputs, *outputs)
            except UsageError:
                continue
            np.testing.assert_array_equal(outputs[0], wanted)
    finally:
        is_done.set()
        meddler.join()
