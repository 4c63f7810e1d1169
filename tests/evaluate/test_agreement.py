"""How far a graph is from the original, in standard deviations of the original's answers."""

import numpy as np
import pytest
from tiny_kinds import HandSession

from edgedl.bundle import Given
from edgedl.errors import EdgedlError
from edgedl.evaluate.agreement import Agreement, scale_of
from edgedl.runtime.tensor_model import TensorModel
from edgedl.spec import ModelSpec, TensorSpec

X = TensorSpec(name="x", dtype="float32", shape=("N",))


def evaluation(**outputs: list[list[float]]) -> Agreement:
    """Return samples whose inputs are their numbers, and the answers in ``outputs``."""
    n = len(next(iter(outputs.values())))
    tensors = [{"x": np.float32([i])} for i in range(n)]

    def original(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.float64(rows[int(feeds["x"][0])]) for name, rows in outputs.items()}

    return Agreement("test", lambda i: Given(arrays=tensors[i]), tensors, original)


def model(**outputs: list[list[float]]) -> TensorModel:
    def answer(x: np.ndarray) -> dict[str, np.ndarray]:
        return {name: np.float64(rows[int(x[0])]) for name, rows in outputs.items()}

    specs = tuple(TensorSpec(name=name, dtype="float64", shape=("N",)) for name in outputs)
    session = HandSession(answer, (X,), specs)
    return TensorModel(ModelSpec(task="tensor"), {"model": session})


def test_the_worst_output_decides() -> None:
    right = evaluation(a=[[0, 2], [4, 6]], b=[[10, 10], [30, 30]])
    found = right.measure(model(a=[[0, 2], [4, 6.5]], b=[[10, 10], [30, 24]]))
    std = np.std([0, 2, 4, 6])
    assert found.metrics["max_deviation_a"] == pytest.approx(0.5 / std)
    assert found.main == found.metrics["max_deviation_b"] == pytest.approx(6 / 10)
    assert found.metrics["mean_deviation"] == pytest.approx(6 / 4 / 10)
    assert (found.n, found.metrics["n"]) == (2, 2)
    assert right.hits(found) == []


def test_one_output_is_told_once() -> None:
    found = evaluation(a=[[1, 2]]).measure(model(a=[[1, 2]]))
    assert found.metrics == {"max_deviation": 0, "n": 1, "mean_deviation": 0}


@pytest.mark.parametrize(
    ("arrays", "scale"),
    [
        ([[1.0, 3.0], [5.0, 7.0]], np.std([1, 3, 5, 7])),
        ([[4.0, 4.0]], 4),  # all the same: their magnitude
        ([[0.0]], 1),
        ([[]], 1),
        ([[1e9, 1e9 + 1]], 0.5),
    ],
)
def test_scale(arrays: list[list[float]], scale: float) -> None:
    assert scale_of([np.float64(a) for a in arrays]) == pytest.approx(scale)


@pytest.mark.parametrize(
    ("wrong", "code", "text"),
    [
        ([[np.nan, 2]], "E414", "'a' is NaN or infinite"),
        ([[1, np.inf]], "E414", "'a' is NaN or infinite"),
        ([[1, 2, 3]], "E413", r"'a' has the shape \(3,\); the original gives \(2,\)"),
    ],
)
def test_what_is_no_answer(wrong: list[list[float]], code: str, text: str) -> None:
    with pytest.raises(EdgedlError, match=text) as caught:
        evaluation(a=[[1, 2]]).measure(model(a=wrong))
    assert caught.value.code == code


def test_samples_stay_together() -> None:
    found = evaluation(a=[[0], [1], [2]])
    assert [t["x"][0] for t in found.tensors] == [0, 1, 2]
    assert [len(found), found.inputs(1).arrays["x"][0], found.truths[2]["a"][0]] == [3, 1, 2]
